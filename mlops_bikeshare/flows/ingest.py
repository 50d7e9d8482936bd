"""Ingest: what a feed said to write-once raw objects, curated slots and versions of stations.

`import_recording` writes whole days of a recording at once, `poll` one look as it happens. A day
or a poll that is there already is left alone, so both can be run again after any interruption.
A poll's object is named by its scheduled time: of two ingesters the first one's object stands,
and the curated slot is made from the object that stands (`curating`).

Rows that break the contract go to quarantine with their reason, documents that cannot be used go
there whole; both are counted in the metrics. A poll that could not be stored counts as failed; one
that could not be counted is stored all the same.
"""

import logging
import sqlite3
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.contract import to_frame
from mlops_bikeshare.domain.errors import BikeshareError, InputError
from mlops_bikeshare.domain.tables import (
    QUARANTINED_ROWS,
    STATION_INFORMATION,
    STATION_INFORMATION_RAW,
    STATION_STATUS,
    STATION_STATUS_RAW,
    WEATHER_HOURLY_RAW,
)
from mlops_bikeshare.domain.windows import SLOT_S, Window, floor_time, from_seconds, stamp
from mlops_bikeshare.features.grid import FEED_DOWN_S
from mlops_bikeshare.flows.curating import curate
from mlops_bikeshare.flows.process.logged import Told, logged
from mlops_bikeshare.flows.process.progress import Track, silent
from mlops_bikeshare.lake.quarantine import keep_document
from mlops_bikeshare.lake.slots import poll_to_slot, to_slots
from mlops_bikeshare.lake.stations import capacities, changed
from mlops_bikeshare.monitoring.heartbeat import feed_points
from mlops_bikeshare.sources.feed import Feed, Reading
from mlops_bikeshare.sources.recorded import Recording, open_recording, poll_times
from mlops_bikeshare.sources.recorded_weather import recorded_weather

if TYPE_CHECKING:
    from datetime import date

    import pandas as pd
    from numpy.typing import NDArray

