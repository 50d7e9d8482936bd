"""Population stability index: how far values have moved from those a model was trained on.

Input    values: float (rows,), NaN where missing.
Output   PSI = Σ (now - reference) ln(now / reference) over the bins, ≥ 0, natural logarithm.
         Missing values have a bin of their own.
Raises   GridError without a row.
Source   Siddiqi 2006, "Credit Risk Scorecards". Bins are quantiles of the reference; a value
         that fills more than one of them has a bin to itself, so that a constant can drift too.
         Shares are floored at `_LEAST_SHARE`: an empty bin would make the index infinite.
         The share of missing values at `_LEAST_MISSING`: an outage of the feed for some hours
         leaves a few percent of a day without their last hour, and that is no drift.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import GridError

Array = NDArray[Any]
Floats = NDArray[np.float64]
_LEAST_SHARE = 1e-4
_LEAST_MISSING = 0.01


@dataclass(frozen=True, slots=True)
class PsiReference:
    """Bin edges (bin i holds edges[i-1] <= value < edges[i]) and shares, the last one missing."""

    edges: tuple[float, ...]
    shares: tuple[float, ...]

    @classmethod
    def fit(cls, values: Array, bins: int = 10) -> Self:
        """Learn bins and shares from the values a model was trained on."""
        values = np.asarray(values, dtype=np.float64)
        known = values[~np.isnan(values)]
        edges = _edges(known, bins) if known.size else np.empty(0)
        return cls(tuple(edges.tolist()), tuple(_shares(values, edges).tolist()))

    def shares_of(self, values: Array) -> Floats:
        """Share of `values` in each bin of this reference, the last one missing."""
        return _shares(values, np.asarray(self.edges))

    def psi(self, values: Array) -> float:
        """The index of `values` against this reference."""
        now, then = _floored(self.shares_of(values)), _floored(np.asarray(self.shares))
        return float(np.sum((now - then) * np.log(now / then)))

    def to_json(self) -> dict[str, list[float]]:
        """Plain JSON values, read back by `from_json`."""
        return {"edges": list(self.edges), "shares": list(self.shares)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """What `to_json` gave."""
        return cls(tuple(document["edges"]), tuple(document["shares"]))


def _floored(shares: Floats) -> Floats:
    """No share is 0; the last one, of what is missing, counts from one in a hundred on."""
    floors = np.full(len(shares), _LEAST_SHARE)
    floors[-1] = _LEAST_MISSING
    floored: Floats = np.maximum(shares, floors)
    return floored


def _edges(known: Floats, bins: int) -> Floats:
    inner = np.linspace(0, 1, bins + 1)[1:-1]
    quantiles = np.quantile(known, inner, method="inverted_cdf")
    edges, times = np.unique(quantiles, return_counts=True)
    return np.union1d(edges, np.nextafter(edges[times > 1], np.inf))


def _shares(values: Array, edges: Floats) -> Floats:
    # One comparison per edge is several times faster than searchsorted; float64 because an
    # edge next to a float32 value would round onto it.
    values = np.asarray(values, dtype=np.float64)
    if not values.size:
        raise GridError("PSI needs at least one row, got none")
    known = values.size - np.count_nonzero(np.isnan(values))
    below = [np.count_nonzero(values < edge) for edge in edges]
    shares: Floats = np.diff([0, *below, known, values.size]) / values.size
    return shares
