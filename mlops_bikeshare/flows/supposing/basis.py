"""What is known at dt, and the features that follow from what is supposed of it.

Input    a `Basis` and `Changes`.
Output   places of the stations asked about, float32 features of them, changed inputs that no
         feature knows.
Raises   InputError for a station that is not known now, or more bikes than it holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.features import supposed
from mlops_bikeshare.features.definition import FEATURE_NAMES
from mlops_bikeshare.features.grid import MISSING, Grid
from mlops_bikeshare.features.profiles import ProfileState
from mlops_bikeshare.flows.supposing.changes import WEATHER, Changes, shift_s


@dataclass(frozen=True, eq=False, kw_only=True)
class Basis:
    """What is known of a city at dt, and who answers; `versions`: variant to version.

    `target`: the variant that is asked where several share the traffic, or what one says of now
    would be held against what another says of the supposed.
    `asked`: what the endpoint said as it is, by place, once somebody wanted it.
    """

    city: City
    dt: datetime
    endpoint: str
    versions: Mapping[str, str | None]
    target: str | None
    grid: Grid
    stations: pd.DataFrame
    profiles: ProfileState
    asked: dict[int, NDArray[np.float64]] = field(default_factory=dict)

    def place(self, station_id: str) -> int:
        """Where a station stands; InputError when nothing is known of it now."""
        if station_id not in self.grid.stations:
            some = ", ".join(self.grid.stations[:5])
            msg = f"--station {station_id}: not a station of {self.city.name}, as {some} are"
            raise InputError(msg)
        place = self.grid.stations.index(station_id)
        if self.grid.bikes[-1, place] == MISSING:
            msg = f"station {station_id} has no known count at {self.dt:%F %H:%M} UTC"
            raise InputError(f"{msg}: it was silent, or the feed was down")
        return place

    def holds(self, station_id: str) -> tuple[int, int]:
        """Bikes now, and the most there could be."""
        place = self.place(station_id)
        bikes = int(self.grid.bikes[-1, place])
        return bikes, bikes + max(int(self.grid.docks[-1, place]), 0)


def places_of(
    basis: Basis, changes: Changes, station_id: str | None
) -> tuple[NDArray[np.intp], Grid]:
    """The stations asked about, and the grid with their supposed bikes."""
    now, docks = basis.grid.bikes[-1], basis.grid.docks[-1]
    bikes = np.full(len(now), MISSING, dtype=np.int16)
    if station_id is None:
        if changes.bikes is not None:
            raise InputError("--bikes is about one station: add --station, or use --bikes-more")
        places = np.flatnonzero(now != MISSING)
        if changes.bikes_more is not None:
            whole = now[places] + np.maximum(docks[places], 0)
            bikes[places] = np.clip(now[places] + changes.bikes_more, 0, whole)
        return places, supposed.with_bikes(basis.grid, bikes)
    place = basis.place(station_id)
    if changes.bikes_more is not None:
        raise InputError("--bikes-more is about the whole city: use --bikes for one station")
    if changes.bikes is not None:
        most = basis.holds(station_id)[1]
        if changes.bikes > most:
            raise InputError(f"--bikes {changes.bikes}: station {station_id} holds {most}")
        bikes[place] = changes.bikes
    return np.array([place]), supposed.with_bikes(basis.grid, bikes)


def features_of(
    basis: Basis, changes: Changes, places: NDArray[np.intp], grid: Grid | None = None
) -> NDArray[np.float32]:
    """Rows of features for `places`, the weather put in where the model knows it."""
    moved = supposed.shifted(grid or basis.grid, by_s=shift_s(changes, basis.dt, basis.city.zone))
    values = supposed.rows(
        moved, stations=basis.stations, city=basis.city, profiles=basis.profiles
    )[places]
    for name in WEATHER:
        value = getattr(changes, name)
        if value is not None and name in FEATURE_NAMES:
            values[:, FEATURE_NAMES.index(name)] = value
    return values


def without_influence(basis: Basis, changes: Changes, places: NDArray[np.intp]) -> tuple[str, ...]:
    """Changed inputs that no feature knows: found out for the month, by name for the weather."""
    unknown = [name for name in WEATHER if name in changes.given and name not in FEATURE_NAMES]
    if changes.month is not None:
        # Another month is another date: hold the weekday, or it would speak for the month.
        weekday = changes.weekday
        if weekday is None:
            weekday = basis.dt.astimezone(basis.city.zone).weekday()
        with_it = Changes(month=changes.month, weekday=weekday, hour=changes.hour)
        without = Changes(weekday=weekday, hour=changes.hour)
        both = [features_of(basis, these, places) for these in (with_it, without)]
        if np.array_equal(both[0], both[1], equal_nan=True):
            unknown.append("month")
    return tuple(unknown)
