"""Curating: the slots of polls that are stored and have none yet.

Input    a workspace, a city; the scheduled time of a poll, or how far to look back.
Output   curated slots, made from the raw objects that stand: of two ingesters, or after a kill,
         however long ago it was.
"""

from datetime import datetime, timedelta

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.tables import STATION_STATUS, STATION_STATUS_RAW, Table
from mlops_bikeshare.domain.windows import SLOT_S, Window, stamp
from mlops_bikeshare.lake.slots import to_slots


def curate(ws: Workspace, city: City, at: datetime) -> bool:
    """The curated slot of the poll of `at`, made from its raw object; whether it was missing."""
    near = Window(at - timedelta(days=1), at + timedelta(days=1))
    raw = ws.lake.read(STATION_STATUS_RAW, city=city.name, window=near, name_prefix=stamp(at))
    if raw.empty:
        return False
    return bool(ws.lake.write(STATION_STATUS, to_slots(raw), city=city.name, name=stamp(at)))


def catch_up(ws: Workspace, city: City, *, hours: int = 48) -> int:
    """Curate the polls that have no curated rows, of the last hours and since the newest slot."""
    window = _since(ws, city, ws.now - timedelta(hours=hours))
    done = _names(ws, city, STATION_STATUS, window)
    seen = ws.lake.read(STATION_STATUS, city=city.name, window=window, columns=["fetched_at"])
    made = 0
    for name in sorted(_names(ws, city, STATION_STATUS_RAW, window) - done):
        raw = ws.lake.read(STATION_STATUS_RAW, city=city.name, window=window, name_prefix=name)
        # Objects may have been merged since: what counts is whether the rows are there.
        rows = raw[~raw["fetched_at"].isin(seen["fetched_at"].unique())]
        if len(rows):
            made += bool(ws.lake.write(STATION_STATUS, to_slots(rows), city=city.name, name=name))
    return made


def _since(ws: Workspace, city: City, start: datetime) -> Window:
    """Up to now from `start`, or from the day of the newest slot: who was off for weeks, too."""
    curated = ws.lake.days(STATION_STATUS, city=city.name)[-1:]
    first = curated or ws.lake.days(STATION_STATUS_RAW, city=city.name)[:1]
    starts = [start, *(Window.day(day).start for day in first)]
    return Window(min(starts), ws.now + timedelta(seconds=SLOT_S))


def _names(ws: Workspace, city: City, table: Table, window: Window) -> set[str]:
    days = set(ws.lake.days(table, city=city.name)).intersection(window.days())
    return {name for day in days for name in ws.lake.names(table, city=city.name, day=day)}
