"""Were the features that the model was asked with those that history gives, bit for bit.

Input    a window; `features_online` and the curated slots of the lake.
Output   FeatureProof, None when nothing was asked in the window.

Each decision time is built again from the day's slots, with the day's station list. Its profiles
may have been made minutes after midnight, so those of the day before are right too.
"""

from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.tables import STATION_STATUS
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.features.definition import FEATURE_NAMES
from mlops_bikeshare.features.grid import LOOKBACK
from mlops_bikeshare.features.profiles import ProfileState
from mlops_bikeshare.features.rows import known_grid, rows_at
from mlops_bikeshare.flows.features import ONLINE, profiles_for, station_list
from mlops_bikeshare.release.evidence import FeatureProof

_KEY = ["dt", "station_id"]
_SHOWN = 3


def prove(ws: Workspace, city: City, window: Window) -> FeatureProof | None:
    """Compare every row asked in `window` with the row that history gives."""
    online = ws.lake.read(ONLINE, city=city.name, window=window)
    if online.empty:
        return None
    days = sorted(set(online["dt"].dt.date))
    wrong = [_differing(ws, city, day, online[online["dt"].dt.date == day]) for day in days]
    found = pd.concat(wrong, ignore_index=True)
    counts = found.groupby("feature")["feature"].size().sort_values(ascending=False)
    rows = found.drop_duplicates(_KEY)
    return FeatureProof(
        rows=len(online),
        differing=len(rows),
        last_at=rows["dt"].max().to_pydatetime() if len(rows) else None,
        examples=tuple(f"{name} in {n} rows" for name, n in counts.head(_SHOWN).items()),
    )


def _differing(ws: Workspace, city: City, day: date, online: pd.DataFrame) -> pd.DataFrame:
    """dt, station_id and feature of each value that differs."""
    window = Window(Window.day(day).start - LOOKBACK, Window.day(day).end)
    stations = station_list(ws, city, day=day)
    status = ws.lake.read(STATION_STATUS, city=city.name, window=window)
    grid = known_grid(status, window=window, stations=stations)
    dts = _times(online)
    wrong: list[pd.DataFrame] = []
    for profiles in _profiles(ws, city, day):
        built = rows_at(grid, dts=dts, stations=stations, city=city, profiles=profiles)
        asked = online[online["dt"].isin(pd.DatetimeIndex(dts).as_unit("ms"))]
        wrong = [_compared(asked, built.to_frame())]
        dts = _times(wrong[0])
        if not dts:
            break
    return wrong[0]


def _times(rows: pd.DataFrame) -> list[datetime]:
    return [at.to_pydatetime() for at in rows["dt"].drop_duplicates().sort_values()]


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
