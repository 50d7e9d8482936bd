"""The vans, the moves they are given, and what a plan as a whole is worth.

A plan is one round: each van loads at most `capacity` bikes in all, in at most `MOVES_PER_VAN`
moves, and is not routed: the kilometres are those from each giver to its taker.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import InputError

MOVES_PER_VAN = 6
_EARTH_KM = 6371.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """`vans` that hold `capacity` bikes each."""

    vans: int
    capacity: int

    def __post_init__(self) -> None:
        """Refuse a fleet that can carry nothing."""
        if self.vans < 1 or self.capacity < 1:
            msg = f"--vans {self.vans} --capacity {self.capacity}: expected at least 1 of each"
            raise InputError(msg)

    @property
    def bikes(self) -> int:
        """Bikes that a round can move."""
        return self.vans * self.capacity


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Bikes from one station (its place) to another."""

    giver: int
    taker: int
    bikes: int
    km: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One line of a plan; minutes and rides are expected values over both stations."""

    van: int
    giver: str
    taker: str
    bikes: int
    km: float
    minutes_saved: float
    rides_saved: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The moves of a round, those that save most first.

    `at_risk_min`: expected stockout minutes of all stations if nobody does anything; `rides_lost`:
    departures that are expected to find no bike then.
    """

    moves: Sequence[Move]
    at_risk_min: float
    rides_lost: float
    stations: int

    @property
    def bikes(self) -> int:
        """Bikes moved."""
        return sum(move.bikes for move in self.moves)

    @property
    def minutes_saved(self) -> float:
        """Expected stockout minutes saved by all moves."""
        return sum(move.minutes_saved for move in self.moves)


def distance_km(
    lat: NDArray[np.float64], lon: NDArray[np.float64], a: NDArray[np.intp], b: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Great-circle kilometres between places a and b (haversine)."""
    north, east = np.radians(lat), np.radians(lon)
    up = np.sin((north[b] - north[a]) / 2) ** 2
    across = np.cos(north[a]) * np.cos(north[b]) * np.sin((east[b] - east[a]) / 2) ** 2
    km: NDArray[np.float64] = 2 * _EARTH_KM * np.arcsin(np.sqrt(np.minimum(up + across, 1)))
    return km


def loaded(pairs: Sequence[Pair], worth: Sequence[float], fleet: Fleet) -> list[tuple[int, Pair]]:
    """(van from 1, pair), the pairs of most worth first; what no van has room for is left out.

    A pair goes to the fullest van that has room for all of it.
    """
    room = [fleet.capacity] * fleet.vans
    left = [MOVES_PER_VAN] * fleet.vans
    given = []
    for i in sorted(range(len(pairs)), key=lambda i: (-worth[i], pairs[i].giver, pairs[i].taker)):
        fits = [v for v in range(fleet.vans) if left[v] and room[v] >= pairs[i].bikes]
        if fits:
            # The fullest van that still has room keeps the others free for larger loads.
            van = min(fits, key=lambda v: (room[v], v))
            room[van] -= pairs[i].bikes
            left[van] -= 1
            given.append((van + 1, pairs[i]))
    return given
