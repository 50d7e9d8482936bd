"""Quality that calibrated probabilities promise, for the half hour in which no label is there yet.

Input    p: float (rows,), calibrated probabilities; NaN is left out.
Output   the expected score over the outcomes that `p` speaks of, each row drawn by its own
         probability; None where it is not defined. Brier is exact; average precision is a
         ratio of expectations, which for thousands of rows is the expectation of the ratio.
Raises   nothing.
Source   confidence-based performance estimation: Białek et al., Estimating model performance under
         covariate shift without labels (2024), section 3. It holds as long as the probabilities
         are calibrated: what drifts in P(out | features) shows only once labels are in.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def expected_brier(p: Array) -> float | None:
    """Mean of p (1 - p)."""
    p = _known(p)
    return float(np.mean(p * (1 - p))) if p.size else None


def expected_pr_auc(p: Array) -> float | None:
    """Average precision when alarms are raised from the highest probability down."""
    p = np.sort(_known(p))[::-1]
    if not p.sum() > 0:
        return None
    precision = np.cumsum(p) / np.arange(1, p.size + 1)
    return float((p * precision).sum() / p.sum())


def _known(p: Array) -> NDArray[np.float64]:
    p = np.asarray(p, dtype=np.float64)
    return p[~np.isnan(p)]
