"""Every score of a set of probabilities under a block bootstrap, from sums per block.

Input    y: (rows,) 1, 0 or NaN (left out); p: (rows,) in [0, 1]; already_out: bool (rows,);
         block: int (rows,) in [0, blocks), rows of one block move together; weights: (resamples,
         blocks), how often each block was drawn. Give every method the same weights: then the
         difference of two methods' values is a paired one.
Output   score name to float64 (resamples,), NaN where a draw leaves the score undefined.
Raises   GridError for unequal lengths or a block that has no weight.
Method   sums per block times weights. For PR-AUC rows are grouped by rank into at most `_RANKS`
         groups that count as ties, which moves it by less than 0.001 and its spread by nothing.
Source   Künsch 1989; Efron & Tibshirani 1993, ch. 13 (percentile interval).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import GridError
from mlops_bikeshare.domain.windows import DAY_S

Array = NDArray[Any]
Floats = NDArray[np.float64]
Interval = tuple[float, float]
SCORES = ("pr_auc", "brier", "ece", "log_loss", "onset_pr_auc", "f1", "onset_brier")
_RANKS = 2000
_ECE_BINS = 10
_LEAST_BLOCKS = 2
_LEAST_DEFINED = 0.95
# With fewer days than this a bootstrap of whole days has too few draws to mean anything.
_LEAST_DAYS = 5
_SHORT_BLOCK_S = 6 * 3600


def blocks(dt: NDArray[np.int64]) -> tuple[NDArray[np.intp], str | None]:
    """The block of each row and what a block is: a UTC day, six hours of a short test, or none."""
    for length, kind in ((DAY_S, "day"), (_SHORT_BLOCK_S, "6 h")):
        found, block = np.unique(dt // length, return_inverse=True)
        least = _LEAST_DAYS if length == DAY_S else 2
        if len(found) >= least:
            return block, kind
    return block, None


def draws(blocks: int, *, resamples: int = 1000, seed: int) -> Floats:
    """How often each block is drawn in each resample: float64 (resamples, blocks)."""
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=resamples)
    return drawn.astype(np.float64)


def resample(
    y: Array,
    p: Array,
    *,
    already_out: Array,
    block: Array,
    weights: Floats,
    threshold: float | None,
) -> dict[str, Floats]:
    """Each of SCORES in each resample."""
    y, p = np.asarray(y, dtype=np.float64), np.asarray(p, dtype=np.float64)
    if not y.shape == p.shape == np.shape(already_out) == np.shape(block):
        shapes = (y.shape, p.shape, np.shape(already_out), np.shape(block))
        raise GridError(f"labels, probabilities, states and blocks differ in length: {shapes}")
    known = ~np.isnan(y)
    y, p, block = y[known], p[known], np.asarray(block)[known]
    if block.size and block.max() >= weights.shape[1]:
        raise GridError(f"block {block.max()}, but weights for {weights.shape[1]} blocks")
    onset = ~np.asarray(already_out, dtype=np.bool_)[known]
    now = (y[onset], p[onset], block[onset])
    return {
        "pr_auc": _pr_auc(y, p, block, weights),
        "brier": _mean((p - y) ** 2, block, weights),
        "ece": _ece(y, p, block, weights),
        "log_loss": _mean(_surprise(y, p), block, weights),
        "onset_pr_auc": _pr_auc(*now, weights),
        "f1": _f1(y, p, block, weights, threshold),
        "onset_brier": _mean((now[1] - now[0]) ** 2, now[2], weights),
    }


def interval(values: Floats) -> Interval | None:
    """The 2.5 and 97.5 percentiles; None where too many draws left the score undefined."""
    defined = values[np.isfinite(values)]
    if not defined.size or defined.size < _LEAST_DEFINED * values.size:
        return None
    low, high = np.quantile(defined, [0.025, 0.975])
    return float(low), float(high)


def _sums(values: Array | None, group: Array, weights: Floats, groups: int = 1) -> Floats:
    """Sum of `values` (None: rows) per resample and group; `group` is block * groups + group."""
    blocks = weights.shape[1]
    sums = np.bincount(group, weights=values, minlength=blocks * groups)
    drawn: Floats = weights @ sums.reshape(blocks, groups).astype(np.float64)
    return drawn


def _over(part: Floats, whole: Floats) -> Floats:
    share: Floats = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
    return share


def _mean(values: Floats, block: Array, weights: Floats) -> Floats:
    return _over(_sums(values, block, weights)[:, 0], _sums(None, block, weights)[:, 0])


def _surprise(y: Floats, p: Floats) -> Floats:
    tiny = np.finfo(np.float64).eps
    p = np.clip(p, tiny, 1 - tiny)
    surprise: Floats = -(y * np.log(p) + (1 - y) * np.log1p(-p))
    return surprise


def _ece(y: Floats, p: Floats, block: Array, weights: Floats) -> Floats:
    group = block * _ECE_BINS + np.minimum((p * _ECE_BINS).astype(np.int64), _ECE_BINS - 1)
    off = np.abs(_sums(p - y, group, weights, _ECE_BINS)).sum(axis=1)
    return _over(off, _sums(None, block, weights)[:, 0])


def _f1(y: Floats, p: Floats, block: Array, weights: Floats, threshold: float | None) -> Floats:
    if threshold is None:
        return np.full(len(weights), np.nan)
    flagged = p >= threshold
    hits = _sums(y * flagged, block, weights)[:, 0]
    positives, flags = (_sums(v, block, weights)[:, 0] for v in (y, flagged.astype(np.float64)))
    return np.where(positives > 0, _over(2 * hits, positives + flags), np.nan)


def _pr_auc(y: Floats, p: Floats, block: Array, weights: Floats) -> Floats:
    if not 0 < y.sum() < y.size:
        return np.full(len(weights), np.nan)
    rank, ranks = _ranks(p)
    group = block * ranks + rank
    hits = np.cumsum(_sums(y, group, weights, ranks), axis=1)
    flagged = np.cumsum(_sums(None, group, weights, ranks), axis=1)
    found = np.diff(hits, prepend=0, axis=1)
    precision = np.divide(hits, flagged, out=np.zeros_like(hits), where=flagged > 0)
    return _over((found * precision).sum(axis=1), hits[:, -1])


def _ranks(p: Floats) -> tuple[NDArray[np.int64], int]:
    """Group of each row, the highest probabilities first, equal ones together."""
    edges = np.unique(p)
    if edges.size > _RANKS:
        edges = np.unique(np.quantile(p, np.linspace(0, 1, _RANKS)))
    above = np.searchsorted(edges, p, side="left")
    return edges.size - 1 - above, edges.size
