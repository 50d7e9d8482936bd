"""The catalogue of alarms: ops/alarms.toml, read and checked.

Input    tables [[alarm]] and [[event]] as that file explains them; `setting` gives the value of a
         dotted key of the settings.
Output   Alarms, one for each stage, and Events, in the file's order.
Raises   SettingsError for an entry that is not as described.
Source   AWS, CloudWatch API reference, PutMetricAlarm: periods x period_s is at most a day (a week
         for periods of an hour and more).
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import lru_cache
from typing import Any, get_args

from mlops_bikeshare.domain.errors import InputError, SettingsError
from mlops_bikeshare.domain.windows import DAY_S
from mlops_bikeshare.monitoring.alarms import (
    Alarm,
    Event,
    Missing,
    Relation,
    Severity,
    Stage,
    Variants,
)
from mlops_bikeshare.monitoring.metrics import Statistic, metric

_ALLOWED: Mapping[str, tuple[str, ...]] = {
    "stage": get_args(Stage),
    "severity": get_args(Severity),
    "statistic": get_args(Statistic),
    "relation": get_args(Relation),
    "missing": get_args(Missing),
    "variants": get_args(Variants),
}
_HOUR_S = 3600
# What a setting's unit (the end of its name) is worth in the unit of a metric.
_WORTH: Mapping[tuple[str, str], float] = {
    ("ms", "Microseconds"): 1000,
    ("s", "Microseconds"): 1_000_000,
    ("ms", "Seconds"): 0.001,
    ("min", "Seconds"): 60,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """What is watched, and what is told."""

    alarms: tuple[Alarm, ...]
    events: tuple[Event, ...]


def catalogue(text: str, *, setting: Callable[[str], float]) -> Catalogue:
    """The alarms and events of a TOML document."""
    try:
        document = _document(text)
        entries, events = document["alarm"], document.get("event", [])
    except (tomllib.TOMLDecodeError, KeyError) as error:
        msg = f"alarms.toml: expected tables [[alarm]], found none that can be read: {error}"
        raise SettingsError(msg) from None
    found = [alarm for entry in entries for alarm in _alarms(entry, setting)]
    names = [alarm.called(alarm.stage) for alarm in found]
    if len(set(names)) < len(names):
        raise SettingsError(f"alarms.toml: names must differ, got {sorted(names)}")
    return Catalogue(alarms=tuple(found), events=tuple(_event(entry) for entry in events))


@lru_cache(maxsize=4)
def _document(text: str) -> Mapping[str, Any]:
    """Read at every tick, and the same for months."""
    return tomllib.loads(text)


def _alarms(entry: Mapping[str, Any], setting: Callable[[str], float]) -> list[Alarm]:
    """An entry's alarm for each of its stages."""
    name = f"{entry.get('name', 'without a name')} {entry.get('severity', '')}".strip()
    wanted = {f.name: f.default is MISSING for f in fields(Alarm) if f.name != "stage"}
    _check_keys(f"alarm {name}", entry, {**wanted, "stages": True})
    rest = {key: value for key, value in entry.items() if key not in {"stages", "threshold"}}
    found = [
        Alarm(**rest, stage=stage, threshold=_threshold(entry, setting))
        for stage in entry["stages"]
    ]
    for alarm in found:
        _check(alarm, name)
    return found


def _event(entry: Mapping[str, Any]) -> Event:
    name = entry.get("name", "without a name")
    _check_keys(f"event {name}", entry, {f.name: True for f in fields(Event)})
    return Event(**{**entry, "kinds": tuple(entry["kinds"])})


def _check_keys(what: str, entry: Mapping[str, Any], wanted: Mapping[str, bool]) -> None:
    missing = sorted(key for key, needed in wanted.items() if needed and key not in entry)
    extra = sorted(set(entry) - set(wanted))
    if missing or extra:
        msg = f"alarms.toml, {what}: missing {missing or 'none'}, unknown {extra or 'none'}"
        raise SettingsError(msg)


def _threshold(entry: Mapping[str, Any], setting: Callable[[str], float]) -> float:
    """The number, or the setting's value in the metric's unit."""
    threshold = entry["threshold"]
    if not isinstance(threshold, str):
        return float(threshold)
    return float(setting(threshold)) * _per_unit(threshold, entry["metric"])


def _per_unit(key: str, name: str) -> float:
    try:
        unit = metric(name).unit
    except InputError:
        return 1.0  # the check of the alarm names it
    return _WORTH.get((key.rpartition("_")[2], unit), 1)


def _check(alarm: Alarm, name: str) -> None:
    for key, values in _ALLOWED.items():
        if getattr(alarm, key) not in values:
            got = getattr(alarm, key)
            msg = f"alarms.toml, alarm {name}: {key} is {got!r}, expected one of"
            raise SettingsError(f"{msg} {', '.join(values)}")
    if not 1 <= alarm.breaching <= alarm.periods:
        msg = f"alarms.toml, alarm {name}: breaching is {alarm.breaching}"
        raise SettingsError(f"{msg}, expected 1 to periods ({alarm.periods})")
    longest = DAY_S * (7 if alarm.period_s >= _HOUR_S else 1)
    if alarm.periods * alarm.period_s > longest:
        msg = f"alarms.toml, alarm {name}: {alarm.periods} periods of {alarm.period_s} s"
        raise SettingsError(f"{msg} are longer than CloudWatch looks back ({longest} s)")
    try:
        found = [metric(read) for read in alarm.inputs]
    except InputError as error:
        raise SettingsError(f"alarms.toml, alarm {name}: {error}") from None
    if len({(entry.namespace, entry.dimensions) for entry in found}) > 1:
        msg = f"alarms.toml, alarm {name}: {', '.join(alarm.inputs)} have different dimensions"
        raise SettingsError(f"{msg}, so no period of one belongs to one of the other")
    by_variant = "VariantName" in found[0].dimensions and alarm.variants == "each"
    if alarm.missing == "breaching" and by_variant:
        msg = f"alarms.toml, alarm {name}: a variant that is not there is no breach"
        raise SettingsError(f'{msg}; set variants = "together", or another `missing`')
