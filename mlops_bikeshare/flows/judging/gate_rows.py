"""The same station-times for all: a version against the champion and against persistence.

Input    a window of decision times; what both endpoints predicted in it and what happened.
Output   Compared: Brier differences with their intervals, over the city and by neighbourhood.
         Without a champion (a first deploy, or production itself) persistence alone is compared
         with, on all rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.reports import Comparison, SliceComparison
from mlops_bikeshare.domain.targets import PROMISE_MIN, TARGETS, Target
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.evaluation import neighbourhoods
from mlops_bikeshare.evaluation.bootstrap import station_blocks
from mlops_bikeshare.evaluation.comparison import compare
from mlops_bikeshare.flows.features import station_list
from mlops_bikeshare.flows.judging import judged
from mlops_bikeshare.flows.judging.neighbourhoods import areas_of
from mlops_bikeshare.registry import versions

_KEY = ["station_id", "dt", "horizon_min"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A version minus others, on the same rows."""

    champion: Sequence[Comparison] = ()
    persistence: Sequence[Comparison] = ()
    slices: Sequence[SliceComparison] = ()
    pinned: dict[str, str | int | float] = field(default_factory=dict)


def compared(ws: Workspace, city: City, endpoint: str, version: str, window: Window) -> Compared:
    """Compare by Brier score at the promised horizon."""
    known = judged.matured(window, ws.now)
    if known is None:
        return Compared()
    mine = _said(ws, city, endpoint, version, known)
    prod = ws.settings.endpoint("prod", city.name)
    champion = versions.find_if_any(city.registered_model, versions.CHAMPION)
    label, others = judged.label_of(ws, city, version), None
    if champion is not None and prod != endpoint:
        judged.check_label(ws, city, champion.version, label, whose=f"version {version}")
        others = _said(ws, city, prod, champion.version, known)
        mine = mine.merge(others, on=_KEY, suffixes=("", "_champion"))
    if mine.empty:
        return Compared()
    stations = station_list(ws, city)
    happened = judged.outcomes(ws, city, sorted(stations["station_id"]), known)
    rows = judged.labelled(mine, happened, label=label)
    return Compared(
        persistence=_persistence(ws, city, version, rows),
        champion=() if others is None else _champion(ws, rows),
        slices=() if others is None else _slices(ws, rows, stations),
        pinned={} if champion is None else {"champion_version": champion.version},
    )


def _said(ws: Workspace, city: City, endpoint: str, version: str, window: Window) -> pd.DataFrame:
    rows = judged.predictions(ws, city, endpoint, window)
    mine = judged.answered(rows, version)
    return mine[[*_KEY, *(target.probability for target in TARGETS)]]


def _persistence(
    ws: Workspace, city: City, version: str, rows: pd.DataFrame
) -> tuple[Comparison, ...]:
    yardsticks = judged.yardsticks(ws, city, version)
    others = {}
    for target in TARGETS:
        count = rows[f"count_{target.name}"].to_numpy()
        table = yardsticks[target.name].persistence
        others[target.name] = table.predict(count, horizon_min=PROMISE_MIN)
    return _means(ws, rows, others)


def _champion(ws: Workspace, rows: pd.DataFrame) -> tuple[Comparison, ...]:
    return _means(ws, rows, {t.name: _theirs(rows, t) for t in TARGETS})


def _theirs(rows: pd.DataFrame, target: Target) -> NDArray[np.float64]:
    return rows[f"{target.probability}_champion"].to_numpy(dtype=np.float64)


def _means(
    ws: Workspace, rows: pd.DataFrame, others: dict[str, NDArray[np.float64]]
) -> tuple[Comparison, ...]:
    codes = np.unique(rows["station_id"].to_numpy(dtype=object), return_inverse=True)[1]
    blocks = station_blocks(codes, _seconds(rows))
    found = [
        compare(
            t.name,
            rows[f"label_{t.name}"].to_numpy(),
            rows[t.probability].to_numpy(),
            others[t.name],
            blocks,
            seed=ws.settings.training.seed,
        )
        for t in TARGETS
    ]
    return tuple(comparison for comparison in found if comparison is not None)


def _slices(
    ws: Workspace, rows: pd.DataFrame, stations: pd.DataFrame
) -> tuple[SliceComparison, ...]:
    rules, places = ws.settings.gate, stations.set_index("station_id")
    cell, names = areas_of(places, km=rules.slice_km)
    of_row = cell[places.index.get_indexer(pd.Index(rows["station_id"]))]
    return tuple(
        neighbourhoods.worst(
            t.name,
            rows[f"label_{t.name}"].to_numpy(),
            rows[t.probability].to_numpy(),
            _theirs(rows, t),
            cell=of_row,
            names=names,
            at_s=_seconds(rows),
            least_rows=rules.slice_samples,
        )
        for t in TARGETS
    )


def _seconds(rows: pd.DataFrame) -> NDArray[np.int64]:
    seconds: NDArray[np.int64] = rows["dt"].dt.as_unit("s").astype("int64").to_numpy()
    return seconds
