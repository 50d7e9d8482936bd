"""The trips that riders want to make: origin to destination, by the second.

Input    the city, the hours' comfort (weather) and a seed; one day at a time, each with its own
         random stream, so that memory holds one day.
Output   Trips: int64 arrays (trips,) sorted by departure; seconds since 1970, station indices,
         seconds of riding, and a uniform draw in [0, 1) per trip that decides what happens to it.
Method   purposes (commuting, errands, leisure, nights out), each with origin and
         destination weights by zone, a curve over the local day, a sensitivity to weather and a
         typical distance (gravity model with exponential deterrence). Demand is Poisson in
         five-minute bins around a rate that wanders by the hour, the day and the station.
         Events (events.py) come on top. Some riders come in company.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.windows import DAY_S, SLOT_S
from mlops_bikeshare.sources.simulator.city import City
from mlops_bikeshare.sources.simulator.events import event_on, is_weekend

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TRIPS_PER_STATION_AND_DAY = 40.0
_BINS = DAY_S // SLOT_S
_COMPANY = (0.82, 0.11, 0.04, 0.03)  # one to four riders together
_DESTINATIONS = 96  # considered by the riders of each station
_DETOUR, _SPEED_KMH, _GETTING_READY_S = 1.35, 12.5, 120
_ROUND_TRIP_S = 2100
_HOUR_NOISE, _DAY_NOISE, _STATION_NOISE = 0.22, 0.12, 0.24
_LOPSIDED = 0.10  # lasting difference between a station's departures and arrivals
_CALENDAR_STREAM = 1
_TRIPS_STREAM = 2


@dataclass(frozen=True, slots=True)
class Purpose:
    """Why people ride. Zone weights in the order of ZONES; peaks are (hour, width_h, height)."""

    name: str
    origins: tuple[float, ...]
    destinations: tuple[float, ...]
    weekday: tuple[tuple[float, float, float], ...]
    weekend: tuple[tuple[float, float, float], ...]
    weather: float
    reach_km: float


PURPOSES = (
    Purpose(
        "to work",
        (0.75, 1.3, 0.8, 0.85, 1.2),
        (1.65, 0.75, 1.4, 0.9, 0.6),
        ((8.2, 0.9, 0.27),),
        ((8.8, 1.3, 0.04),),
        0.6,
        2.2,
    ),
    Purpose(
        "from work",
        (1.65, 0.75, 1.4, 0.9, 0.6),
        (0.75, 1.3, 0.8, 0.85, 1.1),
        ((17.5, 1.3, 0.29),),
        ((17.0, 2.0, 0.05),),
        0.7,
        2.2,
    ),
    Purpose(
        "errands",
        (1.2, 1.0, 1.3, 0.7, 0.9),
        (1.2, 1.0, 1.3, 0.7, 0.7),
        ((13.0, 3.6, 0.26), (19.5, 1.8, 0.08)),
        ((14.0, 3.4, 0.34),),
        0.9,
        1.3,
    ),
    Purpose(
        "leisure",
        (1.2, 0.9, 0.6, 2.0, 0.8),
        (1.2, 0.9, 0.5, 2.2, 0.5),
        ((18.8, 1.9, 0.10),),
        ((14.8, 3.0, 0.32),),
        1.5,
        1.8,
    ),
    Purpose(
        "nights out",
        (1.6, 0.75, 0.9, 1.2, 0.6),
        (0.75, 1.3, 0.9, 0.7, 0.9),
        ((22.6, 1.4, 0.06),),
        ((23.2, 1.6, 0.10), (0.8, 1.0, 0.05)),
        0.8,
        2.0,
    ),
)


@dataclass(frozen=True, slots=True)
class Trips:
    """Wanted trips of one day, sorted by departure."""

    depart_s: Ints
    origin: Ints
    destination: Ints
    ride_s: Ints
    draw: Floats


@dataclass(frozen=True, slots=True)
class Demand:
    """What lasts from day to day: who goes where from each station."""

    city: City
    seed: int
    candidates: Ints
    distance_km: Floats
    leaving: Floats
    arriving: Floats

    @classmethod
    def of(cls, city: City, *, seed: int) -> "Demand":
        """Draw each station's destinations and its lasting pull."""
        rng = np.random.default_rng([seed, _CALENDAR_STREAM])
        candidates = rng.integers(city.size, size=(city.size, _DESTINATIONS))
        dx = city.x_km[:, None] - city.x_km[candidates]
        dy = city.y_km[:, None] - city.y_km[candidates]
        base = city.pull * np.sqrt(city.capacity)
        return cls(
            city=city,
            seed=seed,
            candidates=candidates,
            distance_km=np.hypot(dx, dy),
            leaving=base * rng.lognormal(0, _LOPSIDED, size=city.size),
            arriving=base * rng.lognormal(0, _LOPSIDED, size=city.size),
        )

    @property
    def trips_a_day(self) -> float:
        """Trips wanted in the whole city on an average day in fair weather."""
        return TRIPS_PER_STATION_AND_DAY * self.city.size

    def day(self, day: int, *, local_s: Ints, comfort: Floats) -> Trips:
        """Trips wanted on a UTC day (days since 1970).

        `local_s` is the local wall clock of its 288 bins, as seconds since 1970; `comfort` is
        the weather factor of each bin.
        """
        rng = np.random.default_rng([self.seed, _TRIPS_STREAM, day])
        wander = rng.lognormal(0, _STATION_NOISE, size=(2, self.city.size))
        today = replace(self, leaving=self.leaving * wander[0], arriving=self.arriving * wander[1])
        parts = [*today.everyday(rng, local_s, comfort), *today.crowds(rng, local_s, comfort)]
        bins, origin, destination = (np.concatenate(part) for part in zip(*parts, strict=True))
        depart = day * DAY_S + bins * SLOT_S + rng.integers(SLOT_S, size=len(bins))
        ride = self._ride_s(rng, origin, destination)
        order = np.argsort(depart, kind="stable")
        riders = rng.choice(len(_COMPANY), size=len(order), p=_COMPANY) + 1
        rows = np.repeat(order, riders)
        return Trips(
            depart_s=depart[rows],
            origin=origin[rows],
            destination=destination[rows],
            ride_s=ride[rows],
            draw=rng.random(len(rows)),
        )

    def everyday(
        self, rng: np.random.Generator, local_s: Ints, comfort: Floats
    ) -> Iterator[tuple[Ints, Ints, Ints]]:
        """Bins, origins and destinations of each purpose."""
        noise = _noise(rng, len(PURPOSES))
        for purpose, factor in zip(PURPOSES, noise, strict=True):
            rate = _rate(purpose, local_s) * factor * comfort**purpose.weather
            bins = np.repeat(np.arange(_BINS), rng.poisson(rate * self.trips_a_day))
            origins = self.leaving * np.asarray(purpose.origins)[self.city.zone]
            targets = self.arriving * np.asarray(purpose.destinations)[self.city.zone]
            weight = targets[self.candidates] * np.exp(-self.distance_km / purpose.reach_km)
            origin = _draw(rng, origins, len(bins))
            yield bins, origin, self.candidates[origin, _draw_by_row(rng, weight, origin)]

    def crowds(
        self, rng: np.random.Generator, local_s: Ints, comfort: Floats
    ) -> Iterator[tuple[Ints, Ints, Ints]]:
        """Bins, origins and destinations of the events nearby in time."""
        for local_day in range(int(local_s.min()) // DAY_S - 1, int(local_s.max()) // DAY_S + 1):
            event = event_on(
                local_day, city=self.city, trips_a_day=self.trips_a_day, seed=self.seed
            )
            if event is None:
                continue
            bins = np.repeat(np.arange(_BINS), rng.poisson(event.coming(local_s) * comfort))
            home, venue = (_draw(rng, w, len(bins)) for w in (self.leaving, event.crowd))
            yield bins, home, venue
            bins = np.repeat(np.arange(_BINS), rng.poisson(event.leaving(local_s) * comfort))
            venue, home = (_draw(rng, w, len(bins)) for w in (event.crowd, self.arriving))
            yield bins, venue, home

    def _ride_s(self, rng: np.random.Generator, origin: Ints, destination: Ints) -> Ints:
        """Riding time; uphill is slow, and who returns to the start went for a tour."""
        x, y = self.city.x_km, self.city.y_km
        distance_km = np.hypot(x[origin] - x[destination], y[origin] - y[destination])
        climb = np.maximum(0, self.city.height_m[destination] - self.city.height_m[origin])
        pace = rng.lognormal(0, 0.25, size=len(origin)) * (1 + climb / 120)
        straight = _GETTING_READY_S + distance_km * _DETOUR / _SPEED_KMH * 3600
        return (np.where(origin == destination, _ROUND_TRIP_S, straight) * pace).astype(np.int64)


def _rate(purpose: Purpose, local_s: Ints) -> Floats:
    """Share of an average day's trips in each bin."""
    clock_h = local_s % DAY_S / 3600
    curves = [
        sum(height * _bump(clock_h, hour, width) for hour, width, height in peaks)
        for peaks in (purpose.weekday, purpose.weekend)
    ]
    answer: Floats = np.where(is_weekend(local_s // DAY_S), curves[1], curves[0])
    return answer


def _bump(clock_h: Floats, hour: float, width_h: float) -> Floats:
    """A bell over the clock that sums to one over a day of five-minute bins."""
    away = (clock_h - hour + 12) % 24 - 12
    scale = SLOT_S / 3600 / (width_h * np.sqrt(2 * np.pi))
    answer: Floats = scale * np.exp(-0.5 * (away / width_h) ** 2)
    return answer


def _noise(rng: np.random.Generator, purposes: int) -> Floats:
    """(purposes, bins) factors: a day's mood times an hourly wander, joined smoothly."""
    hours = np.arange(25) * (_BINS // 24)
    steps = rng.normal(0, _HOUR_NOISE, size=(purposes, len(hours)))
    mood = rng.normal(0, _DAY_NOISE, size=(purposes, 1))
    fine = np.stack([np.interp(np.arange(_BINS), hours, row) for row in steps])
    answer: Floats = np.exp(fine + mood)
    return answer


def _draw(rng: np.random.Generator, weight: Floats, size: int) -> Ints:
    """Indices in proportion to `weight`."""
    edges = np.cumsum(weight)
    found = np.searchsorted(edges, rng.random(size) * edges[-1], side="right")
    answer: Ints = np.minimum(found, len(weight) - 1)
    return answer


def _draw_by_row(rng: np.random.Generator, weight: Floats, row: Ints) -> Ints:
    """A column of each named row, in proportion to the row's weights, in one search."""
    edges = np.cumsum(weight, axis=1)
    edges = edges / edges[:, -1:] + np.arange(len(weight))[:, None]
    flat = np.searchsorted(edges.ravel(), rng.random(len(row)) + row, side="right")
    answer: Ints = np.clip(flat - row * weight.shape[1], 0, weight.shape[1] - 1)
    return answer
