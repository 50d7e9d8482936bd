"""Watch production: take a canary further, or roll back on a trigger; say which alarms fire.

Meant to run after every batch. What is missing triggers nothing, it is an alarm.

Output   Watched. Raises   Refused when a canary failed (it was taken back), or when a trigger finds
nothing to roll back to.
"""

from dataclasses import dataclass
from datetime import datetime

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.flows import alarms, promote, records, vitals
from mlops_bikeshare.flows.logged import Told, logged
from mlops_bikeshare.flows.promote import Holding, Moved
from mlops_bikeshare.monitoring.alarms import Seen
from mlops_bikeshare.release import guard, history


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What was seen, and done about it."""

    at: datetime
    alarms: tuple[Seen, ...]
    triggers: tuple[str, ...]
    canary: Holding | None
    moved: Moved | None


def _told(seen: Watched) -> Told:
    moved = f"{seen.moved.kind} to version {seen.moved.to_version}" if seen.moved else None
    read = {"firing": len(alarms.firing(seen.alarms)), "triggers": ", ".join(seen.triggers) or None}
    return Told(read=read, wrote={"moved": moved})


@logged("watch", _told)
def watch(ws: Workspace, city: City) -> Watched:
    """Look once, and act."""
    holding: Holding | None = None
    moved: Moved | None = None
    triggers: tuple[str, ...] = ()
    if promote.in_canary(ws, city):
        found = promote.canary(ws, city)
        holding = found if isinstance(found, Holding) else None
        moved = found if isinstance(found, Moved) else None
    else:
        triggers = _triggers(ws, city)
        if triggers:
            why = f"automatic: {'; '.join(triggers)}"
            moved = promote.rollback(ws, city, reason=why, trigger=triggers)
    return Watched(
        at=ws.now,
        alarms=tuple(alarms.look(ws, city, stage="prod")),
        triggers=triggers,
        canary=holding,
        moved=moved,
    )


def summary(seen: Watched) -> str:
    """What a person wants to know."""
    lines = [f"{seen.at:%F %H:%M} UTC: {alarms.summary(seen.alarms)}"]
    lines += [f"trigger: {text}" for text in seen.triggers]
    if seen.canary:
        lines.append(seen.canary.waits_for)
    if seen.moved:
        way = f"version {seen.moved.from_version} → {seen.moved.to_version}"
        lines.append(f"{seen.moved.kind} of {seen.moved.endpoint}: {way}")
    return "\n".join(lines)


def _triggers(ws: Workspace, city: City) -> tuple[str, ...]:
    """Reasons to roll back, of what was measured since production last moved."""
    endpoint = ws.settings.endpoint("prod", city.name)
    reigns = history.reigns(records.audited(ws), endpoint)
    if not reigns:
        return ()
    seen = vitals.of_production(ws, city, since=reigns[-1].since)
    return tuple(guard.said([check]) for check in guard.triggered(seen, ws.settings.guard))
