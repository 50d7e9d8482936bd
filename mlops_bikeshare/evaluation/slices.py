"""Where a model is weak: scores of onset rows by neighbourhood, hour, capacity, kind of day.

Input    rows of one target at one horizon: y 1, 0 or NaN (left out), model and persistence
         (probabilities), already_out (left out), dt int64 seconds; and per dimension the name of
         each row's slice.
Output   `Slice` per name, the worst first: that with the least onset Brier skill over persistence.
         Skill is comparable between slices whose base rates differ; PR-AUC is not, and is shown
         beside it. A slice with fewer than `LEAST_ONSETS` onsets has no skill and is never worst.
         `interval`: 95 %, whole days or six hours resampled; None where there are too few.
Raises   GridError where lengths differ.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import GridError
from mlops_bikeshare.evaluation.resampled import blocks, draws, interval
from mlops_bikeshare.evaluation.scores import pr_auc, skill

Array = NDArray[Any]
LEAST_ONSETS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Onset rows of one slice; `skill`: 1 - Brier ÷ persistence's Brier."""

    dimension: str
    name: str
    rows: int
    onsets: int
    onset_base_rate: float
    skill: float | None
    interval: tuple[float, float] | None
    onset_pr_auc: float | None
    persistence_onset_pr_auc: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Onset rows with a label; `block` is None where there is too little to resample."""

    y: Array
    model: Array
    persistence: Array
    block: Array
    weights: Array | None

    @classmethod
    def of(
        cls, y: Array, model: Array, persistence: Array, *, already_out: Array, dt: Array, seed: int
    ) -> tuple["Rows", Array]:
        """The rows that count, and which of those given they are."""
        if not len(y) == len(model) == len(persistence) == len(already_out) == len(dt):
            raise GridError("labels, probabilities, states and times of slices differ in length")
        y, ours, theirs = (np.asarray(v, dtype=np.float64) for v in (y, model, persistence))
        chosen = ~np.isnan(y + ours + theirs) & ~np.asarray(already_out, dtype=np.bool_)
        block, kind = blocks(np.asarray(dt)[chosen])
        weights = draws(int(block.max()) + 1, seed=seed) if kind else None
        return cls(
            y=y[chosen],
            model=ours[chosen],
            persistence=theirs[chosen],
            block=block,
            weights=weights,
        ), chosen


def slices(
    rows: Rows, names: Mapping[str, Array], *, least_onsets: int = LEAST_ONSETS
) -> dict[str, list[Slice]]:
    """Every slice of every dimension, the worst first, those too small to judge last."""
    found = {}
    for dimension, of_row in names.items():
        known, code = np.unique(np.asarray(of_row).astype(str), return_inverse=True)
        order = np.argsort(code, kind="stable")
        ends = np.cumsum(np.bincount(code, minlength=len(known)))
        parts = [
            _slice(rows, part, dimension, name, least_onsets)
            for name, part in zip(known.tolist(), np.split(order, ends[:-1]), strict=True)
        ]
        found[dimension] = sorted(parts, key=_badness)
    return found


def worst(found: Mapping[str, Sequence[Slice]]) -> dict[str, Slice]:
    """The worst slice of every dimension that has one with onsets enough."""
    return {dimension: parts[0] for dimension, parts in found.items() if parts[0].skill is not None}


def _badness(part: Slice) -> tuple[bool, float, str]:
    return part.skill is None, part.skill or 0.0, part.name


def _slice(rows: Rows, part: Array, dimension: str, name: str, least_onsets: int) -> Slice:
    y, model, persistence = rows.y[part], rows.model[part], rows.persistence[part]
    onsets = int(y.sum())
    ours, theirs = (model - y) ** 2, (persistence - y) ** 2
    enough = onsets >= least_onsets
    return Slice(
        dimension=dimension,
        name=name,
        rows=len(part),
        onsets=onsets,
        onset_base_rate=float(y.mean()),
        skill=skill(float(ours.mean()), float(theirs.mean())) if enough else None,
        interval=_interval(rows, part, ours, theirs) if enough else None,
        onset_pr_auc=pr_auc(y, model) if enough else None,
        persistence_onset_pr_auc=pr_auc(y, persistence) if enough else None,
    )


def _interval(rows: Rows, part: Array, ours: Array, theirs: Array) -> tuple[float, float] | None:
    if rows.weights is None:
        return None
    width = rows.weights.shape[1]
    sums = [np.bincount(rows.block[part], weights=v, minlength=width) for v in (ours, theirs)]
    mine, other = (rows.weights @ total for total in sums)
    ratio = np.divide(mine, other, out=np.full(len(mine), np.nan), where=other > 0)
    return interval(1 - ratio)
