"""The last hours to features: the rows at one dt, bit for bit those that `offline` builds.

Input    a curated `station_status` frame that holds `LOOKBACK` before dt (more does no harm; rows
         after dt do not matter), the station list, a city, and the profiles of the day of dt.
Output   a frame of `features_table("features_online", FEATURE_NAMES)`; no row for a station whose
         bikes are not known at dt.
Raises   GridError when the profiles know the day of dt, or dt is not on a slot.
"""

from datetime import datetime, timedelta

import pandas as pd

from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.windows import SLOT_S, Window
from mlops_bikeshare.features.grid import LOOKBACK
from mlops_bikeshare.features.profiles import ProfileState
from mlops_bikeshare.features.rows import known_grid, rows_at


def row_at(
    status: pd.DataFrame,
    *,
    dt: datetime,
    stations: pd.DataFrame,
    city: City,
    profiles: ProfileState,
) -> pd.DataFrame:
    """The features of every station at `dt`."""
    window = Window(dt - LOOKBACK, dt + timedelta(seconds=SLOT_S))
    grid = known_grid(status, window=window, stations=stations)
    return rows_at(grid, dts=[dt], stations=stations, city=city, profiles=profiles).to_frame()
