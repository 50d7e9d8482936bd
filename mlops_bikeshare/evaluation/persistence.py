"""Persistence: P(out at dt + horizon | count now), the baseline every model has to beat.

Input    counts: int (rows,), -1 where missing; outs: horizon_min → (rows,) 1, 0 or NaN.
Output   float64 probabilities, NaN where the count is missing.
Raises   GridError for a horizon without labelled rows, or one that was never fitted.
Source   a table of shares per count, one pseudo-row at the overall share in each cell. Counts
         in a tail of fewer than `_TAIL_ROWS` rows share one cell, as do those above `cap`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import GridError

Array = NDArray[Any]
Floats = NDArray[np.float64]
_TAIL_ROWS = 100


@dataclass(frozen=True, slots=True)
class Persistence:
    """Shares out per horizon, indexed by the count now; the last cell is for it and above."""

    rates: Mapping[int, tuple[float, ...]]

    @classmethod
    def fit(cls, counts: Array, outs: Mapping[int, Array], *, cap: int = 60) -> Self:
        """Learn the table of each horizon; rows without a count or a label are left out."""
        return cls({int(h): _table(counts, out, h, cap=cap) for h, out in sorted(outs.items())})

    def predict(self, counts: Array, *, horizon_min: int) -> Floats:
        """P(out at dt + horizon_min) for each count."""
        if horizon_min not in self.rates:
            known = ", ".join(map(str, self.rates))
            raise GridError(f"persistence knows horizons {known} min, asked for {horizon_min}")
        table = np.asarray(self.rates[horizon_min])
        counts = np.asarray(counts, dtype=np.int64)
        answer = table[np.clip(counts, 0, table.size - 1)]
        return np.where(counts < 0, np.nan, answer)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, read back by `from_json`."""
        return {"rates": {str(h): list(table) for h, table in self.rates.items()}}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """What `to_json` gave."""
        return cls({int(h): tuple(table) for h, table in document["rates"].items()})


def _table(counts: Array, out: Array, horizon_min: int, *, cap: int) -> tuple[float, ...]:
    counts, out = np.asarray(counts), np.asarray(out, dtype=np.float64)
    if counts.shape != out.shape:
        raise GridError(f"{counts.shape} counts but {out.shape} labels at {horizon_min} min")
    known = (counts >= 0) & ~np.isnan(out)
    if not known.any():
        raise GridError(f"no labelled rows at {horizon_min} min to learn persistence from")
    counts, out = np.minimum(counts[known], cap).astype(np.int64), out[known]
    at_or_above = np.cumsum(np.bincount(counts)[::-1])[::-1]
    top = max(0, int(np.count_nonzero(at_or_above >= _TAIL_ROWS)) - 1)
    counts = np.minimum(counts, top)
    rows, went_out = np.bincount(counts), np.bincount(counts, weights=out)
    return tuple(((went_out + out.mean()) / (rows + 1)).tolist())
