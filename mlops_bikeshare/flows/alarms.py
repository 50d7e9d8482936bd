"""Alarms at every tick: what fires, since when, and who is told.

Input    a workspace and a city; the time is the workspace's.
Output   `tick`: the states of all alarms of the city's endpoints, kept in `alarms.json`; whoever
         was not told yet is told (notify.py). `now`: the same, only looked at. `apply`: the
         catalogue as CloudWatch alarms.
Raises   `tick` nothing: judging comes first, and what goes wrong with alarms is logged. The others
         SettingsError, LakeError.

Alarms that nobody can look at (a metric store, an audit, a catalogue that cannot be read) are an
alarm themselves, `<endpoint>-alarms-unseen-critical`: it is told like any other, and its end too.
Alarms of an endpoint count from its first deploy on. A staging endpoint that was stopped has none.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import BikeshareError, EndpointError
from mlops_bikeshare.domain.variants import ALL_TRAFFIC, BASELINE, CANDIDATE
from mlops_bikeshare.domain.windows import stamp
from mlops_bikeshare.flows import notify, records
from mlops_bikeshare.flows.judging import reference
from mlops_bikeshare.flows.process import remembered
from mlops_bikeshare.flows.releasing import alarms
from mlops_bikeshare.monitoring import cloudwatch_alarms
from mlops_bikeshare.monitoring.alarms import Seen
from mlops_bikeshare.monitoring.cloudwatch_alarms import Definition, Place
from mlops_bikeshare.monitoring.metrics import point
from mlops_bikeshare.release import history
from mlops_bikeshare.serving import endpoints
from mlops_bikeshare.settings import Settings, Stage

log = logging.getLogger(__name__)
FILE = "alarms.json"
# An update is blue/green: what served before it serves until it is over.
ANSWERING = ("InService", "Updating", "SystemUpdating", "RollingBack")
STAGES: tuple[Stage, ...] = ("staging", "prod")
# A canary rests on production alone.
VARIANTS = {"staging": (ALL_TRAFFIC,), "prod": (ALL_TRAFFIC, BASELINE, CANDIDATE)}
Entries = Sequence[Mapping[str, Any]]


UNSEEN = "alarms-unseen"


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """The states of all alarms; `unseen` says why nobody could look, None: somebody did."""

    alarms: tuple[Seen, ...]
    unseen: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One alarm, and since when it has been in its state (None: that was not kept)."""

    seen: Seen
    since: datetime | None


def tick(ws: Workspace, city: City, *, at: datetime) -> Looked:
    """Measure what alarms need, look at them, keep their states, tell whoever is to be told."""
    seen: list[Seen] = []
    entries: Entries = ()
    with _logged(city) as wrong:
        entries = records.audited(ws)
        there = _endpoints(ws, city, entries)
        # What cannot be measured or kept must not silence what can be told.
        with _logged(city):
            _measure(ws, city, there, at=at)
        with _logged(city):
            _put_level(ws, city, entries, there, at=at)
        seen = _look(ws, city, there)
        with _logged(city):
            _keep(ws, seen)
    if entries or wrong:
        notify.tell(ws, city, [*seen, _sight(ws, city, wrong)])
    return Looked(alarms=tuple(seen), unseen="; ".join(wrong) or None)


def now(ws: Workspace, city: City) -> list[Standing]:
    """Every alarm as it is, with the time since when as far as that was kept."""
    kept = read(ws)
    there = _endpoints(ws, city, records.audited(ws))
    return [
        Standing(seen=seen, since=_since(kept.get(seen.name), seen.state))
        for seen in _look(ws, city, there)
    ]


def summary(found: Sequence[Standing]) -> str:
    """A line per alarm, what fires first."""
    if not found:
        return "no alarm: nothing was deployed yet"
    order = {"ALARM": 0, "INSUFFICIENT_DATA": 1, "OK": 2}
    ranked = sorted(found, key=lambda one: order[one.seen.state])
    lines = [_line(one) for one in ranked]
    return "\n".join([*lines, alarms.summary([one.seen for one in found])])


def exit_code(found: Sequence[Standing]) -> int:
    """0 all quiet, 1 something fires, 3 nothing fires but something, or all, cannot be known."""
    if not found:
        return 3
    if alarms.firing([one.seen for one in found]):
        return 1
    return 0 if alarms.quiet([one.seen for one in found]) else 3


def definitions(settings: Settings, city: City) -> list[Definition]:
    """The catalogue as arguments of PutMetricAlarm."""
    found = []
    for stage in STAGES:
        place = Place(
            endpoint=settings.endpoint(stage, city.name),
            city=city.name,
            variants=VARIANTS[stage],
            topic=settings.notify.sns_topic,
        )
        mine = [alarm for alarm in alarms.load(settings).alarms if alarm.stage == stage]
        found += cloudwatch_alarms.definitions(mine, place)
    return found


