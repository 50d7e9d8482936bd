"""Where to raise an alarm, and what alarms are worth, when a missed stockout has a price.

Input    y: (rows,) 1 out, 0 not out, NaN (left out); p: (rows,) calibrated probabilities, of
         stations that are not out yet; cost_ratio: cost of a missed stockout over that of a false
         alarm.
Output   a threshold; `Alarms`, None where undefined.
Raises   GridError for a cost ratio that is not positive; ModelError for unusable probabilities.
Source   Elkan 2001, The foundations of cost-sensitive learning: for a true probability the alarm
         pays from 1 / (1 + cost_ratio) on.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import GridError
from mlops_bikeshare.evaluation.scores import pr_curve

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarms:
    """Alarms at a threshold; `cost_saved`: 1 - cost ÷ the cost of never raising one."""

    threshold: float
    alarms: int
    precision: float | None
    recall: float | None
    cost_saved: float | None


def alarm_threshold(y: Array, p: Array, *, cost_ratio: float) -> float:
    """The cheapest of the probabilities; Elkan's where none is cheaper than never an alarm."""
    _check(cost_ratio)
    recall, precision, thresholds = pr_curve(y, p)
    found = recall > 0
    if not found.any():
        return 1 / (1 + cost_ratio)
    recall, precision, thresholds = recall[found], precision[found], thresholds[found]
    # In units of all stockouts: those missed, and the alarms raised in vain.
    cost = cost_ratio * (1 - recall) + recall * (1 / precision - 1)
    best = int(np.argmin(cost))
    return float(thresholds[best]) if cost[best] < cost_ratio else 1 / (1 + cost_ratio)


def alarms_at(y: Array, p: Array, *, threshold: float, cost_ratio: float) -> Alarms:
    """What alarms from `threshold` on are worth."""
    _check(cost_ratio)
    known = ~np.isnan(y)
    y, raised = np.asarray(y)[known], np.asarray(p)[known] >= threshold
    hits, stockouts, alarms = int(y[raised].sum()), int(y.sum()), int(raised.sum())
    cost = cost_ratio * (stockouts - hits) + (alarms - hits)
    return Alarms(
        threshold=threshold,
        alarms=alarms,
        precision=hits / alarms if alarms else None,
        recall=hits / stockouts if stockouts else None,
        cost_saved=1 - cost / (cost_ratio * stockouts) if stockouts else None,
    )


def _check(cost_ratio: float) -> None:
    if not 0 < cost_ratio < np.inf:
        msg = f"cost_ratio={cost_ratio}: expected a positive number"
        raise GridError(f"{msg}, the cost of a missed stockout over that of a false alarm")
