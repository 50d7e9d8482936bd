"""Feature rows: the one way from a grid to features, taken by `offline` and `online` alike.

Input    a carried `Grid`, decision times (aware UTC datetimes), the station list (a frame of
         `station_information`), a city, and the profiles valid on the day of the decision times.
Output   `FeatureRows`: float32 (rows, features) with the slot and station of each row.
Raises   GridError when profiles know a day they must not, or the grid starts too late.

A row exists where the bikes of a station are known at dt: for the others there is nothing to
predict from, and a row of NaN would be taken for an answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import GridError
from mlops_bikeshare.domain.windows import Window, to_seconds
from mlops_bikeshare.features.block import Block
from mlops_bikeshare.features.definition import FEATURE_NAMES, compute
from mlops_bikeshare.features.grid import MISSING, Grid, Seconds
from mlops_bikeshare.features.profiles import ProfileState


@dataclass(frozen=True, eq=False)
class FeatureRows:
    """Features of the rows that exist, ordered by dt and then station.

    `slot` and `station` index the grid; `values` is float32 (rows, features) in the order of
    FEATURE_NAMES.
    """

    grid: Grid
    slot: Seconds
    station: Seconds
    values: npt.NDArray[np.float32]

    def to_frame(self) -> pd.DataFrame:
        """The rows as a frame: station_id, dt, and a float32 column per feature."""
        frame = pd.DataFrame(self.values, columns=list(FEATURE_NAMES), copy=False)
        ids = pd.Series(self.grid.stations, dtype="str").take(self.station)
        dts = pd.to_datetime(self.grid.slot_ends[self.slot], unit="s", utc=True)
        frame.insert(0, "station_id", ids.reset_index(drop=True))
        frame.insert(1, "dt", dts.as_unit("ms"))
        return frame


def known_grid(status: pd.DataFrame, *, window: Window, stations: pd.DataFrame) -> Grid:
    """The carried grid of what was known of the listed stations in each slot of `window`."""
    names = stations["station_id"].tolist()
    return Grid.from_status(status, stations=names, window=window, time_column="slot").carried()


def rows_at(
    grid: Grid,
    *,
    dts: Sequence[datetime],
    stations: pd.DataFrame,
    city: City,
    profiles: ProfileState,
) -> FeatureRows:
    """The rows of `grid` at `dts`."""
    _check_past_only(profiles, min(dts))
    seconds = np.array([to_seconds(dt) for dt in dts], dtype=np.int64)
    block = Block.of(grid, dts=seconds, stations=stations, city=city, profiles=profiles)
    known = grid.bikes[block.places] != MISSING
    row, station = np.nonzero(known)
    # Feature by feature, as they lie in memory: rows are then a view, and frames need no copy.
    return FeatureRows(grid, block.places[row], station, compute(block, known).T)


def _check_past_only(profiles: ProfileState, dt: datetime) -> None:
    if profiles.valid_from is not None and profiles.valid_from > dt.date():
        msg = (
            f"profiles valid from {profiles.valid_from} know the outcomes of {dt:%F}, whose"
            f" features they would feed: use the profiles valid from {dt:%F}"
        )
        raise GridError(msg)
