"""Climatology: P(out) of a station at this kind of day and time of day, whatever it holds now.

Input    outcome: int8 (times, stations), 1 out, 0 not out, -1 unknown; cell: int (times,), the
         kind of day and half-hour of local time that each time falls in.
Output   float64 (cells, stations) rates in (0, 1); `predict` answers by station and by the cell of
         dt + horizon, so one table serves every horizon. It needs training days only.
Raises   GridError when nothing is known, or shapes do not fit.
Method   a station's rate in a cell is shrunk with pseudo-counts towards its own level moved, in
         log-odds, by what the whole network does in that cell; a station without history gets the
         network's rate.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import GridError

Array = NDArray[Any]
Floats = NDArray[np.float64]
# Pseudo-counts in five-minute slots: a cell gains six a day, a station 288.
_CELL_WEIGHT = 36
_STATION_WEIGHT = 288
_EDGE = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Climatology:
    """Rates per cell and station."""

    rates: Floats

    @classmethod
    def fit(cls, outcome: Array, cell: Array, *, cells: int) -> Self:
        """Learn the rate of each station in each of `cells` cells."""
        if outcome.shape[:1] != cell.shape:
            raise GridError(f"outcomes of {outcome.shape[0]} times, but cells of {cell.shape[0]}")
        outs, known = (_by_cell(part, cell, cells) for part in (outcome == 1, outcome >= 0))
        if not known.any():
            raise GridError("no outcome is known in the training days: nothing to learn from")
        return cls(_shrunk(outs, known))

    def predict(self, station: Array, cell: Array) -> Floats:
        """P(out) of each station (index) in each cell."""
        answer: Floats = self.rates[cell, station]
        return answer


def _by_cell(values: Array, cell: Array, cells: int) -> Floats:
    """Sums over the times of each cell, (cells, stations)."""
    return np.array([values[cell == c].sum(axis=0) for c in range(cells)], dtype=np.float64)


def _shrunk(outs: Floats, known: Floats) -> Floats:
    level = (outs.sum() + 0.5) / (known.sum() + 1)
    of_cell = _toward(level, outs.sum(axis=1), known.sum(axis=1), weight=_STATION_WEIGHT)
    of_station = _toward(level, outs.sum(axis=0), known.sum(axis=0), weight=_STATION_WEIGHT)
    moved = _logit(of_station)[None, :] + (_logit(of_cell) - _logit(level))[:, None]
    return _toward(1 / (1 + np.exp(-moved)), outs, known, weight=_CELL_WEIGHT)


def _toward(prior: Any, outs: Floats, known: Floats, *, weight: int) -> Floats:
    rates: Floats = np.clip((outs + weight * prior) / (known + weight), _EDGE, 1 - _EDGE)
    return rates


def _logit(p: Any) -> Any:
    return np.log(p) - np.log1p(-p)
