"""Ingest: a feed's polls to write-once raw objects and curated slots.

`import_recording` writes whole days of a recording at once, `poll` one poll as it happens. A day
or a poll that is there already is left alone, so both can be run again after any interruption.
"""

import logging
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.tables import (
    STATION_INFORMATION_RAW,
    STATION_STATUS,
    STATION_STATUS_RAW,
)
from mlops_bikeshare.domain.windows import Window, floor_time, stamp
from mlops_bikeshare.flows.logged import Told, logged
from mlops_bikeshare.flows.progress import Track, silent
from mlops_bikeshare.lake.slots import to_slots
from mlops_bikeshare.sources.feed import Feed
from mlops_bikeshare.sources.recorded import Recording, open_recording, poll_times

if TYPE_CHECKING:
    from datetime import date

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingested:
    """What an import wrote."""

    city: str
    window: Window
    days_written: int
    days_there: int
    rows: int


def _told(done: Ingested) -> Told:
    days = {"new_days": done.days_written, "days_there_already": done.days_there}
    return Told(read={"recording": str(done.window)}, wrote={"rows": done.rows, **days})


@logged("ingest", _told)
def import_recording(
    ws: Workspace,
    city: City,
    folder: Path,
    *,
    window: Window | None = None,
    track: Track = silent,
) -> Ingested:
    """Import the days of a recording that lie in `window` and are not in the lake yet."""
    recording = open_recording(folder)
    span = _common(recording, window)
    _information(ws, city, recording, span.start)
    days = span.days()
    written = rows = 0
    for day in track(days, label=f"ingest {city.name}", total=len(days)):
        added = _import_day(ws, city, recording, day, span)
        written += added > 0
        rows += added
    ws.advance(span.end)
    return Ingested(
        city=city.name, window=span, days_written=written, days_there=len(days) - written, rows=rows
    )


def poll(ws: Workspace, city: City, feed: Feed, at: datetime) -> int:
    """One poll: raw object, then curated slots; the rows written, 0 when the poll failed."""
    raw = feed.poll(at)
    if raw is None:
        log.warning("poll of %s at %s failed", city.name, stamp(at))
        return 0
    ws.lake.write(STATION_STATUS_RAW, raw, city=city.name, name=stamp(at))
    ws.lake.write(STATION_STATUS, to_slots(raw), city=city.name, name=stamp(at))
    return len(raw)


def _common(recording: Recording, window: Window | None) -> Window:
    """The part of `window` that the recording covers, on decision times."""
    span = recording.span
    start = floor_time(span.start)
    if window is None:
        return Window(start, span.end)
    if window.end <= start or window.start >= span.end:
        msg = f"{recording.folder} covers {span}, which does not touch {window}"
        raise InputError(f"{msg}; choose a range inside it")
    return Window(max(start, window.start), min(span.end, window.end))


def _information(ws: Workspace, city: City, recording: Recording, at: datetime) -> None:
    stations = recording.information(at)
    ws.lake.write(STATION_INFORMATION_RAW, stations, city=city.name, name=stamp(at))


def _import_day(ws: Workspace, city: City, recording: Recording, day: "date", span: Window) -> int:
    whole = Window.day(day)
    part = Window(max(whole.start, span.start), min(whole.end, span.end))
    name = f"import-{stamp(part.start)}-{stamp(part.end)}"
    if ws.lake.has(STATION_STATUS, city=city.name, day=day, name=name):
        return 0
    raw = recording.polls(poll_times(part))
    if raw.empty:
        return 0
    ws.lake.write(STATION_STATUS_RAW, raw, city=city.name, name=name)
    ws.lake.write(STATION_STATUS, to_slots(raw), city=city.name, name=name)
    return len(raw)
