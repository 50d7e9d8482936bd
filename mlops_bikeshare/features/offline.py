"""History to features: the rows of `features_offline` for the 144 decision times of a UTC day.

Input    a curated `station_status` frame of the day and `LOOKBACK` before it (more does no harm),
         the station list (a frame of `station_information`), a city, and the profiles of the day.
Output   a frame of `features_table("features_offline", FEATURE_NAMES)`, or `FeatureRows`.
Raises   GridError when the profiles know the day itself.
Memory   bounded by one day, about 1 kB a row at the peak (Boston 60 MB).
"""

from datetime import date

import pandas as pd

from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.features.grid import LOOKBACK, Grid
from mlops_bikeshare.features.profiles import ProfileState
from mlops_bikeshare.features.rows import FeatureRows, known_grid, rows_at


def day_grid(status: pd.DataFrame, *, day: date, stations: pd.DataFrame) -> Grid:
    """The carried grid of a day and its look-back, for its features and for the next profiles."""
    window = Window.day(day)
    return known_grid(status, window=Window(window.start - LOOKBACK, window.end), stations=stations)


def day_rows(
    grid: Grid, *, day: date, stations: pd.DataFrame, city: City, profiles: ProfileState
) -> FeatureRows:
    """The features of every decision time of `day`, as arrays; `grid` is the day's `day_grid`."""
    dts = list(Window.day(day).steps())
    return rows_at(grid, dts=dts, stations=stations, city=city, profiles=profiles)


def build_day(
    status: pd.DataFrame,
    *,
    day: date,
    stations: pd.DataFrame,
    city: City,
    profiles: ProfileState,
) -> pd.DataFrame:
    """The features of every decision time of `day`, as a frame."""
    grid = day_grid(status, day=day, stations=stations)
    rows = day_rows(grid, day=day, stations=stations, city=city, profiles=profiles)
    return rows.to_frame()