def apply(ws: Workspace, city: City) -> dict[str, str]:
    """Put the catalogue's alarms of a city into CloudWatch; what became of each."""
    prefixes = [f"{ws.settings.endpoint(stage, city.name)}-" for stage in STAGES]
    return cloudwatch_alarms.put(ws.cloudwatch, definitions(ws.settings, city), prefixes=prefixes)


def read(ws: Workspace) -> dict[str, dict[str, Any]]:
    """What was kept: alarm → state, since, severity, value and `at` of the last tick."""
    return remembered.read(ws, FILE)


@contextmanager
def _logged(city: City) -> Iterator[list[str]]:
    """Log what goes wrong, and go on; the list says it."""
    wrong: list[str] = []
    try:
        yield wrong
    except (BikeshareError, OSError, ValueError) as error:
        log.error("alarms of %s: %s", city.name, error)
        wrong.append(str(error))
    except Exception as error:
        log.exception("alarms of %s failed in a way that nobody foresaw", city.name)
        wrong.append(f"unforeseen {type(error).__name__}")


def _sight(ws: Workspace, city: City, wrong: Sequence[str]) -> Seen:
    """Whether the alarms could be looked at, as an alarm."""
    return Seen(
        name=f"{ws.settings.endpoint('prod', city.name)}-{UNSEEN}-critical",
        severity="critical",
        state="ALARM" if wrong else "OK",
        value=float(len(wrong)),
        relation=">",
        threshold=0.0,
        meaning=f"nobody can look at the alarms: {'; '.join(wrong)}",
        runbook=UNSEEN,
    )


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """One that was deployed once; `gone`: deleted since. One that does not answer is neither."""

    stage: Stage
    name: str
    is_up: bool
    gone: bool
    variants: tuple[str, ...]


def _endpoints(ws: Workspace, city: City, entries: Entries) -> list[_Endpoint]:
    names = {stage: ws.settings.endpoint(stage, city.name) for stage in STAGES}
    return [
        _endpoint(ws, stage, name) for stage, name in names.items() if history.reigns(entries, name)
    ]


def _endpoint(ws: Workspace, stage: Stage, name: str) -> _Endpoint:
    try:
        state = endpoints.find(ws.clients, name)
    except EndpointError:
        return _Endpoint(stage, name, is_up=False, gone=False, variants=())
    if state is None:
        return _Endpoint(stage, name, is_up=False, gone=True, variants=())
    is_up = state.status in ANSWERING
    return _Endpoint(stage, name, is_up=is_up, gone=False, variants=tuple(alarms.serving(state)))


def _look(ws: Workspace, city: City, there: Sequence[_Endpoint]) -> list[Seen]:
    found = []
    for one in there:
        if one.stage == "prod" or not one.gone:
            found += alarms.look(ws, city, stage=one.stage, variants=one.variants)
    return found


def _measure(ws: Workspace, city: City, there: Sequence[_Endpoint], *, at: datetime) -> None:
    """Whether production answers."""
    for one in there:
        if one.stage == "prod":
            of = {"EndpointName": one.name, "City": city.name}
            found = [point("EndpointUp", float(one.is_up), at=at, dimensions=of)]
            ws.metrics.put(found, once=f"tick {one.name} {stamp(at)}")


def _put_level(
    ws: Workspace, city: City, entries: Entries, there: Sequence[_Endpoint], *, at: datetime
) -> None:
    """The level that production's champion is compared with."""
    for one in there:
        if one.stage == "prod":
            found = reference.points(ws, city, entries, at=at)
            ws.metrics.put(found, once=f"level {one.name} {stamp(at)}")


def _keep(ws: Workspace, seen: Sequence[Seen]) -> None:
    """What changed is dated now; the states of other cities stay."""
    if not seen:
        return
    with remembered.changing(ws, FILE) as kept:
        kept |= {alarm.name: _kept(kept.get(alarm.name), alarm, ws.now) for alarm in seen}


def _kept(before: Mapping[str, Any] | None, alarm: Seen, at: datetime) -> dict[str, Any]:
    since = _since(before, alarm.state) or at
    return {
        "state": alarm.state,
        "since": since.isoformat(),
        "severity": alarm.severity,
        "value": alarm.value,
        "at": at.isoformat(),
    }


def _since(before: Mapping[str, Any] | None, state: str) -> datetime | None:
    same = before is not None and before["state"] == state
    return datetime.fromisoformat(before["since"]) if before is not None and same else None


def _line(one: Standing) -> str:
    since = f" since {one.since:%F %H:%M}" if one.since else ""
    seen = one.seen
    value = "no data" if seen.value is None else f"{seen.value:.4g}"
    limit = f"fires when {seen.relation} {seen.threshold:g}"
    return f"{seen.state:<17} {seen.name}: {value} ({limit}){since}"
