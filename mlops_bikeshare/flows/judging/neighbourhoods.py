"""Names of the slices that a row belongs to: neighbourhood, local hour, capacity, kind of day.

Input    a station list (lat, lon, capacity and perhaps region_id, null where unknown) in the order
         that `station` indexes, station: int (rows,), dt: int64 seconds (rows,), a city.
Output   dimension to str (rows,). A neighbourhood is the region where the list has one, else a grid
         cell of 1 km, named by its middle; "no position" where neither is known.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.city import City
from mlops_bikeshare.evaluation.neighbourhoods import areas
from mlops_bikeshare.features.calendar import Calendar

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[Any]
NO_POSITION, UNKNOWN = "no position", "unknown"
CELL_KM = 1.0
_CAPACITY_EDGES = (15, 20, 30)
_CAPACITIES = np.array(["up to 15", "16 to 20", "21 to 30", "over 30", UNKNOWN])


def names_of(stations: "pd.DataFrame", station: Array, dt: Array, city: City) -> dict[str, Array]:
    """The slice of every row, in every dimension."""
    calendar = Calendar.at(dt, zone=city.zone)
    hour = np.array([f"{h:02}:00" for h in range(24)])[calendar.minute // 60]
    return {
        "neighbourhood": neighbourhoods(stations)[station],
        "hour": hour,
        "capacity": capacities(stations)[station],
        "day": np.where(calendar.weekend.astype(bool), "weekend", "weekday"),
    }


def neighbourhoods(stations: "pd.DataFrame") -> Array:
    """The region, or else the grid cell, of every station."""
    area, names = areas_of(stations, km=CELL_KM)
    return np.array([*names, NO_POSITION])[area]


def areas_of(stations: "pd.DataFrame", *, km: float) -> tuple[Array, list[str]]:
    """The neighbourhood of every station, -1 for none, and the names of all."""
    lat, lon = (stations[n].to_numpy(dtype=np.float64, na_value=np.nan) for n in ("lat", "lon"))
    known = "region_id" in stations
    region = stations["region_id"].tolist() if known else [None] * len(stations)
    return areas(lat, lon, region, km=km)


def capacities(stations: "pd.DataFrame") -> Array:
    """The class of capacity of every station."""
    capacity = stations["capacity"].to_numpy(dtype=np.float64, na_value=np.nan)
    place = np.searchsorted(_CAPACITY_EDGES, capacity, side="left")
    return _CAPACITIES[np.where(np.isnan(capacity), len(_CAPACITIES) - 1, place)]
