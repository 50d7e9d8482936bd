"""Neighbourhoods: where in the city does one model do worse than another.

Input    lat, lon: float (rows,) degrees, NaN where unknown; region: text, None where the feed has
         none; y, model, other: (rows,) 1, 0 or NaN
         and probabilities; at_s: seconds since 1970.
Output   `cells`: int (rows,) of a square grid, -1 without a position, and the names of the cells;
         `areas`: the same with the feed's regions in place of cells, where it has them;
         `worst`: SliceComparison, the cell in which the Brier difference is surely largest.
Method   stations of a neighbourhood fill and empty together, so a cell's blocks are stretches of
         two hours, all its stations at once. The interval is Student's over the blocks' sums,
         widened (Bonferroni) so that it holds for all cells at once: of a hundred equal
         neighbourhoods a plain 95 % interval would find two that are worse.
Source   Dunn 1961, Multiple comparisons among means; Cochran 1977, ch. 2 (ratio of sums).
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.reports import SliceComparison

Array = NDArray[Any]
Floats = NDArray[np.float64]
_KM_PER_DEGREE = 111.195
_STRETCH_S = 7200
_LEAST_BLOCKS = 5
_ALPHA = 0.05


def cells(lat: Array, lon: Array, *, km: float) -> tuple[NDArray[np.int64], list[str]]:
    """The grid cell of each place, and each cell's middle as `lat,lon`."""
    lat, lon = np.asarray(lat, dtype=np.float64), np.asarray(lon, dtype=np.float64)
    placed = ~np.isnan(lat + lon)
    if not placed.any():
        return np.full(lat.shape, -1), []
    up = km / _KM_PER_DEGREE
    across = up / max(math.cos(math.radians(float(lat[placed].mean()))), 0.01)
    steps = np.column_stack([np.floor(lat[placed] / up), np.floor(lon[placed] / across)])
    corners, codes = np.unique(steps, axis=0, return_inverse=True)
    found = np.full(lat.shape, -1, dtype=np.int64)
    found[placed] = codes.reshape(-1)
    names = [f"{(a + 0.5) * up:.4f},{(b + 0.5) * across:.4f}" for a, b in corners.tolist()]
    return found, names


def areas(
    lat: Array, lon: Array, region: Sequence[object], *, km: float
) -> tuple[NDArray[np.int64], list[str]]:
    """The region of each place, else its grid cell; -1 where neither is known.

    One region for all of a city tells no neighbourhoods apart: then there are cells alone.
    """
    code, names = cells(lat, lon, km=km)
    known = sorted({r for r in region if isinstance(r, str)})
    if len(known) == 1 and all(isinstance(r, str) for r in region):
        return code, names
    place = {r: len(names) + i for i, r in enumerate(known)}
    found = [place.get(r, c) for r, c in zip(region, code.tolist(), strict=True)]  # type: ignore[call-overload]
    return np.array(found, dtype=np.int64), [*names, *(f"region {r}" for r in known)]


def worst(
    target: str,
    y: Array,
    model: Array,
    other: Array,
    *,
    cell: Array,
    names: list[str],
    at_s: Array,
    least_rows: int,
) -> SliceComparison:
    """The cell whose interval of the Brier difference, model minus other, lies highest."""
    y, p, q = (np.asarray(values, dtype=np.float64) for values in (y, model, other))
    known = ~np.isnan(y + p + q) & (np.asarray(cell) >= 0)
    difference = ((p - y) ** 2 - (q - y) ** 2)[known]
    cell, stretch = np.asarray(cell)[known], np.asarray(at_s)[known] // _STRETCH_S
    rows = np.bincount(cell, minlength=len(names))
    sums, counts, of_cell = _blocks(difference, cell, stretch)
    blocks = np.bincount(of_cell, minlength=len(names))
    judged = np.flatnonzero((rows >= least_rows) & (blocks >= _LEAST_BLOCKS))
    thin = int(np.count_nonzero(rows)) - judged.size
    if not judged.size:
        return SliceComparison(target=target, cells=0, thin=thin)
    found = [_interval(sums[of_cell == c], counts[of_cell == c], among=judged.size) for c in judged]
    top = int(np.argmax([low for _, low, _ in found]))
    mean, low, high = found[top]
    return SliceComparison(
        target=target,
        cells=judged.size,
        thin=thin,
        cell=names[judged[top]],
        rows=int(rows[judged[top]]),
        difference=mean,
        low=low,
        high=high,
    )


def _blocks(
    difference: Floats, cell: Array, stretch: Array
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Sum and rows of each (cell, stretch), and its cell."""
    keys = np.column_stack([cell, stretch]).reshape(-1, 2)
    unique, block = np.unique(keys, axis=0, return_inverse=True)
    block = block.reshape(-1)
    sums: Floats = np.bincount(block, weights=difference, minlength=len(unique)).astype(np.float64)
    counts = np.bincount(block, minlength=len(unique)).astype(np.float64)
    return sums, counts, unique[:, 0].astype(np.int64)


def _interval(sums: Floats, counts: Floats, *, among: int) -> tuple[float, float, float]:
    """Mean with the interval that holds for `among` cells at once."""
    from scipy.special import stdtrit

    mean = float(sums.sum() / counts.sum())
    blocks = sums.size
    spread = float(np.sqrt(np.sum((sums - mean * counts) ** 2) * blocks / (blocks - 1)))
    half = float(stdtrit(blocks - 1, 1 - _ALPHA / 2 / among)) * spread / float(counts.sum())
    return mean, mean - half, mean + half
