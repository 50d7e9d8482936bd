"""What a feature may look at: the slots up to each decision time and what is known beside them.

Input    a carried `Grid` that starts `LOOKBACK` before the first dt, the station list (a frame of
         `station_information`), a city, and the profiles of the day.
Output   `Block`, whose arrays broadcast to (dts, stations); counts NaN where missing.
Raises   GridError when a dt is not a slot of the grid.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TypeVar, cast

import numpy as np
import pandas as pd

from mlops_bikeshare.domain.city import City
from mlops_bikeshare.features.calendar import Calendar
from mlops_bikeshare.features.grid import MISSING, Grid, Seconds, positions
from mlops_bikeshare.features.neighbours import Neighbours
from mlops_bikeshare.features.profiles import Means, ProfileState
from mlops_bikeshare.features.track import Track, Values

Made = TypeVar("Made", Values, Means)


@dataclass(frozen=True, eq=False)
class Block:
    """Decision times (`places`: slot indices) of a grid, with its city and profiles.

    `capacity`, `lat` and `lon` are float64 (stations,), NaN where the list gives none.
    """

    grid: Grid
    places: Seconds
    capacity: Values
    lat: Values
    lon: Values
    city: City
    profiles: ProfileState
    _made: dict[Hashable, Values | Means] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(
        cls,
        grid: Grid,
        *,
        dts: Seconds,
        stations: pd.DataFrame,
        city: City,
        profiles: ProfileState,
    ) -> "Block":
        """The block of `grid` for the decision times `dts` (seconds since 1970)."""
        return cls(
            grid=grid,
            places=grid.index_of(dts),
            **_listed(stations, grid.stations),
            city=city,
            profiles=profiles,
        )

    @property
    def shape(self) -> tuple[int, int]:
        """(dts, stations)."""
        return len(self.places), len(self.grid.stations)

    @cached_property
    def calendar(self) -> Calendar:
        """The local calendar at each decision time."""
        return self._calendar(before_s=0)

    @cached_property
    def neighbours(self) -> Neighbours:
        """The nearest stations of each station."""
        return Neighbours.of(self.lat, self.lon)

    @cached_property
    def bikes(self) -> Track:
        """Bikes that can be rented."""
        return Track(self.grid.bikes, at=self.places)

    @cached_property
    def docks(self) -> Track:
        """Docks that accept a bike."""
        return Track(self.grid.docks, at=self.places)

    @cached_property
    def age_s(self) -> Values:
        """Seconds from the station's last report to dt."""
        reported = self.grid.last_reported[self.places]
        age = self.grid.slot_ends[self.places][:, None] - reported
        return np.where(reported == MISSING, np.nan, age)

    @cached_property
    def _own_profiles(self) -> Seconds:
        return self.profiles.places(self.grid.stations)

    def profile(self, measure: str) -> Means:
        """What is usual at this time of day, from earlier days only."""
        places, calendar = self._own_profiles, self.calendar
        usual = partial(self.profiles.usual, measure, places=places, calendar=calendar)
        return self.once(("usual", measure), usual)

    def once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """What several features ask for is made once."""
        if key not in self._made:
            self._made[key] = make()
        return cast("Made", self._made[key])

    def usual_of_network(self, measure: str, *, before_s: int = 0) -> Values:
        """Mean over all stations at the time of day `before_s` ago, (dts, 1), earlier days only."""
        calendar = self._calendar(before_s=before_s)
        return self.profiles.network(measure, calendar=calendar)[:, None]

    def _calendar(self, *, before_s: int) -> Calendar:
        ends = self.grid.slot_ends[self.places] - before_s
        return Calendar.at(ends, zone=self.city.zone)


def _listed(stations: pd.DataFrame, names: Sequence[str]) -> dict[str, Values]:
    """What the list says of each of `names`, NaN where nothing; an id's last row counts."""
    at = positions(stations["station_id"], names)
    listed = {}
    for name in ("capacity", "lat", "lon"):
        values = stations[name].to_numpy(dtype=np.float64, na_value=np.nan)
        listed[name] = np.full(len(names), np.nan)
        listed[name][at[at >= 0]] = values[at >= 0]
    return listed
