"""Calibrated trees against persistence on the days that were kept for a test.

Input    a TrainingTable, its test rows, a sample of them at other horizons, and a model: trees,
         calibrations and persistence per target.
Output   `Tested`: quality per target and horizon; curves and the answers themselves at the promised
         one, on every test row.
Raises   ModelError where the model has no probability for a labelled row.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.reports import TargetQuality
from mlops_bikeshare.domain.targets import HORIZONS_MIN, PROMISE_MIN
from mlops_bikeshare.evaluation.curves import TargetCurves, target_curves
from mlops_bikeshare.evaluation.persistence import Persistence
from mlops_bikeshare.training.calibrate import Calibration
from mlops_bikeshare.training.evaluate import evaluate
from mlops_bikeshare.training.sample import Sample
from mlops_bikeshare.training.table import Plan, TrainingTable


class Booster(Protocol):
    """Trees of any library."""

    def predict_parts(
        self, matrices: Iterable[NDArray[np.float32]], *, threads: int
    ) -> NDArray[np.float64]:
        """Raw probabilities of the rows of all matrices."""
        ...


class Model(Protocol):
    """What is tested."""

    @property
    def boosters(self) -> Mapping[str, Booster]:
        """Trees of each target."""
        ...

    @property
    def calibrations(self) -> Mapping[str, Calibration]:
        """Calibrators and thresholds of each target."""
        ...

    @property
    def persistence(self) -> Mapping[str, Persistence]:
        """The baseline of each target."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Test rows of one target at the promised horizon; y is NaN where unknown.

    `station` indexes the table's station ids; `model` and `persistence` are probabilities.
    """

    dt: NDArray[np.int64]
    station: NDArray[np.integer]
    already_out: NDArray[np.bool_]
    y: NDArray[np.float32]
    model: NDArray[np.float64]
    persistence: NDArray[np.float64]

    def only(self, chosen: NDArray[np.bool_]) -> "Held":
        """The chosen rows."""
        return Held(**{f.name: getattr(self, f.name)[chosen] for f in fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """How good a model was on its test days."""

    quality: tuple[TargetQuality, ...]
    curves: Mapping[str, TargetCurves]
    held: Mapping[str, Held]


def tested(
    table: TrainingTable, rows: NDArray[np.intp], others: Sample, model: Model, *, plan: Plan
) -> Tested:
    """Every test row at the promised horizon, a sample at each of the others."""
    asked = {h: others.rows[others.horizon_min == h] for h in HORIZONS_MIN} | {PROMISE_MIN: rows}
    quality, curves, held = [], {}, {}
    for target in table.counts:
        for h in HORIZONS_MIN:
            said = _answers(table, target, asked[h], horizon_min=h, model=model, plan=plan)
            dt, threshold = table.dt[asked[h]], model.calibrations[target].threshold
            quality.append(evaluate(target, horizon_min=h, **said, dt=dt, threshold=threshold))
            if h == PROMISE_MIN:
                curves[target] = target_curves(**said)
                held[target] = Held(dt=dt, station=table.station[rows], **said)
    return Tested(quality=tuple(quality), curves=curves, held=held)


def out_now(
    table: TrainingTable, target: str, rows: NDArray[np.intp], *, plan: Plan
) -> NDArray[np.bool_]:
    """Whether each row's station is known to be out at dt."""
    counts = table.counts[target][rows]
    out: NDArray[np.bool_] = (counts >= 0) & plan.label.out(counts)
    return out


def _answers(
    table: TrainingTable,
    target: str,
    rows: NDArray[np.intp],
    *,
    horizon_min: int,
    model: Model,
    plan: Plan,
) -> dict[str, Any]:
    """Labels of rows, what model and persistence say of them, and who is out already."""
    asked = Sample(rows, np.full(len(rows), horizon_min, dtype=np.int16))
    parts = (part.matrix(table.features) for part in asked.parts())
    raw = model.boosters[target].predict_parts(parts, threads=plan.params.threads)
    counts = table.counts[target][rows]
    return {
        "y": table.labels(target, rows, asked.horizon_min),
        "model": model.calibrations[target].apply(raw, asked.horizon_min),
        "persistence": model.persistence[target].predict(counts, horizon_min=horizon_min),
        "already_out": out_now(table, target, rows, plan=plan),
    }
