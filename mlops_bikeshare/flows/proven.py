"""Were the features that the model was asked with those that history gives, bit for bit.

Input    a window; `features_online` and the curated slots of the lake.
Output   FeatureProof, None when nothing was asked in the window.

Each decision time is built again from the day's slots, with the station list as it was then. A
day's profiles may have been made minutes after midnight, so those of the day before are right too.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.tables import STATION_INFORMATION_RAW, STATION_STATUS
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.features.definition import FEATURE_NAMES
from mlops_bikeshare.features.grid import LOOKBACK
from mlops_bikeshare.features.profiles import ProfileState
from mlops_bikeshare.features.rows import known_grid, rows_at
from mlops_bikeshare.flows.features import ONLINE, profiles_for
from mlops_bikeshare.release.evidence import FeatureProof

_KEY = ["dt", "station_id"]
_SHOWN = 3


@dataclass(frozen=True, eq=False)
class _Asked:
    """The decision times of one day that used one station list, and that list."""

    day: date
    dts: list[datetime]
    stations: pd.DataFrame


def prove(ws: Workspace, city: City, window: Window) -> FeatureProof | None:
    """Compare every row asked in `window` with the row that history gives."""
    online = ws.lake.read(ONLINE, city=city.name, window=window)
    if online.empty:
        return None
    wrong = [_differing(ws, city, asked, online) for asked in _asked(ws, city, online)]
    found = pd.concat(wrong, ignore_index=True)
    counts = found.groupby("feature")["feature"].size().sort_values(ascending=False)
    rows = found.drop_duplicates(_KEY)
    return FeatureProof(
        rows=len(online),
        differing=len(rows),
        last_at=rows["dt"].max().to_pydatetime() if len(rows) else None,
        examples=tuple(f"{name} in {n} rows" for name, n in counts.head(_SHOWN).items()),
    )


def _asked(ws: Workspace, city: City, online: pd.DataFrame) -> list[_Asked]:
    """Decision times by day and by the station list that was known then."""
    listed = ws.lake.read(STATION_INFORMATION_RAW, city=city.name)
    listed = listed.sort_values("fetched_at", kind="stable")
    changes = listed["fetched_at"].drop_duplicates()
    times = online["dt"].drop_duplicates().sort_values()
    known = np.searchsorted(changes.to_numpy(), times.to_numpy(), side="right")
    found: list[_Asked] = []
    for version in np.unique(known):
        # A list that came after the first request can only be one that was imported since.
        until = changes.iloc[max(int(version) - 1, 0)]
        stations = listed[listed["fetched_at"] <= until].drop_duplicates("station_id", keep="last")
        mine = [at.to_pydatetime() for at in times[known == version]]
        for day in sorted({at.date() for at in mine}):
            dts = [at for at in mine if at.date() == day]
            found.append(_Asked(day, dts, stations.reset_index(drop=True)))
    return found


def _differing(ws: Workspace, city: City, asked: _Asked, online: pd.DataFrame) -> pd.DataFrame:
    """dt, station_id and feature of each value that differs."""
    window = Window(Window.day(asked.day).start - LOOKBACK, Window.day(asked.day).end)
    status = ws.lake.read(STATION_STATUS, city=city.name, window=window)
    grid = known_grid(status, window=window, stations=asked.stations)
    dts = asked.dts
    wrong: list[pd.DataFrame] = []
    for profiles in _profiles(ws, city, asked.day):
        built = rows_at(
            grid, dts=dts, stations=asked.stations, city=city, profiles=profiles
        ).to_frame()
        wrong = [_compared(online[online["dt"].isin(_stamps(dts))], built)]
        dts = sorted({at.to_pydatetime() for at in wrong[0]["dt"]})
        if not dts:
            break
    return wrong[0]


def _profiles(ws: Workspace, city: City, day: date) -> list[ProfileState]:
    newest, before = (profiles_for(ws, city, d) for d in (day, day - timedelta(days=1)))
    return [newest] if newest.valid_from == before.valid_from else [newest, before]


def _compared(online: pd.DataFrame, built: pd.DataFrame) -> pd.DataFrame:
    """Values that differ; a row that only one side has differs in `station_id`."""
    left = online.sort_values(_KEY).reset_index(drop=True)
    right = built.sort_values(_KEY).reset_index(drop=True)
    keys = left[_KEY].merge(right[_KEY], on=_KEY, how="outer", indicator=True)
    alone = keys.loc[keys["_merge"] != "both", _KEY].assign(feature="station_id")
    if len(alone):
        both = keys.loc[keys["_merge"] == "both", _KEY]
        left, right = left.merge(both, on=_KEY), right.merge(both, on=_KEY)
    row, column = np.nonzero(_bits(left) != _bits(right))
    changed = left[_KEY].iloc[row].reset_index(drop=True)
    return pd.concat([changed.assign(feature=np.array(FEATURE_NAMES)[column]), alone])


def _bits(frame: pd.DataFrame) -> NDArray[np.int32]:
    values = frame[list(FEATURE_NAMES)].to_numpy(dtype=np.float32, copy=True)
    values[np.isnan(values)] = np.nan  # one NaN is as good as another
    bits: NDArray[np.int32] = values.view(np.int32)
    return bits


def _stamps(dts: list[datetime]) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(dts).as_unit("ms")
