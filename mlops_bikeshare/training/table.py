"""What a training is given: rows of (station, dt) with their labels, and how to learn from them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.label import USUAL, Label
from mlops_bikeshare.training.fit import FitParams


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingTable:
    """Rows of (station, dt).

    `counts` maps target to the count that it watches, now; -1 where missing.
    `labels(target, rows, horizon_min)` gives float32 (n,), NaN where unknown, for rows: intp (n,)
    and the horizon of each: int16 (n,).
    """

    names: Sequence[str]
    features: NDArray[np.float32]
    station_ids: Sequence[str]
    station: NDArray[np.integer]
    dt: NDArray[np.int64]
    counts: Mapping[str, NDArray[np.integer]]
    labels: Callable[[str, NDArray[np.intp], NDArray[np.int16]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much to learn from, and how.

    `cost_ratio`: cost of a missed stockout over that of a false alarm. `with_peer`: train XGBoost
    on the same rows as well. `contribution_rows`: rows of the SHAP summary, 0 for none.
    """

    params: FitParams = field(default_factory=FitParams)
    max_rows: int = 500_000
    max_stop_rows: int = 100_000
    max_calibrate_rows: int = 400_000
    max_test_rows: int = 400_000
    max_reference_rows: int = 200_000
    label: Label = USUAL
    cost_ratio: float = 4.0
    with_peer: bool = False
    contribution_rows: int = 100
