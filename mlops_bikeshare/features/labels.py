"""Stockout labels: whether a station is out of bikes, or of docks, at (or within) dt + horizon_min.

Input    grid: a `Grid` by `observed_at`: int16 (slots, stations) counts, -1 where missing; the
         definition of a stockout, a `Label`.
Output   float32 (slots, stations), aligned to the slot of dt: 1 out, 0 not out, NaN where the
         future was not observed (a missed poll, a silent station, a feed that was down, the end of
         the grid) or the station did not take part at dt + horizon_min (not installed, not renting
         for bikes, not returning for docks). Within: 1 where any known slot after dt and up to
         dt + horizon_min is out, else NaN where any of them is not known.
Raises   GridError if a horizon is negative or not a multiple of the slot length.
Source   GBFS v2.3, station_status.json.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from mlops_bikeshare.domain.errors import GridError
from mlops_bikeshare.domain.label import USUAL, Label, Mode
from mlops_bikeshare.domain.targets import Target
from mlops_bikeshare.domain.windows import SLOT_S
from mlops_bikeshare.features.grid import Counts, Flags, Grid

Labels = npt.NDArray[np.float32]
Indices = npt.NDArray[np.integer]
_ARRAYS = {
    "num_bikes_available": "bikes",
    "num_docks_available": "docks",
    "is_renting": "renting",
    "is_returning": "returning",
}


def out_at(grid: Grid, *, target: Target, horizon_min: int, label: Label = USUAL) -> Labels:
    """Whether each station is out at dt + `horizon_min` itself, for the dt of every slot."""
    ahead = int(slots_ahead(np.asarray(horizon_min)))
    now = _outcome(grid, target=target, label=label)
    labels = np.full(now.shape, np.nan, dtype=np.float32)
    if ahead < len(now):
        labels[: len(now) - ahead] = now[ahead:]
    return labels


def out_for_rows(
    grid: Grid,
    *,
    target: Target,
    slot: Indices,
    station: Indices,
    horizon_min: Indices,
    label: Label = USUAL,
) -> Labels:
    """Labels of sampled rows: slot index of dt, station index and horizon of each row."""
    slot, station = np.asarray(slot), np.asarray(station)

    def outcome(rows: Indices, ahead: Indices) -> Labels:
        then = slot[rows] + ahead
        inside = then < len(grid.bikes)
        at = (np.where(inside, then, 0), station[rows])
        count, in_service = count_of(grid, target=target)[at], _in_service(grid, target=target)[at]
        known = inside & grid.observed[at] & in_service & (count >= 0)
        return np.where(known, label.out(count), np.nan).astype(np.float32)

    return along(
        outcome, ahead=slots_ahead(np.asarray(horizon_min)), rows=len(slot), mode=label.mode
    )


def along(
    outcome: Callable[[Indices, Indices], Labels], *, ahead: Indices, rows: int, mode: Mode
) -> Labels:
    """The label of each row from the outcomes of the slots on its way.

    `outcome(rows, ahead)`: 1, 0 or NaN of the slot `ahead` slots after dt, for the named rows.
    """
    ahead = np.broadcast_to(ahead, (rows,))
    if mode == "at":
        return outcome(np.arange(rows), ahead)
    found = np.zeros(rows, dtype=np.float32)
    for step in range(1, int(ahead.max(initial=0)) + 1):
        # A row that is out stays out; one that is not known may still turn out to be.
        going = np.flatnonzero((ahead >= step) & (found != 1))
        then = outcome(going, np.full(len(going), step))
        found[going] = np.where(then == 1, 1, found[going] + then)  # NaN stays NaN
    return found


def already_out(grid: Grid, *, target: Target, label: Label = USUAL) -> Flags:
    """Whether each station is known to be out in the slot itself."""
    count = count_of(grid, target=target)
    return (count >= 0) & label.out(count)


def count_of(grid: Grid, *, target: Target) -> Counts:
    """The count that `target` watches, -1 where missing."""
    counts: Counts = getattr(grid, _ARRAYS[target.count])
    return counts


def _outcome(grid: Grid, *, target: Target, label: Label) -> Labels:
    """1, 0 or NaN in each slot itself."""
    count = count_of(grid, target=target)
    known = grid.observed & _in_service(grid, target=target) & (count >= 0)
    return np.where(known, label.out(count), np.nan).astype(np.float32)


def _in_service(grid: Grid, *, target: Target) -> Flags:
    flags: Flags = getattr(grid, _ARRAYS[target.in_service])
    return flags


def slots_ahead(horizon_min: Indices) -> Indices:
    """Horizons in slots."""
    ahead, rest = np.divmod(horizon_min * 60, SLOT_S)
    if np.any(rest) or np.any(ahead < 0):
        wrong = np.unique(horizon_min[(rest != 0) | (ahead < 0)]).tolist()
        msg = f"horizon_min {wrong}: expected non-negative multiples of {SLOT_S // 60} minutes"
        raise GridError(msg)
    return ahead
