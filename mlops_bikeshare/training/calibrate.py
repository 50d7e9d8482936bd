"""Calibrators per group of horizons, and two thresholds, all from a slice of their own.

Input    y: float32 (rows,), NaN where unknown; p: float64 (rows,) straight from the trees;
         horizon_min: int (rows,); already_out: bool (rows,), no alarm is needed there.
Output   a Calibration: beta calibrators that keep the ranking and, at the promised horizon on
         calibrated probabilities, the threshold with the best F1 (all rows: what F1 is judged at)
         and the alarm threshold, the cheapest at the stated cost ratio (rows not out already).
Raises   InputError where a group of horizons has no rows of both classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import InputError, ModelError
from mlops_bikeshare.domain.targets import PROMISE_MIN
from mlops_bikeshare.evaluation.alarms import alarm_threshold
from mlops_bikeshare.evaluation.calibration import BetaCalibrator
from mlops_bikeshare.evaluation.scores import best_f1_threshold

COST_RATIO = 4.0
# Horizons of one group are answered by the same trees.
GROUPS_MIN: tuple[tuple[int, ...], ...] = (
    (30,),
    (10, 20, 40),
    (50, 60, 70, 80),
    (90, 100, 110, 120),
)


@dataclass(frozen=True, slots=True)
class Calibration:
    """How one target's raw probabilities become true ones, and where to draw the line."""

    groups_min: tuple[tuple[int, ...], ...]
    calibrators: tuple[BetaCalibrator, ...]
    threshold: float
    alarm_threshold: float = np.nan

    def apply(
        self, p: NDArray[np.float64], horizon_min: NDArray[np.integer]
    ) -> NDArray[np.float64]:
        """Calibrated probabilities; NaN for a horizon that belongs to no group."""
        answer = np.full(p.shape, np.nan)
        for group, calibrator in zip(self.groups_min, self.calibrators, strict=True):
            chosen = np.isin(horizon_min, group)
            answer[chosen] = calibrator.apply(p[chosen])
        return answer

    def to_json(self) -> list[dict[str, Any]]:
        """The calibrators as the artefact's scorer.json holds them."""
        return [
            {"horizons_min": list(group), **calibrator.to_json()}
            for group, calibrator in zip(self.groups_min, self.calibrators, strict=True)
        ]


def calibrate(
    target: str,
    y: NDArray[np.float32],
    p: NDArray[np.float64],
    horizon_min: NDArray[np.integer],
    *,
    groups_min: Sequence[tuple[int, ...]] = GROUPS_MIN,
    promise_min: int = PROMISE_MIN,
    already_out: NDArray[np.bool_] | None = None,
    cost_ratio: float = COST_RATIO,
) -> Calibration:
    """Learn a calibrator per group, then the thresholds at `promise_min`."""
    calibrators = tuple(
        _calibrator(target, y, p, chosen=np.isin(horizon_min, group), group=group)
        for group in groups_min
    )
    calibrated = Calibration(tuple(groups_min), calibrators, np.nan).apply(p, horizon_min)
    promised = horizon_min == promise_min
    threshold = best_f1_threshold(y[promised], calibrated[promised])
    if threshold is None:
        msg = (
            f"{target}: none of {int(promised.sum())} calibration rows at {promise_min} min is out,"
            f" so no threshold can be chosen; give a longer calibration range"
        )
        raise InputError(msg)
    onset = promised if already_out is None else promised & ~already_out
    alarm = alarm_threshold(y[onset], calibrated[onset], cost_ratio=cost_ratio)
    return Calibration(tuple(groups_min), calibrators, threshold, alarm)


def _calibrator(
    target: str,
    y: NDArray[np.float32],
    p: NDArray[np.float64],
    *,
    chosen: NDArray[np.bool_],
    group: tuple[int, ...],
) -> BetaCalibrator:
    try:
        return BetaCalibrator.fit(y[chosen], p[chosen])
    except ModelError as error:
        which = " to ".join(dict.fromkeys(map(str, (group[0], group[-1]))))
        msg = (
            f"{target}, horizons {which} min: {error}; give a longer calibration range, or one"
            f" with observed stockouts"
        )
        raise InputError(msg) from error
