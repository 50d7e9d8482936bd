"""Watch production: say which alarms fire; take a canary further, or roll back on a trigger.

Meant to run after every batch. What is missing triggers nothing, it is an alarm. Alarms are looked
at before anything moves, and logged at once: what is done about them may fail. A rollback that was
killed is finished before anything else is decided.

Output   Watched; `stuck` says why a trigger was not followed, as when nothing was there before.
Raises   Refused when a canary failed (it was taken back). What kept the alarms from being
         looked at, once production has been seen to all the same.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import BikeshareError, Refused
from mlops_bikeshare.flows import model_packages, notify, promote, records
from mlops_bikeshare.flows.process.logged import Told, logged
from mlops_bikeshare.flows.promote import Holding, Moved
from mlops_bikeshare.flows.releasing import alarms, vitals
from mlops_bikeshare.monitoring.alarms import Seen
from mlops_bikeshare.release import guard, history

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What was seen, and done about it."""

    at: datetime
    alarms: tuple[Seen, ...]
    triggers: tuple[str, ...]
    canary: Holding | None
    moved: Moved | None
    stuck: str | None = None


def _told(seen: Watched) -> Told:
    moved = f"{seen.moved.kind} to version {seen.moved.to_version}" if seen.moved else None
    read = {"firing": len(alarms.firing(seen.alarms)), "triggers": ", ".join(seen.triggers) or None}
    return Told(read=read, wrote={"moved": moved})


@logged("watch", _told)
def watch(ws: Workspace, city: City) -> Watched:
    """Look once, and act."""
    seen, unseen = _seen(ws, city)
    holding: Holding | None = None
    triggers: tuple[str, ...] = ()
    stuck: str | None = None
    moved = finished = promote.finish_rollback(ws, city)
    if finished is None and promote.in_canary(ws, city):
        found = promote.canary(ws, city)
        holding = found if isinstance(found, Holding) else None
        moved = found if isinstance(found, Moved) else None
    elif finished is None:
        triggers = _triggers(ws, city)
        if triggers:
            moved, stuck = _rolled_back(ws, city, triggers)
    if moved is not None:
        notify.tell(ws, city)
    if finished is not None:
        model_packages.after(ws, city, f"the rollback to version {finished.to_version}")
    if unseen is not None:
        raise unseen
    return Watched(
        at=ws.now, alarms=seen, triggers=triggers, canary=holding, moved=moved, stuck=stuck
    )


def keep(
    ws: Workspace,
    city: City,
    *,
    minutes: int,
    pause: Callable[[float], object],
    told: Callable[[Watched], object],
) -> Watched:
    """Look every `schedule.monitor_min`, for so long or until production was taken back."""
    every_min = ws.settings.schedule.monitor_min
    for left in range(minutes, 0, -every_min):
        seen = watch(ws, city)
        told(seen)
        if taken_back(seen) or left <= every_min:
            break
        pause(every_min * 60.0)
    return seen


def taken_back(seen: Watched) -> bool:
    """Whether production was rolled back, or should have been."""
    return seen.stuck is not None or (seen.moved is not None and seen.moved.kind == "rollback")


def unfinished(seen: Watched) -> bool:
    """Whether a canary has not landed: nobody watches it from now on but the next to look."""
    return seen.canary is not None


def summary(seen: Watched) -> str:
    """What a person wants to know."""
    lines = [f"{seen.at:%F %H:%M} UTC: {alarms.summary(seen.alarms)}"]
    lines += [f"trigger: {text}" for text in seen.triggers]
    lines += [f"not rolled back: {seen.stuck}"] if seen.stuck else []
    if seen.canary:
        lines.append(seen.canary.waits_for)
    if seen.moved:
        way = f"version {seen.moved.from_version} → {seen.moved.to_version}"
        lines.append(f"{seen.moved.kind} of {seen.moved.endpoint}: {way}")
    return "\n".join(lines)


def _seen(ws: Workspace, city: City) -> tuple[tuple[Seen, ...], Exception | None]:
    """Production's alarms, or why nobody can say: what triggers a rollback is read elsewhere."""
    try:
        seen = tuple(alarms.look(ws, city, stage="prod"))
    except BikeshareError as error:
        log.error("%s: alarms cannot be looked at: %s", city.name, error)
        return (), error
    except Exception as error:  # whatever it is, it is raised once production has been looked at
        log.exception("%s: alarms failed in a way that nobody foresaw", city.name)
        return (), error
    if alarms.firing(seen):
        log.warning("%s: %s", city.name, alarms.summary(seen))
    return seen, None


def _triggers(ws: Workspace, city: City) -> tuple[str, ...]:
    """Reasons to roll back, of what was measured since production last moved."""
    endpoint = ws.settings.endpoint("prod", city.name)
    reigns = history.reigns(records.audited(ws), endpoint)
    if not reigns:
        return ()
    seen = vitals.of_production(ws, city, since=reigns[-1].since)
    return tuple(guard.said([check]) for check in guard.triggered(seen, ws.settings.guard))


def _rolled_back(
    ws: Workspace, city: City, triggers: tuple[str, ...]
) -> tuple[Moved | None, str | None]:
    """Production back where it was, or why it stays."""
    why = f"automatic: {'; '.join(triggers)}"
    try:
        return promote.rollback(ws, city, reason=why, trigger=triggers), None
    except Refused as error:
        log.error("%s: %s; not rolled back: %s", city.name, "; ".join(triggers), error)
        return None, str(error)
