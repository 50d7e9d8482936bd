"""Matches and concerts: a crowd comes to a few stations and leaves them hours later.

Input    the city, a seed and a local date (days since 1970).
Output   an Event or None; its `coming` and `leaving` are expected trips per five-minute bin.
Method   each local date has its own random stream, so that an evening is one event on both sides
         of midnight UTC. People come within an hour and leave all at once.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.windows import DAY_S, SLOT_S
from mlops_bikeshare.sources.simulator.city import City

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_STREAM = 4
_CHANCE_WEEKDAY, _CHANCE_WEEKEND = 0.3, 0.6
_START_H, _START_SPREAD_H, _LASTS_H = 19.0, 1.5, 2.6
_COME_EARLY_H, _COMING_WIDTH_H, _LEAVING_WIDTH_H = 0.8, 0.4, 0.3
_SHARE_OF_TRIPS = 0.05  # of a day's, each way
_CROWD_KM = 0.3


@dataclass(frozen=True, slots=True)
class Event:
    """One event: `crowd` is each station's share of it, unnormalised; `trips` go each way."""

    start_s: float
    trips: float
    crowd: Floats

    def coming(self, local_s: Ints) -> Floats:
        """Expected trips to the event in each bin of the local clock."""
        return self._curve(local_s, hours=-_COME_EARLY_H, width_h=_COMING_WIDTH_H)

    def leaving(self, local_s: Ints) -> Floats:
        """Expected trips away from the event in each bin of the local clock."""
        return self._curve(local_s, hours=_LASTS_H, width_h=_LEAVING_WIDTH_H)

    def _curve(self, local_s: Ints, *, hours: float, width_h: float) -> Floats:
        away_h = (local_s - self.start_s) / 3600 - hours
        scale = SLOT_S / 3600 / (width_h * np.sqrt(2 * np.pi))
        answer: Floats = self.trips * scale * np.exp(-0.5 * (away_h / width_h) ** 2)
        return answer


def is_weekend(local_day: Ints) -> NDArray[np.bool_]:
    """Whether days since 1970, a Thursday, are Saturdays or Sundays."""
    saturday = 5
    answer: NDArray[np.bool_] = (local_day + 3) % 7 >= saturday
    return answer


def event_on(local_day: int, *, city: City, trips_a_day: float, seed: int) -> Event | None:
    """The event of a local date, if there is one."""
    rng = np.random.default_rng([seed, _STREAM, local_day])
    weekend = bool(is_weekend(np.array(local_day)))
    if rng.random() > (_CHANCE_WEEKEND if weekend else _CHANCE_WEEKDAY):
        return None
    venue = int(rng.integers(city.size))
    near = np.exp(-city.distances_km(np.array([venue]))[0] / _CROWD_KM)
    return Event(
        start_s=local_day * DAY_S + 3600 * rng.normal(_START_H, _START_SPREAD_H),
        trips=_SHARE_OF_TRIPS * trips_a_day * rng.lognormal(0, 0.4),
        crowd=near * city.capacity,
    )
