"""Features: curated slots to `features_offline`, and the profiles that each day may use.

Days are built in order, because a day's profiles hold all days before it; a day that is there
already is left alone, so an interrupted run continues where it stopped. Memory holds one day.
"""

import logging
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

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
from mlops_bikeshare.features.definition import FEATURE_NAMES, feature_digest
from mlops_bikeshare.features.grid import LOOKBACK
from mlops_bikeshare.features.offline import day_grid, day_rows
from mlops_bikeshare.features.profiles import ProfileState
from mlops_bikeshare.features.stations import known_list, newest_list
from mlops_bikeshare.flows.process.logged import Told, logged
from mlops_bikeshare.flows.process.progress import Track, silent
from mlops_bikeshare.registry.artefact import feature_digest as names_digest
from mlops_bikeshare.registry.versions import FEATURES_TAG

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from mlops_bikeshare.features.grid import Grid

log = logging.getLogger(__name__)
OFFLINE = features_table("features_offline", FEATURE_NAMES)
ONLINE = features_table("features_online", FEATURE_NAMES)
OBJECT = "day"
# Of a version, and of the endpoint's model that was made from it: names, and formulas with label.
LEARNED_TAGS = (FEATURES_TAG, "feature_definition")


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What a build wrote."""

    city: str
    window: Window
    days_written: int
    days_there: int
    rows: int


def told(done: Built) -> Told:
    """What a build says of itself, whichever engine made it."""
    days = {"new_days": done.days_written, "days_there_already": done.days_there}
    return Told(read={"slots": str(done.window)}, wrote={"rows": done.rows, **days})


@logged("features", told)
def build(
    ws: Workspace, city: City, *, window: Window | None = None, track: Track = silent
) -> Built:
    """Build every whole day of `window` (default: all) that is over and not there yet.

    InputError when a day before them would be left out of what later days know.
    """
    days = whole_days(ws, city, window)
    check_definition(ws, city)
    lists = station_lists(ws, city)
    state = profiles_for(ws, city, days[0])
    rows = written = 0
    for day in track(days, label=f"features {city.name}", total=len(days)):
        if is_built(ws, city, day):
            state = profiles_for(ws, city, day + timedelta(days=1))
            continue
        seen = see(ws, city, day, lists)
        rows += write_rows(ws, city, seen, state)
        state = learn(city, seen, state)
        write_profiles(ws, city, state)
        written += 1
    return Built(
        city=city.name,
        window=Window(Window.day(days[0]).start, Window.day(days[-1]).end),
        days_written=written,
        days_there=len(days) - written,
        rows=rows,
    )


def station_list(ws: Workspace, city: City, *, day: date | None = None) -> "pd.DataFrame":
    """The stations as known by the start of `day`, or now; InputError when the city has none."""
    rows = station_lists(ws, city)
    return newest_list(rows) if day is None else known_list(rows, day=day)


def is_built(ws: Workspace, city: City, day: date) -> bool:
    """Whether the features of a day are complete."""
    return ws.lake.has(PROFILES, city=city.name, day=day + timedelta(days=1), name=OBJECT)


def profiles_for(ws: Workspace, city: City, day: date) -> ProfileState:
    """The newest profiles that `day` may use; empty before the first day."""
    known = [d for d in ws.lake.days(PROFILES, city=city.name) if d <= day]
    if not known:
        return ProfileState.empty()
    frame = ws.lake.read(PROFILES, city=city.name, window=Window.day(known[-1]))
    return ProfileState.from_frame(frame)


def known_at(ws: Workspace, city: City, at: datetime) -> "pd.DataFrame":
    """The curated rows that a feature at `at` may look at: fetched by then, not too long ago."""
    window = Window(at - LOOKBACK, at + timedelta(seconds=1))
    rows = ws.lake.read(STATION_STATUS, city=city.name, window=window)
    return rows[rows["fetched_at"] <= at]


def station_lists(ws: Workspace, city: City) -> "pd.DataFrame":
    """Every version of each station; the lists as read, in a lake that holds no versions."""
    versions = ws.lake.read(STATION_INFORMATION, city=city.name)
    if len(versions):
        lists = versions.rename(columns={"valid_from": "fetched_at"})
        return lists[STATION_INFORMATION_RAW.names]
    rows = ws.lake.read(STATION_INFORMATION_RAW, city=city.name)
    if rows.empty:
        msg = f"no stations of {city.name} in workspace {ws.settings.workspace!r}"
        raise InputError(f"{msg}; run `bikeshare ingest --city {city.name}` first")
    return rows


def whole_days(ws: Workspace, city: City, window: Window | None) -> list[date]:
    """The days of `window` that are over, in order; InputError when none is, or one would lack."""
    there = ws.lake.days(STATION_STATUS, city=city.name)
    over = [day for day in there if Window.day(day).end <= _limit(ws)]
    _check_order(ws, city, over, window)
    days = [day for day in over if window is None or Window.day(day).start in window]
    if not days:
        span = f"; the lake holds {there[0]}..{there[-1]}" if there else ""
        msg = f"no whole day of {city.name} in {window or 'the lake'}{span}"
        raise InputError(f"{msg}; run `bikeshare ingest --city {city.name}` first")
    return days


def check_definition(ws: Workspace, city: City) -> None:
    """Days of one city are built by one definition, label included: nothing may mix two."""
    folder, now = f"features/definition/city={city.name}", f"{feature_digest(city.label)}.txt"
    known = [key.rpartition("/")[2] for key in ws.lake.store.keys(folder)]
    if known != [now] and ws.lake.days(PROFILES, city=city.name):
        msg = f"the features of {city.name} in the lake were built by another definition"
        raise InputError(
            f"{msg} ({(known or ['unknown'])[0][:12]}) than this code's ({now[:12]});"
            f" delete features/*/city={city.name} in the lake, then `bikeshare features` builds all"
        )
    if known != [now]:
        ws.lake.store.create(f"{folder}/{now}", b"")


def other_features(tags: "Mapping[str, str]", city: City) -> str | None:
    """The digest of what a version, by its tags, learned from, where this code makes other ones."""
    names, formulas = (tags.get(tag) for tag in LEARNED_TAGS)
    if names not in {None, names_digest(FEATURE_NAMES)}:
        return names
    return None if formulas in {None, feature_digest(city.label)} else formulas


def _check_order(ws: Workspace, city: City, days: list[date], window: Window | None) -> None:
    """Profiles hold every day before; a day that comes late would be missing from them for good."""
    built = [day - timedelta(days=1) for day in ws.lake.days(PROFILES, city=city.name)]
    new = [day for day in days if day not in built]
    left_out = [d for d in new if window is not None and Window.day(d).end <= window.start]
    if left_out:
        msg = (
            f"{city.name}: the features of {left_out[0]} are not built, and those of {window} know"
        )
        raise InputError(f"{msg} every day before; build them first: `bikeshare features`")
    if built and new and new[0] < built[-1]:
        msg = (
            f"{city.name}: {new[0]} came into the lake after the features of {built[-1]} were built"
        )
        msg = f"{msg}, which know every day before; delete features/*/city={city.name} in the lake"
        raise InputError(f"{msg}, then `bikeshare features` builds all")


def _limit(ws: Workspace) -> datetime:
    """Days that end by then are over; a recording may stop seconds before midnight."""
    return ws.now.astimezone(UTC) + timedelta(minutes=5)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What was seen on a day and before it, of the stations that were known by then."""

    day: date
    grid: "Grid"
    stations: "pd.DataFrame"


