"""Alarms as of now: every alarm of a stage, for each variant where its metric has variants.

Output   monitoring.alarms.Seen for each; an alarm of several variants is as bad as the worst.
Raises   SettingsError when ops/alarms.toml is not there or not readable.

A host that does not answer must not silence the alarms: then the variants are those that the store
knows. Silence counts against an endpoint only from its first version on: before that, alarms of
missing data cannot know.
"""

import dataclasses
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import EndpointError, SettingsError
from mlops_bikeshare.domain.variants import ALL_TRAFFIC
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows import records
from mlops_bikeshare.monitoring import alarms
from mlops_bikeshare.monitoring.alarm_catalogue import Catalogue, catalogue
from mlops_bikeshare.monitoring.alarms import Alarm, Seen
from mlops_bikeshare.monitoring.metrics import ENDPOINT, MetricStore, metric
from mlops_bikeshare.release import history
from mlops_bikeshare.serving import endpoints
from mlops_bikeshare.serving.endpoints import EndpointState
from mlops_bikeshare.settings import Settings, Stage

FILE = Path("ops") / "alarms.toml"
TICK = timedelta(seconds=1)


def look(
    ws: Workspace,
    city: City,
    *,
    stage: Stage,
    variants: Sequence[str] = (),
    metrics: MetricStore | None = None,
) -> list[Seen]:
    """The state of each alarm of a stage; the endpoint is asked for its `variants` unless given.

    `metrics`: where to look instead of the workspace's own.
    """
    endpoint = ws.settings.endpoint(stage, city.name)
    variants = variants or _variants(ws, endpoint)
    mine = [alarm for alarm in load(ws.settings).alarms if alarm.stage == stage]
    found = []
    for alarm in mine:
        series = alarms.dimensions(alarm, endpoint=endpoint, city=city.name, variants=variants)
        store = metrics or ws.metrics
        found.append(alarms.look(store, alarm, series, endpoint=endpoint, at=ws.now))
    return _since_it_serves(ws, endpoint, mine, found)


def since(ws: Workspace, city: City, *, stage: Stage, moved_at: datetime) -> list[Seen]:
    """The alarms that a version itself can set off, on what was measured since it came.

    Those are of each of the endpoint's variants: requests that failed or took long. Scores and
    drift of 24 h speak of the version before for a day, the feed's alarms of no version.
    """
    if ws.now <= moved_at:
        return []
    window = Window(moved_at + TICK, ws.now + TICK)
    endpoint = ws.settings.endpoint(stage, city.name)
    variants = serving(endpoints.describe(ws.clients, endpoint))
    mine = [alarm for alarm in load(ws.settings).alarms if alarm.stage == stage]
    found = []
    for alarm in mine:
        if alarm.variants == "each" and "VariantName" in metric(alarm.metric).dimensions:
            series = alarms.dimensions(alarm, endpoint=endpoint, city=city.name, variants=variants)
            seen = alarms.look_within(ws.metrics, alarm, series, endpoint=endpoint, window=window)
            found.append(seen)
    return found


def serving(state: EndpointState) -> list[str]:
    """The variants that take traffic."""
    return [variant.name for variant in state.variants if variant.weight > 0]


def load(settings: Settings) -> Catalogue:
    """The alarms of the root, else those of the checkout that this package comes from."""
    for root in (settings.root, Path(__file__).resolve().parents[3]):
        if (root / FILE).is_file():
            text = (root / FILE).read_text(encoding="utf-8")
            return _read(text, settings)
    raise SettingsError(f"there is no {FILE} in {settings.root}; take it from the checkout")


def firing(seen: Sequence[Seen]) -> list[Seen]:
    """Those in ALARM."""
    return [alarm for alarm in seen if alarm.state == "ALARM"]


def quiet(seen: Sequence[Seen]) -> bool:
    """Whether every alarm is OK; one that cannot know is not confirmed."""
    return all(alarm.state == "OK" for alarm in seen)


def summary(seen: Sequence[Seen]) -> str:
    """One line for people and for the audit."""
    loud = ", ".join(f"{a.name} ({reading(a)})" for a in firing(seen))
    unsure = ", ".join(alarm.name for alarm in seen if alarm.state == "INSUFFICIENT_DATA")
    parts = [f"firing: {loud}"] if loud else []
    parts += [f"not enough data: {unsure}"] if unsure else []
    return "; ".join(parts) or f"all {len(seen)} alarms are quiet"


def reading(seen: Seen) -> str:
    """Its newest value beside its threshold."""
    value = "no data" if seen.value is None else f"{seen.value:.4g}"
    return f"{value} {seen.relation} {seen.threshold:g}"


def _read(text: str, settings: Settings) -> Catalogue:
    return catalogue(text, setting=lambda key: _setting(settings, key))


def _variants(ws: Workspace, endpoint: str) -> list[str]:
    """Those that answer; where nobody can say, every one that ever did."""
    try:
        return serving(endpoints.describe(ws.clients, endpoint))
    except EndpointError:
        known = [of for _, of in ws.metrics.names(ENDPOINT) if of.get("EndpointName") == endpoint]
        return sorted({of["VariantName"] for of in known}) or [ALL_TRAFFIC]


def _since_it_serves(
    ws: Workspace, endpoint: str, mine: Sequence[Alarm], found: Sequence[Seen]
) -> list[Seen]:
    """What fires only because nothing was there yet cannot know."""
    both = list(zip(mine, found, strict=True))
    silent = [a.missing == "breaching" and s.state == "ALARM" for a, s in both]
    if not any(silent):
        return list(found)
    reigns = history.reigns(records.audited(ws), endpoint)
    first = reigns[0].since if reigns else None
    return [
        dataclasses.replace(seen, state="INSUFFICIENT_DATA")
        if was_silent and _reaches_before(alarm, first, at=ws.now)
        else seen
        for (alarm, seen), was_silent in zip(both, silent, strict=True)
    ]


def _reaches_before(alarm: Alarm, first: datetime | None, *, at: datetime) -> bool:
    reach = timedelta(seconds=alarm.period_s * (alarm.periods + 1))
    return first is None or at - reach < first


def _setting(settings: Settings, key: str) -> float:
    section, _, name = key.partition(".")
    value = getattr(getattr(settings, section, None), name, None)
    if not isinstance(value, int | float):
        raise SettingsError(f"{FILE}: threshold {key!r} is no number in bikeshare.toml")
    return float(value)
