"""Explain: why a version expects a stockout at one station, from what was known at dt.

Input    a station, a decision time, an alias or version (None: champion, else challenger).
Output   `Explained`: both targets with their largest contributions, each with the feature's value
         and unit. Nothing is stored.
Raises   InputError for a station that is not listed or not known at dt; ModelError for a version
         that is not there or was trained on other features.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.targets import PROMISE_MIN
from mlops_bikeshare.domain.windows import floor_time
from mlops_bikeshare.features.definition import FEATURE_NAMES, FEATURES
from mlops_bikeshare.features.online import row_at
from mlops_bikeshare.flows import tracking
from mlops_bikeshare.flows.features import known_at, profiles_for, station_list
from mlops_bikeshare.flows.judging import judged
from mlops_bikeshare.registry import explain as trees
from mlops_bikeshare.registry import versions
from mlops_bikeshare.registry.explain import Explanation

TOP = 8
_SAID = {f.name: (f.unit, f.doc) for f in FEATURES} | {"horizon_min": ("min", "minutes ahead")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One feature's share in an answer, in log-odds before calibration."""

    feature: str
    value: float | None
    unit: str
    meaning: str
    contribution: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One target: base + the parts + `others` = margin; `p` is what is served."""

    p: float
    margin: float
    base: float
    parts: tuple[Part, ...]
    others: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """Both targets at one station and time."""

    city: str
    station_id: str
    name: str | None
    dt: datetime
    horizon_min: int
    model_version: str
    targets: Mapping[str, Told]


def explain(
    ws: Workspace,
    city: City,
    *,
    station_id: str,
    at: datetime,
    reference: str | None = None,
    horizon_min: int = PROMISE_MIN,
    top: int = TOP,
) -> Explained:
    """What moves the answers for a station at the newest decision time at or before `at`."""
    dt = floor_time(at)
    name, row = _row(ws, city, station_id, dt)
    tracking.connect(ws)
    version = _version(city, reference)
    folder = judged.artifacts(ws, city, version)
    found = trees.explain(folder, row, horizon_min=horizon_min, version=version)
    values = {**row, "horizon_min": float(horizon_min)}
    return Explained(
        city=city.name,
        station_id=station_id,
        name=name,
        dt=dt,
        horizon_min=horizon_min,
        model_version=version,
        targets={target: _told(said, values, top=top) for target, said in found.items()},
    )


def summary(found: Explained) -> str:
    """Both targets for a person, one line a feature."""
    where = f"{found.station_id}{f' ({found.name})' if found.name else ''}"
    when = f"{found.dt:%F %H:%M} UTC, {found.horizon_min} min ahead"
    lines = [f"{where} at {when}, by version {found.model_version}; in log-odds, uncalibrated"]
    for target, told in found.targets.items():
        lines.append(f"{target}: p = {told.p:.3f}, log-odds {told.margin:+.2f}")
        lines += [_line(f"{p.contribution:+.2f}", _value(p), p.meaning) for p in told.parts]
        lines.append(_line(f"{told.others:+.2f}", "all others", ""))
        lines.append(_line(f"{told.base:+.2f}", "before looking at the station", ""))
    return "\n".join(lines)


def _row(
    ws: Workspace, city: City, station_id: str, dt: datetime
) -> tuple[str | None, dict[str, float]]:
    """The station's name and its features as known at dt."""
    stations = station_list(ws, city, day=dt.date())
    listed = stations[stations["station_id"] == station_id]
    if listed.empty:
        some = ", ".join(stations["station_id"].iloc[:5])
        raise InputError(f"--station {station_id}: not a station of {city.name}, as {some} are")
    profiles = profiles_for(ws, city, dt.date())
    known = known_at(ws, city, dt)
    rows = row_at(known, dt=dt, stations=stations, city=city, profiles=profiles)
    rows = rows[rows["station_id"] == station_id]
    if rows.empty:
        msg = f"station {station_id} has no known count at {dt:%F %H:%M} UTC: it was silent,"
        raise InputError(f"{msg} the feed was down, or the day was not ingested")
    label = listed["name"].iloc[0]
    features = rows.iloc[0][list(FEATURE_NAMES)]
    values = {name: float(features[name]) for name in FEATURE_NAMES}
    return label if isinstance(label, str) else None, values


def _version(city: City, reference: str | None) -> str:
    if reference is not None:
        return versions.find(city.registered_model, reference).version
    champion = versions.find_if_any(city.registered_model, versions.CHAMPION)
    found = champion or versions.find(city.registered_model, versions.CHALLENGER)
    return found.version


def _told(said: Explanation, values: Mapping[str, float], *, top: int) -> Told:
    shown = list(said.contributions.items())[:top]
    parts = tuple(
        Part(
            feature=name,
            value=None if math.isnan(values[name]) else values[name],
            unit=_SAID[name][0],
            meaning=_SAID[name][1],
            contribution=share,
        )
        for name, share in shown
    )
    others = sum(said.contributions.values()) - sum(share for _, share in shown)
    return Told(p=said.p, margin=said.margin, base=said.base, parts=parts, others=others)


def _line(share: str, what: str, meaning: str) -> str:
    return f"  {share:>6}  {what:<34}  {meaning}".rstrip()


def _value(part: Part) -> str:
    if part.value is None:
        return f"{part.feature} unknown"
    unit = "" if part.unit == "1" else f" {part.unit}"
    return f"{part.feature} = {part.value:.4g}{unit}"
