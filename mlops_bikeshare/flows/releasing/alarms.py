"""Alarms as of now: every alarm of a stage, for each variant where its metric has variants.

Output   monitoring.alarms.Seen for each; an alarm of several variants is as bad as the worst.
Raises   SettingsError when ops/alarms.toml is not there or not readable.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import SettingsError
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.monitoring import alarms
from mlops_bikeshare.monitoring.alarms import Alarm, Seen
from mlops_bikeshare.monitoring.metrics import metric
from mlops_bikeshare.serving import endpoints
from mlops_bikeshare.settings import Settings, Stage

TICK = timedelta(seconds=1)
FILE = Path("ops") / "alarms.toml"
_BADNESS = {"OK": 0, "INSUFFICIENT_DATA": 1, "ALARM": 2}


def look(ws: Workspace, city: City, *, stage: Stage) -> list[Seen]:
    """The state of each alarm of a stage."""
    endpoint = ws.settings.endpoint(stage, city.name)
    state = endpoints.describe(ws.clients, endpoint)
    names = [variant.name for variant in state.variants if variant.weight > 0]
    found = [a for a in load(ws.settings) if a.stage == stage]
    return [_worst(ws, alarm, endpoint, city, names) for alarm in found]


def since(ws: Workspace, city: City, *, stage: Stage, moved_at: datetime) -> list[Seen]:
    """The alarms that a version itself can set off, on what was measured since it came.

    Those are the endpoint's own: requests that failed or took long. Scores and drift of 24 h speak
    of the version before for a day, the feed's alarms of no version.
    """
    if ws.now <= moved_at:
        return []
    window = Window(moved_at + TICK, ws.now + TICK)
    endpoint = ws.settings.endpoint(stage, city.name)
    serving = [v.name for v in endpoints.describe(ws.clients, endpoint).variants if v.weight > 0]
    own = [
        a
        for a in load(ws.settings)
        if a.stage == stage and "VariantName" in metric(a.metric).dimensions
    ]
    return [
        alarms.look_within(
            ws.metrics, alarm, {"EndpointName": endpoint, "VariantName": variant}, window=window
        )
        for alarm in own
        for variant in serving
    ]


def load(settings: Settings) -> list[Alarm]:
    """The alarms of the root, else those of the checkout that this package comes from."""
    for root in (settings.root, Path(__file__).resolve().parents[3]):
        if (root / FILE).is_file():
            text = (root / FILE).read_text(encoding="utf-8")
            return alarms.catalogue(text, setting=lambda key: _setting(settings, key))
    raise SettingsError(f"there is no {FILE} in {settings.root}; take it from the checkout")


def firing(seen: Sequence[Seen]) -> list[Seen]:
    """Those in ALARM."""
    return [alarm for alarm in seen if alarm.state == "ALARM"]


def quiet(seen: Sequence[Seen]) -> bool:
    """Whether every alarm is OK; one that cannot know is not confirmed."""
    return all(alarm.state == "OK" for alarm in seen)


def summary(seen: Sequence[Seen]) -> str:
    """One line for people and for the audit."""
    loud = ", ".join(
        f"{a.name} ({'no data' if a.value is None else f'{a.value:.4g}'} {a.relation}"
        f" {a.threshold:g})"
        for a in firing(seen)
    )
    unsure = ", ".join(alarm.name for alarm in seen if alarm.state == "INSUFFICIENT_DATA")
    parts = [f"firing: {loud}"] if loud else []
    parts += [f"not enough data: {unsure}"] if unsure else []
    return "; ".join(parts) or f"all {len(seen)} alarms are quiet"


def _worst(ws: Workspace, alarm: Alarm, endpoint: str, city: City, variants: Sequence[str]) -> Seen:
    """The worst of the metric's series; `City` has one, `VariantName` one for each variant."""
    values = {"EndpointName": endpoint, "City": city.name}
    names = metric(alarm.metric).dimensions
    of = {name: values[name] for name in names if name in values}
    every = [{**of, "VariantName": v} for v in variants] if "VariantName" in names else [of]
    seen = [alarms.look(ws.metrics, alarm, dimensions, at=ws.now) for dimensions in every]
    return max(seen, key=lambda one: _BADNESS[one.state])


def _setting(settings: Settings, key: str) -> float:
    section, _, name = key.partition(".")
    value = getattr(getattr(settings, section, None), name, None)
    if not isinstance(value, int | float):
        raise SettingsError(f"{FILE}: threshold {key!r} is no number in bikeshare.toml")
    return float(value)
