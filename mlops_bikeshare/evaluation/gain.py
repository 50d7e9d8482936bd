"""How much better a candidate finds onsets than the champion, on the same rows.

Input    y: (rows,) 1, 0 or NaN; candidate, champion: (rows,) probabilities, NaN where one did not
         answer; already_out: bool (rows,); dt: int64 seconds (rows,).
Output   `Gain`: onset PR-AUC of both, their difference with its paired 95 % interval; None where
         undefined (one class, or too few days or six-hour blocks to resample).
Raises   GridError where lengths differ.
Source   paired block bootstrap, see `resampled`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.evaluation.resampled import blocks, draws, interval, resample
from mlops_bikeshare.evaluation.scores import pr_auc

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """Candidate against champion on one target's onset rows; positive `gain`: it is better."""

    target: str
    rows: int
    candidate: float | None
    champion: float | None
    gain: float | None
    low: float | None
    high: float | None


def onset_gain(
    target: str,
    y: Array,
    candidate: Array,
    champion: Array,
    *,
    already_out: Array,
    dt: Array,
    seed: int,
) -> Gain:
    """Onset PR-AUC of both on the rows that both answered, and the difference."""
    y, ours, theirs = (np.asarray(v, dtype=np.float64) for v in (y, candidate, champion))
    chosen = ~np.isnan(y + ours + theirs) & ~np.asarray(already_out, dtype=np.bool_)
    y, ours, theirs, dt = y[chosen], ours[chosen], theirs[chosen], np.asarray(dt)[chosen]
    found, held = pr_auc(y, ours), pr_auc(y, theirs)
    between = _interval(y, (ours, theirs), dt, seed=seed)
    return Gain(
        target=target,
        rows=len(y),
        candidate=found,
        champion=held,
        gain=None if found is None or held is None else found - held,
        low=between[0] if between else None,
        high=between[1] if between else None,
    )


def _interval(
    y: Array, answers: tuple[Array, Array], dt: Array, *, seed: int
) -> tuple[float, float] | None:
    block, kind = blocks(dt)
    if kind is None:
        return None
    weights = draws(int(block.max()) + 1, seed=seed)
    nobody = np.zeros(len(y), dtype=np.bool_)
    ours, theirs = (
        resample(y, p, already_out=nobody, block=block, weights=weights, threshold=None)["pr_auc"]
        for p in answers
    )
    return interval(ours - theirs)
