"""Features as they would be with other counts now, or at another time of the year.

Input    a carried `Grid` that ends with the slot of dt, and what is supposed: bikes of stations in
         that slot, or a shift of the whole grid in time.
Output   a `Grid` to compute features from, and `rows`: float32 (stations, features) of its last
         slot, for every station of the grid (NaN where unknown).
Raises   GridError for counts that a station cannot hold, or a shift that is no whole slot.
Method   the grid is changed, not its features: margins, fills, extremes, neighbours and the network
         follow from the one kernel. A station holds as many bikes and docks as before; the slots
         before the last stay as they were. A shift moves every slot and report alike, so that the
         last hours happen at the other time, against what is usual then; the profiles may know that
         day, for nothing here is judged.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import GridError
from mlops_bikeshare.domain.windows import SLOT_S
from mlops_bikeshare.features.block import Block
from mlops_bikeshare.features.definition import compute
from mlops_bikeshare.features.grid import MISSING, Counts, Grid
from mlops_bikeshare.features.profiles import ProfileState


def with_bikes(grid: Grid, bikes: Counts) -> Grid:
    """The grid with these bikes (stations,) in its last slot; -1 leaves a station as it is."""
    now, docks = grid.bikes[-1], grid.docks[-1]
    changed = bikes != MISSING
    room = np.where(docks == MISSING, np.iinfo(np.int16).max, now + np.maximum(docks, 0))
    if np.any(changed & ((bikes < 0) | (bikes > room))):
        raise GridError("a station was given fewer bikes than none, or more than it holds")
    if np.any(changed & (now == MISSING)):
        raise GridError("a station whose bikes are not known was given some")
    left = np.where(docks == MISSING, MISSING, now + docks - bikes).astype(np.int16)
    return replace(
        grid,
        bikes=_last(grid.bikes, np.where(changed, bikes, now)),
        docks=_last(grid.docks, np.where(changed, left, docks)),
    )


def shifted(grid: Grid, *, by_s: int) -> Grid:
    """The same slots, `by_s` seconds later."""
    if by_s % SLOT_S:
        raise GridError(f"a grid moves by whole slots of {SLOT_S} s, not by {by_s} s")
    reported = grid.last_reported
    moved = np.where(reported == MISSING, reported, reported + by_s)
    return replace(grid, start_s=grid.start_s + by_s, last_reported=moved)


def rows(
    grid: Grid, *, stations: pd.DataFrame, city: City, profiles: ProfileState
) -> npt.NDArray[np.float32]:
    """The features of the last slot, one row a station of the grid."""
    block = Block.of(grid, dts=grid.slot_ends[-1:], stations=stations, city=city, profiles=profiles)
    return compute(block, np.ones(block.shape, dtype=np.bool_)).T


def _last(counts: Counts, values: npt.NDArray[np.int16]) -> Counts:
    changed = counts.copy()
    changed[-1] = values
    return changed
