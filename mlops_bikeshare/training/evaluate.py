"""Model against persistence on the same rows of one target at one horizon.

Input    y: float (rows,), NaN where unknown (left out); model and persistence: float64 (rows,)
         calibrated probabilities; already_out: whether out at dt; dt: int64 seconds (rows,).
Output   domain.reports.TargetQuality. Rows without a persistence answer (count now unknown) are
         left out for both, so that both are judged on the same rows.
Raises   ModelError where the model has no probability for a labelled row.
"""

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.reports import TargetQuality
from mlops_bikeshare.evaluation.scores import score, skill


def evaluate(
    target: str,
    *,
    horizon_min: int,
    y: NDArray[np.floating],
    model: NDArray[np.float64],
    persistence: NDArray[np.float64],
    already_out: NDArray[np.bool_],
    dt: NDArray[np.int64],
    threshold: float,
) -> TargetQuality:
    """Score both, and how much of persistence's Brier score the model removes."""
    judged = np.isfinite(y) & np.isfinite(persistence)
    y, out = y[judged], already_out[judged]
    ours = score(y, model[judged], already_out=out, threshold=threshold)
    theirs = score(y, persistence[judged], already_out=out, threshold=threshold)
    return TargetQuality(
        target=target,
        horizon_min=horizon_min,
        decision_times=len(np.unique(dt[judged])),
        model=ours,
        persistence=theirs,
        brier_skill=skill(ours.brier, theirs.brier),
        onset_brier_skill=skill(ours.onset_brier, theirs.onset_brier),
    )
