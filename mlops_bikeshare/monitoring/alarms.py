"""Alarms: the catalogue in ops/alarms.toml, and CloudWatch's own evaluation of it.

Input    tables [[alarm]] of TOML: name, stage, metric (of the catalogue), statistic, period_s,
         periods, breaching, relation, threshold (a number in the metric's unit, or the dotted
         key of a setting, whose name ends in its unit), missing, meaning. A metric store,
         dimensions, a time.
Output   Seen: OK, ALARM or INSUFFICIENT_DATA, with the newest value.
Raises   SettingsError for an entry that is not as described.
Source   AWS, CloudWatch User Guide, "Configuring how CloudWatch alarms treat missing data":
         `breaching` of the last `periods` periods must breach; `missing` says what a period
         without data counts as (breaching, notBreaching, missing: nothing at all).
"""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

from mlops_bikeshare.domain.errors import InputError, SettingsError
from mlops_bikeshare.domain.windows import Window, floor_time
from mlops_bikeshare.monitoring.metrics import MetricStore, Statistic, is_percentile, metric

State = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]
Relation = Literal[">", ">=", "<", "<="]
Missing = Literal["breaching", "notBreaching", "missing"]

_BREACHES: Mapping[str, Callable[[float, float], bool]] = {
    ">": lambda value, threshold: value > threshold,
    ">=": lambda value, threshold: value >= threshold,
    "<": lambda value, threshold: value < threshold,
    "<=": lambda value, threshold: value <= threshold,
}
# What a setting's unit (the end of its name) is worth in the unit of a metric.
_WORTH: Mapping[tuple[str, str], float] = {
    ("ms", "Microseconds"): 1000,
    ("s", "Microseconds"): 1_000_000,
    ("ms", "Seconds"): 0.001,
    ("min", "Seconds"): 60,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One alarm on one metric of the endpoints of a stage."""

    name: str
    stage: Literal["staging", "prod"]
    metric: str
    statistic: Statistic
    period_s: int
    periods: int
    breaching: int
    relation: Relation
    threshold: float
    missing: Missing
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The state of an alarm; `value` is its newest period's, None where there was none."""

    name: str
    state: State
    value: float | None
    relation: Relation
    threshold: float
    meaning: str


def catalogue(text: str, *, setting: Callable[[str], float]) -> list[Alarm]:
    """The alarms of a TOML document; `setting` gives the value of a dotted key."""
    try:
        entries = tomllib.loads(text)["alarm"]
    except (tomllib.TOMLDecodeError, KeyError) as error:
        msg = f"alarms.toml: expected tables [[alarm]], found none that can be read: {error}"
        raise SettingsError(msg) from None
    found = [_alarm(entry, setting) for entry in entries]
    names = [alarm.name for alarm in found]
    if len(set(names)) < len(names):
        raise SettingsError(f"alarms.toml: names must differ, got {sorted(names)}")
    return found


def state(alarm: Alarm, values: Sequence[float | None]) -> State:
    """The state after these periods, oldest first; None: a period without data."""
    recent = list(values)[-alarm.periods :]
    known = [value for value in recent if value is not None]
    breached = sum(_BREACHES[alarm.relation](value, alarm.threshold) for value in known)
    silent = alarm.periods - len(known)
    if alarm.missing == "missing" and not known:
        return "INSUFFICIENT_DATA"
    if alarm.missing == "breaching":
        breached += silent
    return "ALARM" if breached >= alarm.breaching else "OK"


def look(store: MetricStore, alarm: Alarm, dimensions: Mapping[str, str], *, at: datetime) -> Seen:
    """Evaluate an alarm as of `at`: the period of `at` is not over and does not count."""
    end = floor_time(at, step_s=alarm.period_s)
    window = Window(end - timedelta(seconds=alarm.period_s * alarm.periods), end)
    return _seen(alarm, _values(store, alarm, dimensions, window))


def look_within(
    store: MetricStore, alarm: Alarm, dimensions: Mapping[str, str], *, window: Window
) -> Seen:
    """Evaluate an alarm on what was measured in a window alone, its unfinished period too.

    A percentile cannot be cut: of those only the periods that lie wholly inside count. A period
    without data says nothing here.
    """
    if is_percentile(alarm.statistic):
        step = timedelta(seconds=alarm.period_s)
        end = floor_time(window.end, step_s=alarm.period_s)
        start = floor_time(window.start - timedelta(microseconds=1), step_s=alarm.period_s) + step
        values = _values(store, alarm, dimensions, Window(start, end)) if start < end else []
    else:
        values = _values(store, alarm, dimensions, window)
    return _seen(replace(alarm, missing="missing"), values)


def _values(
    store: MetricStore, alarm: Alarm, dimensions: Mapping[str, str], window: Window
) -> list[float | None]:
    """The statistic of each period that the window touches."""
    found = dict(
        store.series(
            metric(alarm.metric).namespace,
            alarm.metric,
            dimensions,
            window=window,
            statistic=alarm.statistic,
            period_s=alarm.period_s,
        )
    )
    periods = window.widened(step_s=alarm.period_s).steps(step_s=alarm.period_s)
    return [found.get(start) for start in periods]


def _seen(alarm: Alarm, values: Sequence[float | None]) -> Seen:
    return Seen(
        name=alarm.name,
        state=state(alarm, values),
        value=values[-1] if values else None,
        relation=alarm.relation,
        threshold=alarm.threshold,
        meaning=alarm.meaning,
    )


def _alarm(entry: Mapping[str, Any], setting: Callable[[str], float]) -> Alarm:
    name = entry.get("name", "without a name")
    wanted = {field.name for field in fields(Alarm)}
    if set(entry) != wanted:
        missing, extra = sorted(wanted - set(entry)), sorted(set(entry) - wanted)
        msg = f"alarms.toml, alarm {name}: missing {missing or 'none'}, unknown {extra or 'none'}"
        raise SettingsError(msg)
    alarm = Alarm(**{**entry, "threshold": _threshold(entry, setting)})
    allowed = {
        "stage": ("staging", "prod"),
        "statistic": get_args(Statistic),
        "relation": get_args(Relation),
        "missing": get_args(Missing),
    }
    for key, values in allowed.items():
        if getattr(alarm, key) not in values:
            got = getattr(alarm, key)
            msg = f"alarms.toml, alarm {name}: {key} is {got!r}, expected one of"
            raise SettingsError(f"{msg} {', '.join(values)}")
    if not 1 <= alarm.breaching <= alarm.periods:
        msg = f"alarms.toml, alarm {name}: breaching is {alarm.breaching}"
        raise SettingsError(f"{msg}, expected 1 to periods ({alarm.periods})")
    return alarm


def _threshold(entry: Mapping[str, Any], setting: Callable[[str], float]) -> float:
    """The limit in the metric's own unit, whichever unit its setting has."""
    try:
        unit = metric(entry["metric"]).unit
    except InputError as error:
        raise SettingsError(f"alarms.toml, alarm {entry['name']}: {error}") from None
    threshold = entry["threshold"]
    if not isinstance(threshold, str):
        return float(threshold)
    return setting(threshold) * _WORTH.get((threshold.rpartition("_")[2], unit), 1)
