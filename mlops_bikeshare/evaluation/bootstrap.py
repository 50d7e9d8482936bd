"""Is one model better than another beyond chance: a block bootstrap of paired differences.

Input    difference: float (rows,), such as squared error of one model minus the other's on the
         same rows; blocks: int (rows,), rows of one block move together.
Output   mean and the 2.5 and 97.5 percentiles of the resampled mean.
Raises   GridError for fewer than two blocks, unequal lengths, or a NaN.
Source   Künsch 1989; Efron & Tibshirani 1993, ch. 13 (percentile interval). Rows of a station
         within a few hours depend on each other, so blocks are stations × `hours`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import GridError

Array = NDArray[Any]
_DRAWS_AT_ONCE = 1_000_000


def station_blocks(stations: Array, at_s: Array, *, hours: int = 2) -> NDArray[np.int64]:
    """Block id of each row: its station code × its `hours`-long stretch of UTC time.

    `stations` are non-negative integer codes, `at_s` seconds since 1970.
    """
    stretch = np.asarray(at_s, dtype=np.int64) // (hours * 3600)
    stretch -= stretch.min() if stretch.size else 0
    span = int(stretch.max(initial=0)) + 1
    return np.asarray(stations, dtype=np.int64) * span + stretch


def paired_blocks(
    difference: Array, blocks: Array, *, resamples: int = 1000, seed: int
) -> tuple[float, float, float]:
    """Mean difference with its 95 % interval, blocks drawn with replacement."""
    difference = np.asarray(difference, dtype=np.float64)
    _check(difference, blocks)
    _, block = np.unique(blocks, return_inverse=True)
    sums, rows = np.bincount(block, weights=difference), np.bincount(block)
    if rows.size < 2:  # noqa: PLR2004 - one block has no spread
        raise GridError(f"a bootstrap needs at least two blocks, got {rows.size}")
    rng = np.random.default_rng(seed)
    at_once = max(1, _DRAWS_AT_ONCE // rows.size)
    means = []
    for start in range(0, resamples, at_once):
        shape = (min(at_once, resamples - start), rows.size)
        drawn = rng.integers(rows.size, size=shape, dtype=np.int32)
        means.append(sums[drawn].sum(axis=1) / rows[drawn].sum(axis=1))
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return float(difference.mean()), float(low), float(high)


def _check(difference: Array, blocks: Array) -> None:
    if difference.shape != np.shape(blocks):
        raise GridError(f"{difference.shape} differences but {np.shape(blocks)} block ids")
    if np.isnan(difference).any():
        raise GridError(f"{np.isnan(difference).sum()} differences are missing; leave them out")
