"""Expected stockout minutes of each station, as a function of the bikes brought or taken.

Input    `Stations`: float64 arrays over n stations and h horizons; probabilities in [0, 1].
Output   `minutes`: float64 (stations, moved), `moved` whole bikes, > 0 brought, < 0 taken;
         `lost_rides` of the same shape. NaN where a probability or a usual flow is unknown.
Raises   GridError for arrays that do not fit together or probabilities outside [0, 1].
Method   riders come and go at random, so the change of a count until a horizon is a difference of
         Poisson counts (Skellam 1946), which is nearly normal; its variance is the sum of what
         usually comes and goes until then. Its mean is not taken from what is usual but chosen so
         that no bike moved gives the model's own probability: P(out | k) = Phi(Phi^-1(p) - k / s)
         for bikes, and + k / s for docks. A horizon speaks for the minutes since the one before;
         those up to `arrive_min`, when the van is not there yet, do not change.

The curve falls slowly, fast, slowly: it is not convex (two bikes at an empty station are still a
stockout). `hull` gives its greatest convex minorant, which the flow in `flow` relies on: slopes by
pooling adjacent violators never decrease, hence convex (Barlow et al. 1972, ch. 1). What a plan is
said to save is always read from the curve itself.

Lost rides: what usually departs, during the minutes predicted without bikes. It errs high in that
one or two bikes still serve some riders, and low in that departures were seen every five minutes,
net of returns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import GridError

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
ARRIVE_MIN = 20
# A calibrated 0 or 1 is a statement about thousands of rows, not a certainty about this one.
_SURE = 1e-5
# Even where hardly anyone rides, a count is uncertain by about one bike.
_LEAST_VARIANCE = 1.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Stations:
    """What is known of each station at dt; usual flows are bikes per hour at this time of day.

    A station is out of bikes (docks) with `out_at_or_below` of them.
    """

    ids: Sequence[str]
    lat: Floats
    lon: Floats
    bikes: Whole
    docks: Whole
    usual_in: Floats
    usual_out: Floats
    p_bikeout: Floats
    p_dockout: Floats
    horizons_min: Sequence[int]
    out_at_or_below: int

    def __post_init__(self) -> None:
        """Refuse arrays of different lengths, counts below 0 and probabilities beyond [0, 1]."""
        n, shape = len(self.ids), (len(self.ids), len(self.horizons_min))
        flat = (self.lat, self.lon, self.bikes, self.docks, self.usual_in, self.usual_out)
        probabilities = (self.p_bikeout, self.p_dockout)
        if any(a.shape != (n,) for a in flat) or any(p.shape != shape for p in probabilities):
            raise GridError(f"{n} stations: expected flat arrays and probabilities of {shape}")
        if any(((p < 0) | (p > 1)).any() for p in probabilities):
            raise GridError("probabilities of stockouts must lie in [0, 1]")
        if (self.bikes < 0).any() or (self.docks < 0).any():
            raise GridError("counts of bikes and docks must not be below 0")

    def __len__(self) -> int:
        """Number of stations."""
        return len(self.ids)


def minutes(stations: Stations, moved: Whole, *, arrive_min: int = ARRIVE_MIN) -> Floats:
    """Expected minutes out of bikes or of docks until the last horizon."""
    spans = _spans(stations)
    total = np.zeros((len(stations), len(moved)))
    for i, bikeout, dockout in _shifted(stations, moved, arrive_min):
        total += spans[i] * (bikeout + dockout)
    return total


def lost_rides(stations: Stations, moved: Whole, *, arrive_min: int = ARRIVE_MIN) -> Floats:
    """Expected departures that find no bike until the last horizon."""
    spans = _spans(stations)
    total = np.zeros((len(stations), len(moved)))
    for i, bikeout, _ in _shifted(stations, moved, arrive_min):
        total += spans[i] / 60 * stations.usual_out[:, None] * bikeout
    return total


def hull(costs: Floats) -> Floats:
    """Slopes of the greatest convex minorant of costs at 0, 1, …: float64 (len - 1,), rising."""
    means: list[float] = []
    sizes: list[int] = []
    for step in np.diff(costs):
        mean, size = float(step), 1
        while means and means[-1] >= mean:
            before, of = means.pop(), sizes.pop()
            mean, size = (mean * size + before * of) / (size + of), size + of
        means.append(mean)
        sizes.append(size)
    return np.repeat(means, sizes)


def _spans(stations: Stations) -> Floats:
    """Minutes that each horizon speaks for."""
    return np.diff(np.asarray(stations.horizons_min, dtype=np.float64), prepend=0)


def _shifted(stations: Stations, moved: Whole, arrive_min: int) -> Any:
    """Horizon by horizon, both probabilities after each move: (index, bikeout, dockout)."""
    from scipy.special import ndtr, ndtri

    flow = stations.usual_in + stations.usual_out
    for i, horizon_min in enumerate(stations.horizons_min):
        spread = np.sqrt(np.maximum(flow * horizon_min / 60, _LEAST_VARIANCE))[:, None]
        steps = np.asarray(moved, dtype=np.float64)[None, :] / spread
        steps = steps if horizon_min > arrive_min else 0 * steps
        bikeout, dockout = (
            ndtri(np.clip(p[:, i], _SURE, 1 - _SURE))[:, None]
            for p in (stations.p_bikeout, stations.p_dockout)
        )
        yield i, ndtr(bikeout - steps), ndtr(dockout + steps)
