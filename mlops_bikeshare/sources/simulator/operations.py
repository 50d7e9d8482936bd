"""What the operator does and what breaks: vans, closures, faulty docks, repairs.

Input    the city, a day and its generator; the engine asks van by van.
Output   Faults: what starts and ends when (seconds since 1970); for a van, where to go next and
         how many bikes to move there.
Method   closures and dock faults are Poisson; most closures last hours, some days, and then the
         station leaves the street. A van works by day, drives to a station drawn by need and
         nearness, and fills it or empties it towards a share of its docks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.windows import DAY_S
from mlops_bikeshare.sources.simulator.city import City

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

VAN_CAPACITY = 22
VAN_REACH = 120  # stations a driver considers, nearest first
REPAIR_MEAN_S = 1.6 * DAY_S
BREAKAGE = 0.0125  # of bikes that come back
_STATIONS_PER_VAN = 28
_CLOSURES_A_DAY = 1 / 45  # per station
_CLOSURE_MEDIAN_S, _CLOSURE_SPREAD = 5 * 3600, 1.3
_OFF_THE_STREET_S = DAY_S
_DOCK_FAULTS_A_DAY = 1 / 70  # per station
_DOCK_REPAIR_MEAN_S = 2.5 * DAY_S
_DRIVE_KMH, _STOP_S, _PER_BIKE_S = 16.0, 420, 25
_ALLURE_KM = 2.0
_SHIFT_H = (6, 22)
_TARGET_SHARE = 0.42
_SCARCE, _CROWDED = 0.30, 0.72  # shares of bikes that call for a van
_ANYWHERE = 1e-4


@dataclass(frozen=True, slots=True)
class Fault:
    """A closure (`docks` 0) or a broken dock from `start_s` until `end_s`."""

    station: int
    start_s: int
    end_s: int
    closes: bool

    @property
    def leaves_the_street(self) -> bool:
        """Whether the operator takes a closed station away for the time."""
        return self.closes and self.end_s - self.start_s > _OFF_THE_STREET_S


@dataclass(slots=True)
class Van:
    """A van: where it is going, and how many bikes it carries."""

    station: int
    load: int = 0


def draw_faults(city: City, day: int, rng: np.random.Generator) -> list[Fault]:
    """The closures and dock faults that begin on a UTC day."""
    closures = _starts(rng, city.size, _CLOSURES_A_DAY)
    docks = _starts(rng, city.size, _DOCK_FAULTS_A_DAY)
    lasting = rng.lognormal(np.log(_CLOSURE_MEDIAN_S), _CLOSURE_SPREAD, size=len(closures))
    repair = rng.exponential(_DOCK_REPAIR_MEAN_S, size=len(docks)) + 3600
    stations = np.concatenate((closures, docks)).tolist()
    begin = (day * DAY_S + rng.integers(DAY_S, size=len(stations))).tolist()
    length = np.concatenate((lasting, repair)).astype(np.int64).tolist()
    return [
        Fault(station=s, start_s=b, end_s=b + n, closes=i < len(closures))
        for i, (s, b, n) in enumerate(zip(stations, begin, length, strict=True))
    ]


def _starts(rng: np.random.Generator, stations: int, rate: float) -> Ints:
    return rng.permutation(stations)[: rng.poisson(stations * rate)]


def vans(city: City, rng: np.random.Generator) -> list[Van]:
    """The fleet of vans, each somewhere in the city."""
    count = max(1, round(city.size / _STATIONS_PER_VAN))
    return [Van(station=int(s)) for s in rng.integers(city.size, size=count)]


def on_shift(local_s: int) -> bool:
    """Whether vans drive at this time of the local wall clock."""
    return _SHIFT_H[0] <= local_s % DAY_S // 3600 < _SHIFT_H[1]


def bikes_to_move(van: Van, *, bikes: int, free_docks: int) -> int:
    """Bikes to load (negative) or unload (positive) at the van's station."""
    target = round((bikes + free_docks) * _TARGET_SHARE)
    if bikes < target:
        return min(van.load, target - bikes, free_docks)
    return -min(VAN_CAPACITY - van.load, bikes - target)


def next_stop(
    van: Van,
    distance_km: Floats,
    *,
    bikes: Sequence[int],
    free_docks: Sequence[int],
    closed: Sequence[int],
    rng: np.random.Generator,
) -> int | None:
    """Position of the next station among those in reach, by need and nearness; None to stay."""
    stock, room = np.array(bikes, dtype=np.float64), np.array(free_docks, dtype=np.float64)
    share = stock / np.maximum(stock + room, 1)
    has = van.load / VAN_CAPACITY
    need = has * np.maximum(0, _SCARCE - share) + (1 - has) * np.maximum(0, share - _CROWDED)
    appeal = (need + _ANYWHERE) * np.exp(-distance_km / _ALLURE_KM) * (np.array(closed) == 0)
    edges = np.cumsum(appeal)
    if edges[-1] <= 0:
        return None
    return int(np.searchsorted(edges, rng.random() * edges[-1], side="right"))


def drive_s(distance_km: float, *, moved: int) -> int:
    """Seconds of driving and of handling bikes."""
    return int(distance_km * 1.35 / _DRIVE_KMH * 3600) + _STOP_S + _PER_BIKE_S * abs(moved)
