"""Features: curated slots to `features_offline`, and the profiles that each day may use.

Days are built in order, because a day's profiles hold all days before it; a day that is there
already is left alone, so an interrupted run continues where it stopped. Memory holds one day.
Capacity and position of a station are those that were known at dt.
"""

import logging
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pandas as pd

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.tables import (
    PROFILES,
    STATION_INFORMATION,
    STATION_INFORMATION_RAW,
    STATION_STATUS,
    features_table,
)
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.features.definition import FEATURE_NAMES
from mlops_bikeshare.features.grid import LOOKBACK, Grid
from mlops_bikeshare.features.offline import day_grid
from mlops_bikeshare.features.profiles import ProfileState
from mlops_bikeshare.features.rows import rows_at
from mlops_bikeshare.flows.logged import Told, logged
from mlops_bikeshare.flows.progress import Track, silent
from mlops_bikeshare.lake.stations import changed, valid_at

log = logging.getLogger(__name__)
OFFLINE = features_table("features_offline", FEATURE_NAMES)
ONLINE = features_table("features_online", FEATURE_NAMES)
OBJECT = "day"


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What a build wrote."""

    city: str
    window: Window
    days_written: int
    days_there: int
    rows: int


def _told(done: Built) -> Told:
    days = {"new_days": done.days_written, "days_there_already": done.days_there}
    return Told(read={"slots": str(done.window)}, wrote={"rows": done.rows, **days})


@logged("features", _told)
def build(
    ws: Workspace, city: City, *, window: Window | None = None, track: Track = silent
) -> Built:
    """Build every whole day of `window` (default: all) that is over and not there yet."""
    days = _whole_days(ws, city, window)
    versions = station_versions(ws, city)
    state = profiles_for(ws, city, days[0])
    rows = written = 0
    for day in track(days, label=f"features {city.name}", total=len(days)):
        if ws.lake.has(PROFILES, city=city.name, day=day + timedelta(days=1), name=OBJECT):
            state = profiles_for(ws, city, day + timedelta(days=1))
            continue
        state, added = _build_day(ws, city, day, versions=versions, state=state)
        rows += added
        written += 1
    return Built(
        city=city.name,
        window=Window(Window.day(days[0]).start, Window.day(days[-1]).end),
        days_written=written,
        days_there=len(days) - written,
        rows=rows,
    )


def station_list(ws: Workspace, city: City, *, at: datetime | None = None) -> pd.DataFrame:
    """Each station as known at `at` (default: as known last); InputError for a city without."""
    versions = station_versions(ws, city)
    return valid_at(versions, at or versions["valid_from"].max())


def station_versions(ws: Workspace, city: City) -> pd.DataFrame:
    """Every version of every station; InputError when the city has none."""
    versions = ws.lake.read(STATION_INFORMATION, city=city.name)
    if not versions.empty:
        return versions
    lists = ws.lake.read(STATION_INFORMATION_RAW, city=city.name)
    if lists.empty:
        msg = f"no stations of {city.name} in workspace {ws.settings.workspace!r}"
        raise InputError(f"{msg}; run `bikeshare ingest --city {city.name}` first")
    for _, listed in lists.groupby("fetched_at"):
        added = changed(versions, listed)
        versions = pd.concat([versions, added]) if len(versions) else added
    return versions


def profiles_for(ws: Workspace, city: City, day: date) -> ProfileState:
    """The newest profiles that `day` may use; empty before the first day."""
    known = [d for d in ws.lake.days(PROFILES, city=city.name) if d <= day]
    if not known:
        return ProfileState.empty()
    frame = ws.lake.read(PROFILES, city=city.name, window=Window.day(known[-1]))
    return ProfileState.from_frame(frame)


def known_at(ws: Workspace, city: City, at: datetime) -> pd.DataFrame:
    """The curated rows that a feature at `at` may look at: fetched by then, not too long ago."""
    window = Window(at - LOOKBACK, at + timedelta(seconds=1))
    rows = ws.lake.read(STATION_STATUS, city=city.name, window=window)
    return rows[rows["fetched_at"] <= at]


def _whole_days(ws: Workspace, city: City, window: Window | None) -> list[date]:
    there = ws.lake.days(STATION_STATUS, city=city.name)
    over = [day for day in there if Window.day(day).end <= _limit(ws)]
    days = [day for day in over if window is None or Window.day(day).start in window]
    if not days:
        span = f"; the lake holds {there[0]}..{there[-1]}" if there else ""
        msg = f"no whole day of {city.name} in {window or 'the lake'}{span}"
        raise InputError(f"{msg}; run `bikeshare ingest --city {city.name}` first")
    return days


def _limit(ws: Workspace) -> datetime:
    """Days that end by then are over; a recording may stop seconds before midnight."""
    return ws.now.astimezone(UTC) + timedelta(minutes=5)


def _build_day(
    ws: Workspace, city: City, day: date, *, versions: pd.DataFrame, state: ProfileState
) -> tuple[ProfileState, int]:
    whole = Window.day(day)
    status = ws.lake.read(
        STATION_STATUS, city=city.name, window=Window(whole.start - LOOKBACK, whole.end)
    )
    grid_of = _grids(status, day)
    written = 0
    if state.valid_from is not None:
        rows = _rows_of(grid_of, day, versions, city, state)
        written = len(rows)
        ws.lake.write(OFFLINE, rows, city=city.name, name=OBJECT)
    grid = grid_of(valid_at(versions, whole.end))
    state = state.update(grid, day=day, zone=city.zone)
    # Written last: it says that the day is complete.
    ws.lake.write(PROFILES, state.to_frame(), city=city.name, name=OBJECT)
    return state, written


def _grids(status: pd.DataFrame, day: date) -> Callable[[pd.DataFrame], Grid]:
    """The day's grid of a station list, made once per set of stations."""
    made: dict[tuple[str, ...], Grid] = {}

    def of(stations: pd.DataFrame) -> Grid:
        names = tuple(stations["station_id"])
        if names not in made:
            made[names] = day_grid(status, day=day, stations=stations)
        return made[names]

    return of


def _rows_of(
    grid_of: Callable[[pd.DataFrame], Grid],
    day: date,
    versions: pd.DataFrame,
    city: City,
    profiles: ProfileState,
) -> pd.DataFrame:
    """The rows of a day, in one part for each station list that was known in it."""
    frames = []
    for dts in _same_list(versions, day):
        stations = valid_at(versions, dts[0])
        part = rows_at(grid_of(stations), dts=dts, stations=stations, city=city, profiles=profiles)
        frames.append(part.to_frame())
    return pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]


def _same_list(versions: pd.DataFrame, day: date) -> list[list[datetime]]:
    """The decision times of a day, split where a station changed."""
    changes = sorted(set(versions["valid_from"]))
    parts: dict[int, list[datetime]] = {}
    for dt in Window.day(day).steps():
        parts.setdefault(bisect_right(changes, dt), []).append(dt)
    return list(parts.values())