log = logging.getLogger(__name__)
# From this many hours of counts a capacity is inferred where the list gives none.
_CAPACITY_HISTORY = timedelta(hours=24)


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
    poll_information(ws, city, recording, span.start)
    _import_weather(ws, city, folder, span)
    days, there = span.days(), set(ws.lake.days(STATION_STATUS, city=city.name))
    written = left = rows = 0
    for day in track(days, label=f"ingest {city.name}", total=len(days)):
        added = _import_day(ws, city, recording, day, span)
        written += added > 0
        left += added == 0 and day in there
        rows += added
    ws.advance(span.end)
    return Ingested(city=city.name, window=span, days_written=written, days_there=left, rows=rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Polled:
    """What became of one poll; `rows` were written now, `failure` says why there are none."""

    at: datetime
    rows: int = 0
    refused: int = 0
    repeated: int = 0
    unchanged: bool = False
    already_there: bool = False
    failure: str | None = None


def poll(ws: Workspace, city: City, feed: Feed, at: datetime) -> Polled:
    """One poll, scheduled for `at`: what was refused, the raw object, then its curated slot."""
    return keep(ws, city, feed.read_status(at), at)


def keep(ws: Workspace, city: City, reading: Reading, at: datetime) -> Polled:
    """Write what a look at station_status gave, and count it."""
    refused, failures = 0, 1
    try:
        refused = _quarantine(ws, city, reading, name=f"station_status_{stamp(at)}")
        done = _stored(ws, city, reading, at)
        failures = int(done.failure is not None)
    finally:
        _count(ws, city, reading, at, refused=refused, failures=failures)
    return done if done.already_there else replace(done, refused=refused)


def _stored(ws: Workspace, city: City, reading: Reading, at: datetime) -> Polled:
    """The raw object and its slot, if there is anything to store."""
    name = stamp(at)
    if reading.rows is None:
        log.warning("poll of %s at %s failed: %s", city.name, name, reading.failure)
        return Polled(at=at, failure=reading.failure or "no rows")
    created = not _of_another_day(ws, city, reading, at) and ws.lake.write(
        STATION_STATUS_RAW, reading.rows, city=city.name, name=name
    )
    if not created:
        curate(ws, city, at)
        return Polled(at=at, already_there=True)
    ws.lake.write(STATION_STATUS, poll_to_slot(reading.rows), city=city.name, name=name)
    return Polled(
        at=at, rows=len(reading.rows), repeated=reading.repeated, unchanged=reading.unchanged
    )


def _of_another_day(ws: Workspace, city: City, reading: Reading, at: datetime) -> bool:
    """Whether the poll that ends at midnight was stored with the day before, or with the one after.

    An object lies with the day on which it was read, so only there would its name be taken.
    """
    ends = {(at - timedelta(seconds=before)).astimezone(UTC).date() for before in (0, SLOT_S)}
    if len(ends) == 1:
        return False
    others = ends - {reading.fetched_at.astimezone(UTC).date()}
    name = stamp(at)
    return any(
        ws.lake.has(STATION_STATUS_RAW, city=city.name, day=day, name=name) for day in others
    )


def poll_information(ws: Workspace, city: City, feed: Feed, at: datetime) -> int:
    """One look at the station list; how many stations are new or have changed."""
    return keep_information(ws, city, feed.read_information(at), at)


def keep_information(ws: Workspace, city: City, reading: Reading, at: datetime) -> int:
    """Write a station list if it is not like the newest, and the versions that it adds.

    A list that says the same is compared all the same: an earlier look may not have been stored,
    and there are more counts by now from which a capacity is inferred.
    """
    name = stamp(at)
    refused = _quarantine(ws, city, reading, name=f"station_information_{name}")
    if refused:
        log.warning("stations of %s: %d rows refused", city.name, refused)
    if reading.failure:
        log.warning("stations of %s: %s", city.name, reading.failure)
    if reading.rows is None:
        return 0
    known, listed = ws.lake.read(STATION_INFORMATION, city=city.name), to_frame(reading.rows)
    added = changed(known, listed, inferred=_inferred(ws, city, listed, at))
    if added.empty:
        return 0
    ws.lake.write(STATION_INFORMATION_RAW, reading.rows, city=city.name, name=name)
    ws.lake.write(STATION_INFORMATION, added, city=city.name, name=name)
    return len(added)


def _inferred(
    ws: Workspace, city: City, listed: "pd.DataFrame", at: datetime
) -> "pd.Series[int] | None":
    """Capacities from the last day's counts, read only if the list leaves some out."""
    unknown = listed[~(listed["capacity"] > 0).fillna(value=False)]["station_id"]
    if unknown.empty:
        return None
    window = Window(at - _CAPACITY_HISTORY, at + timedelta(seconds=1))
    status = ws.lake.read(STATION_STATUS, city=city.name, window=window)
    return capacities(status[status["station_id"].isin(unknown)])


def _quarantine(ws: Workspace, city: City, reading: Reading, *, name: str) -> int:
    """Keep what cannot be used, with the reason; the number of rows."""
    if reading.evidence is not None:
        at = reading.fetched_at
        key = keep_document(ws.lake.store, reading.evidence, city=city.name, at=at, name=name)
        log.warning("the document is kept as %s", key)
    if reading.refused is None:
        return 0
    ws.lake.write(QUARANTINED_ROWS, reading.refused, city=city.name, name=name)
    return len(reading.refused)


def _count(
    ws: Workspace, city: City, reading: Reading, at: datetime, *, refused: int, failures: int
) -> None:
    """Tell the metrics; what is stored stays stored when they do not answer."""
    points = feed_points(
        city=city.name,
        at=reading.fetched_at,
        age_s=reading.age_s,
        failures=failures,
        quarantined=refused,
    )
    try:
        ws.metrics.put(points, once=f"poll {city.name} {stamp(at)} {failures}")
    except (BikeshareError, OSError, sqlite3.Error) as error:
        log.error("poll of %s at %s is not counted: %s", city.name, stamp(at), error)


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


def _not_there(
    ws: Workspace, city: City, recording: Recording, part: Window
) -> "NDArray[np.int64]":
    """The polls of a part of a day that no import, of another window perhaps, has brought yet.

    While the feed was down there are none: a recording that lacks a week does not say what a poll
    of it had told, and what is brought later may.
    """
    polls = poll_times(part)
    wanted = polls[recording.up(polls, within_s=FEED_DOWN_S)]
    seen = ws.lake.read(STATION_STATUS, city=city.name, window=part, columns=["slot"])["slot"]
    return wanted[~np.isin(wanted, seen.to_numpy(dtype="datetime64[s]").astype(np.int64))]


def _import_weather(ws: Workspace, city: City, folder: Path, span: Window) -> None:
    """The hours of a recording's own weather that became known in `span`, each once."""
    weather = recorded_weather(folder)
    if weather is None:
        return
    times = weather["fetched_at"]
    seen = ws.lake.read(WEATHER_HOURLY_RAW, city=city.name, window=span, columns=["fetched_at"])
    new = weather[(times >= span.start) & (times < span.end) & ~times.isin(seen["fetched_at"])]
    if len(new):
        name = _import_name(new["fetched_at"].iloc[0], new["fetched_at"].iloc[-1])
        ws.lake.write(WEATHER_HOURLY_RAW, new, city=city.name, name=name)


def _import_name(first: datetime, last: datetime) -> str:
    """After what is in it, none of which is in another: no import hides what a later one brings."""
    return f"import-{stamp(first)}-{stamp(last)}"


def _import_day(ws: Workspace, city: City, recording: Recording, day: "date", span: Window) -> int:
    whole = Window.day(day)
    part = Window(max(whole.start, span.start), min(whole.end, span.end))
    wanted = _not_there(ws, city, recording, part)
    raw = recording.polls(wanted)
    if raw.empty:
        return 0
    name = _import_name(from_seconds(wanted[0]), from_seconds(wanted[-1]))
    if not ws.lake.write(STATION_STATUS_RAW, raw, city=city.name, name=name):
        # A killed import had come so far: what it stored is what is curated.
        raw = ws.lake.read(STATION_STATUS_RAW, city=city.name, window=part, name_prefix=name)
    ws.lake.write(STATION_STATUS, to_slots(raw), city=city.name, name=name)
    return len(raw)
