"""Where the stations of a simulated city are, how large they are and what they are called.

Input    number of stations and a NumPy generator.
Output   City: arrays of one entry per station; positions in km east and north of the centre,
         heights in m, capacities in docks; `nearest` (stations, 8) indices, closest first.
Method   a compact city of about 8 × 8 km on a bay: stations are drawn by zone around the zone's
         middle, at least 150 m apart where there is room. Nothing here is a real place.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CENTRE = (49.10, -84.60)  # degrees, in open forest: no real street lies beneath the invented ones
ZONES = ("centre", "residential", "campus", "waterfront", "hill")
_SHARE = (0.26, 0.40, 0.10, 0.12, 0.12)
_MIDDLE = ((0.0, 0.0), (0.0, 0.0), (-2.2, 1.6), (1.2, -2.6), (1.8, 2.6))  # km
_SPREAD = ((0.8, 0.8), (2.0, 1.9), (0.5, 0.5), (1.5, 0.35), (0.8, 0.6))  # km
_CAPACITIES = (11, 15, 17, 19, 23, 27, 31, 39)
_CAPACITY_SHARE = (0.06, 0.16, 0.18, 0.22, 0.16, 0.11, 0.07, 0.04)
_HALF_WIDTH_KM = 4.0
_APART_KM = 0.15
_TRIES = 30
_NEIGHBOURS = 8
_KM_PER_DEGREE = 111.32

_STREETS = {
    "centre": ("Market", "Union", "Guild", "Assembly", "Exchange", "Foundry", "Chapel", "Mint"),
    "residential": ("Alder", "Linden", "Maple", "Rowan", "Orchard", "Mill", "Garden", "Willow"),
    "campus": ("College", "Library", "Observatory", "Laurel", "Quadrangle", "Rector"),
    "waterfront": ("Harbour", "Quay", "Beacon", "Ferry", "Anchor", "Tide", "Pier"),
    "hill": ("Summit", "Ridge", "Terrace", "Lookout", "Quarry", "Windmill"),
}
_CROSS = ("1st Ave", "2nd Ave", "3rd Ave", "4th Ave", "5th Ave", "6th Ave", "7th Ave", "8th Ave")
_PLACE_SHARE = 0.4
_PLACES = ("Square", "Gate", "Bridge", "School", "Station", "Park", "Steps", "Hall", "Corner")


@dataclass(frozen=True, slots=True)
class City:
    """The stations; `zone` indexes ZONES."""

    names: tuple[str, ...]
    zone: Ints
    x_km: Floats
    y_km: Floats
    height_m: Floats
    capacity: Ints
    nearest: Ints
    pull: Floats  # how much busier than its zone's average a station is

    @property
    def size(self) -> int:
        """How many stations there are."""
        return len(self.names)

    @property
    def station_ids(self) -> list[str]:
        """Ids as a feed would give them: strings whose zeros matter."""
        return [f"{number:04d}" for number in range(1, self.size + 1)]

    @property
    def lat(self) -> Floats:
        """Latitudes, degrees."""
        answer: Floats = np.round(CENTRE[0] + self.y_km / _KM_PER_DEGREE, 6)
        return answer

    @property
    def lon(self) -> Floats:
        """Longitudes, degrees."""
        km_per_degree = _KM_PER_DEGREE * np.cos(np.radians(CENTRE[0]))
        answer: Floats = np.round(CENTRE[1] + self.x_km / km_per_degree, 6)
        return answer

    def distances_km(self, stations: Ints | slice = slice(None)) -> Floats:
        """(chosen, stations) straight-line distances."""
        dx = self.x_km[stations, None] - self.x_km
        dy = self.y_km[stations, None] - self.y_km
        gap: Floats = np.hypot(dx, dy)
        return gap


def lay_out(stations: int, rng: np.random.Generator) -> City:
    """Draw a city."""
    zone = np.sort(rng.choice(len(ZONES), size=stations, p=_SHARE))
    x, y = _positions(zone, rng)
    height = 90 * np.exp(-np.hypot(x - _MIDDLE[4][0], y - _MIDDLE[4][1]) / 1.1)
    nearest = _nearest(x, y)
    return City(
        names=_names(zone, rng),
        zone=zone,
        x_km=x,
        y_km=y,
        height_m=height,
        capacity=rng.choice(_CAPACITIES, size=stations, p=_CAPACITY_SHARE).astype(np.int64),
        nearest=nearest,
        pull=rng.lognormal(0.0, 0.42, size=stations),
    )


def _positions(zone: Ints, rng: np.random.Generator) -> tuple[Floats, Floats]:
    placed: list[tuple[float, float]] = []
    for z in zone:
        tries = rng.normal(_MIDDLE[z], _SPREAD[z], size=(_TRIES, 2))
        tries = np.clip(tries, -_HALF_WIDTH_KM, _HALF_WIDTH_KM)
        placed.append(_first_free(tries, placed))
    x, y = np.array(placed).T
    return x, y


def _first_free(tries: Floats, placed: list[tuple[float, float]]) -> tuple[float, float]:
    """The first spot that is not on top of another station; the last when all are."""
    if placed:
        gap = np.linalg.norm(tries[:, None] - np.array(placed), axis=-1).min(axis=1)
        spot = tries[np.argmax(gap >= _APART_KM)] if (gap >= _APART_KM).any() else tries[-1]
    else:
        spot = tries[0]
    return float(spot[0]), float(spot[1])


def _nearest(x: Floats, y: Floats) -> Ints:
    distance = np.hypot(x[:, None] - x, y[:, None] - y)
    np.fill_diagonal(distance, np.inf)
    return np.argsort(distance, axis=1, kind="stable")[:, : min(_NEIGHBOURS, len(x) - 1)]


def _names(zone: Ints, rng: np.random.Generator) -> tuple[str, ...]:
    """Invented crossings and places; a number tells namesakes of a large city apart."""
    seen: dict[str, int] = {}
    names = []
    for z in zone:
        street = rng.choice(_STREETS[ZONES[z]])
        pattern = f"{street} St / {rng.choice(_CROSS)}", f"{street} {rng.choice(_PLACES)}"
        name = str(pattern[int(rng.random() < _PLACE_SHARE)])
        seen[name] = seen.get(name, 0) + 1
        names.append(name if seen[name] == 1 else f"{name} {seen[name]}")
    return tuple(names)