def see(ws: Workspace, city: City, day: date, lists: "pd.DataFrame") -> Seen:
    """Read a day and its look-back; `lists` are all versions of the stations."""
    whole, stations = Window.day(day), known_list(lists, day=day)
    window = Window(whole.start - LOOKBACK, whole.end)
    status = ws.lake.read(STATION_STATUS, city=city.name, window=window)
    return Seen(day, day_grid(status, day=day, stations=stations), stations)


def learn(city: City, seen: Seen, state: ProfileState) -> ProfileState:
    """What days after this one may know."""
    return state.update(seen.grid, day=seen.day, zone=city.zone, label=city.label)


def write_rows(ws: Workspace, city: City, seen: Seen, state: ProfileState) -> int:
    """Write the features of a day, which knows `state`; how many rows. The first day has none."""
    if state.valid_from is None:
        return 0
    day, stations = seen.day, seen.stations
    rows = day_rows(seen.grid, day=day, stations=stations, city=city, profiles=state)
    ws.lake.write(OFFLINE, rows.to_frame(), city=city.name, name=OBJECT)
    return len(rows.values)


def write_profiles(ws: Workspace, city: City, state: ProfileState) -> None:
    """Write what later days may know: after a day's features, for it says that it is complete."""
    ws.lake.write(PROFILES, state.to_frame(), city=city.name, name=OBJECT)
