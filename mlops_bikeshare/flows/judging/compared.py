"""The versions that two endpoints served over a window, judged on the same rows.

Input    a window of decision times; each endpoint speaks for the version it served last in it.
Output   per endpoint a Served: quality at every horizon, curves at the promised one.
Raises   ModelError when a version that predicted is no longer registered.

Rows are (station, dt, horizon) that every endpoint answered and whose label has matured, so that
one table and one picture may hold all of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

import numpy as np
import pandas as pd

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.reports import QualityReport, TargetQuality
from mlops_bikeshare.domain.targets import HORIZONS_MIN, PROMISE_MIN, TARGETS
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.evaluation.curves import TargetCurves, target_curves
from mlops_bikeshare.features.grid import Grid
from mlops_bikeshare.features.outcomes import Outcomes
from mlops_bikeshare.flows.features import station_list
from mlops_bikeshare.flows.judging import judged
from mlops_bikeshare.flows.judging.sliced import dispatch
from mlops_bikeshare.monitoring import quality
from mlops_bikeshare.monitoring.quality import Yardstick
from mlops_bikeshare.training.tested import Held

_KEY = ["station_id", "dt", "horizon_min"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """How good one endpoint's version was; `curves`, `dispatch`: per target, as promised."""

    stage: str
    report: QualityReport
    curves: Mapping[str, TargetCurves]
    dispatch: Mapping[str, Any] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """The version judged."""
        return self.report.model_version

    def at(self, horizon_min: int) -> dict[str, TargetQuality]:
        """Target → its quality at a horizon."""
        return {q.target: q for q in self.report.targets if q.horizon_min == horizon_min}


def compared(ws: Workspace, city: City, window: Window) -> list[Served]:
    """Staging first, then production; those that predicted nothing are left out."""
    known = judged.matured(window, ws.now)
    if known is None:
        return []
    names = {stage: ws.settings.endpoint(stage, city.name) for stage in ("staging", "prod")}
    said = {stage: _newest(ws, city, name, known) for stage, name in names.items()}
    said = {stage: rows for stage, rows in said.items() if len(rows)}
    if not said:
        return []
    said = _shared(said)
    stations = sorted(station_list(ws, city)["station_id"])
    happened = judged.outcomes(ws, city, stations, known, horizon_min=max(HORIZONS_MIN))
    found = []
    for stage, rows in said.items():
        table = judged.joined(ws, city, rows, happened)
        part = _judge(ws, city, stage, names[stage], table, window)
        yardsticks = judged.yardsticks(ws, city, part.version)
        told = {t: _dispatch(table, t, y, happened) for t, y in yardsticks.items()}
        found.append(replace(part, dispatch=told))
    return found


def _shared(said: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The rows that all answered, in one order; mostly they are the same ones from the start."""
    keys = [rows[_KEY].reset_index(drop=True) for rows in said.values()]
    if all(keys[0].equals(other) for other in keys[1:]):
        return said
    shared = reduce(lambda a, b: a.merge(b, on=_KEY), keys)
    return {stage: shared.merge(rows, on=_KEY) for stage, rows in said.items()}


def _newest(ws: Workspace, city: City, endpoint: str, window: Window) -> pd.DataFrame:
    """What the version that the endpoint served last said, at all horizons."""
    rows = judged.predictions(ws, city, endpoint, window, horizon_min=None)
    return judged.answered(rows, judged.newest_version(rows) or "")


def _judge(
    ws: Workspace, city: City, stage: str, endpoint: str, rows: pd.DataFrame, window: Window
) -> Served:
    version = str(rows["model_version"].iloc[0])
    yardsticks = judged.yardsticks(ws, city, version)
    report = quality.judge(
        rows,
        yardsticks,
        endpoint=endpoint,
        city=city.name,
        model_version=version,
        window=window,
        horizons_min=HORIZONS_MIN,
    )
    promised = rows[rows["horizon_min"] == PROMISE_MIN]
    curves = {t.name: _curves(promised, t.name, yardsticks[t.name]) for t in TARGETS}
    return Served(stage=stage, report=report, curves=curves)


def _dispatch(rows: pd.DataFrame, target: str, yardstick: Yardstick, happened: Grid) -> Any:
    """Alert budgets of the model and of persistence on the full hours."""
    rows = rows[rows["horizon_min"] == PROMISE_MIN]
    count = rows[f"count_{target}"].to_numpy()
    said = Held(
        dt=rows["dt"].dt.as_unit("s").astype("int64").to_numpy(),
        station=pd.Index(happened.stations).get_indexer(pd.Index(rows["station_id"])),
        already_out=(count >= 0) & yardstick.label.out(count),
        y=rows[f"label_{target}"].to_numpy(dtype=np.float32),
        model=rows[f"p_{target}"].to_numpy(),
        persistence=yardstick.persistence.predict(count, horizon_min=PROMISE_MIN),
    )
    known = said.only(np.isfinite(said.persistence))
    return dispatch(
        known,
        Outcomes.of(happened, label=yardstick.label),
        target,
        methods=("model", "persistence"),
    )


def _curves(rows: pd.DataFrame, target: str, yardstick: Yardstick) -> TargetCurves:
    count = rows[f"count_{target}"].to_numpy()
    return target_curves(
        rows[f"label_{target}"].to_numpy(dtype=np.float64),
        rows[f"p_{target}"].to_numpy(),
        yardstick.persistence.predict(count, horizon_min=PROMISE_MIN),
        already_out=(count >= 0) & yardstick.label.out(count),
    )
