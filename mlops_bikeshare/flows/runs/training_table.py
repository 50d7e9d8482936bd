"""Stored features and truth to the table that training reads.

Two passes over the days: keys first (24 bytes a row), which say what rows training will use;
then the features of those rows alone, into one array made beforehand. Memory is bounded by the
rows used, not by the history.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.targets import HORIZONS_MIN, TARGETS, Target
from mlops_bikeshare.domain.windows import Window, from_seconds
from mlops_bikeshare.features.definition import COUNT_FEATURES, FEATURE_NAMES
from mlops_bikeshare.features.labels import out_for_rows
from mlops_bikeshare.flows.features import OFFLINE, station_list
from mlops_bikeshare.flows.judging.labels import truth
from mlops_bikeshare.flows.process.progress import Track
from mlops_bikeshare.training import tuning
from mlops_bikeshare.training.candidate import needed
from mlops_bikeshare.training.split import Split
from mlops_bikeshare.training.table import Plan, TrainingTable


@dataclass(frozen=True)
class _Keys:
    """Station (index) and dt (seconds) of every stored row, and how many each day has."""

    stations: list[str]
    station: NDArray[np.int64]
    dt: NDArray[np.int64]
    rows_of: dict[date, int]


def load(ws: Workspace, city: City, split: Split, plan: Plan, track: Track) -> TrainingTable:
    """The rows of `split` that training uses, with their labels."""
    return load_window(ws, city, split.window, partial(needed, split=split, plan=plan), track)


def load_folds(
    ws: Workspace, city: City, folds: Sequence[Split], plan: Plan, track: Track
) -> TrainingTable:
    """The rows that any of `folds` uses in tuning, with their labels."""
    window = Window(folds[0].train.start, folds[-1].calibrate.end)
    return load_window(ws, city, window, partial(tuning.needed, folds=folds, plan=plan), track)


def load_window(
    ws: Workspace,
    city: City,
    window: Window,
    choose: Callable[[list[str], NDArray[np.int64], NDArray[np.int64]], NDArray[np.bool_]],
    track: Track,
) -> TrainingTable:
    """The rows of `window` that `choose(stations, station, dt)` takes, with their labels."""
    stations = sorted(station_list(ws, city)["station_id"])
    keys = _keys(ws, city, window, stations)
    wanted = choose(stations, keys.station, keys.dt)
    features = _features(ws, city, keys, wanted, track)
    beyond = timedelta(minutes=max(HORIZONS_MIN), seconds=1)
    grid = truth(ws, city, stations=stations, window=Window(window.start, window.end + beyond))
    station, dt = keys.station[wanted], keys.dt[wanted]
    slot = grid.index_of(dt)
    by_name = {target.name: target for target in TARGETS}

    def labels(
        target: str, rows: NDArray[np.intp], horizon_min: NDArray[np.int16]
    ) -> NDArray[np.float32]:
        return out_for_rows(
            grid,
            target=by_name[target],
            slot=slot[rows],
            station=station[rows],
            horizon_min=horizon_min,
            label=city.label,
        )

    return TrainingTable(
        names=FEATURE_NAMES,
        features=features,
        station_ids=stations,
        station=station,
        dt=dt,
        counts={t.name: _counts(features, t) for t in TARGETS},
        labels=labels,
    )


def data_digest(ws: Workspace, city: City, window: Window) -> str:
    """Sha256 over the keys and contents of the feature objects that training read."""
    digest = hashlib.sha256()
    for day in window.days():
        for key in ws.lake.keys(OFFLINE, city=city.name, day=day):
            digest.update(key.encode() + hashlib.sha256(ws.lake.store.read(key)).digest())
    return digest.hexdigest()


def _keys(ws: Workspace, city: City, window: Window, stations: list[str]) -> _Keys:
    index = pd.Index(stations)
    station, dt, rows_of = [], [], {}
    for day in window.days():
        rows = _day(ws, city, day, window, columns=["station_id", "dt"])
        rows_of[day] = len(rows)
        station.append(index.get_indexer(pd.Index(rows["station_id"])))
        dt.append(_seconds(rows["dt"]))
    if not any(rows_of.values()):
        known = ws.lake.days(OFFLINE, city=city.name)
        there = f"there are features of {known[0]}..{known[-1]}" if known else "there are none"
        msg = f"no features of {city.name} in {window}; {there}"
        raise InputError(f"{msg}. Run `bikeshare ingest` and `bikeshare features` first")
    return _Keys(stations, np.concatenate(station), np.concatenate(dt), rows_of)


def _features(
    ws: Workspace, city: City, keys: _Keys, wanted: NDArray[np.bool_], track: Track
) -> NDArray[np.float32]:
    out = np.empty((int(wanted.sum()), len(FEATURE_NAMES)), dtype=np.float32)
    window = Window(from_seconds(keys.dt.min()), from_seconds(keys.dt.max() + 1))
    seen = filled = 0
    days = [day for day, rows in keys.rows_of.items() if rows]
    for day in track(days, label=f"read {city.name}", total=len(days)):
        chosen = wanted[seen : seen + keys.rows_of[day]]
        seen += len(chosen)
        if chosen.any():
            rows = _day(ws, city, day, window, columns=list(FEATURE_NAMES))
            count = int(chosen.sum())
            out[filled : filled + count] = rows.to_numpy(dtype=np.float32)[chosen]
            filled += count
    return out


def _day(
    ws: Workspace, city: City, day: date, window: Window, *, columns: list[str]
) -> pd.DataFrame:
    whole = Window.day(day)
    part = Window(max(whole.start, window.start), min(whole.end, window.end))
    return ws.lake.read(OFFLINE, city=city.name, window=part, columns=columns)


def _counts(features: NDArray[np.float32], target: Target) -> NDArray[np.int64]:
    """The count that a target watches, as the feature row has it; -1 where missing."""
    values = features[:, FEATURE_NAMES.index(COUNT_FEATURES[target.count])]
    return np.where(np.isnan(values), -1, values).astype(np.int64)


def _seconds(times: "pd.Series[pd.Timestamp]") -> NDArray[np.int64]:
    seconds: NDArray[np.int64] = np.asarray(times.dt.as_unit("s").astype("int64"), dtype=np.int64)
    return seconds
