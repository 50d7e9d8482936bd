"""Feedback: what people saw or did at a station, kept in the table `station_feedback`.

Input    a station, `handled` (somebody went there) or `wrong` (the prediction was), a note.
Output   `Said`, one row of the table. The key is (station_id, said_at): the same word twice in one
         second is kept once.
Raises   InputError for a station that is not listed, another word, or a note that is too long.

A station that was handled is censored in quality for the next hour (judging/handled.py): what is
true there then was made by a van, and says nothing about the model.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime

import pandas as pd

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.tables import STATION_FEEDBACK
from mlops_bikeshare.domain.windows import stamp
from mlops_bikeshare.flows import records
from mlops_bikeshare.flows.features import station_list
from mlops_bikeshare.flows.judging.handled import HANDLED

WRONG = "wrong"
WORDS = (HANDLED, WRONG)
LONGEST_NOTE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One row of the table; `new` is False when it was there already."""

    city: str
    station_id: str
    what: str
    note: str | None
    who: str
    said_at: datetime
    new: bool


def say(ws: Workspace, city: City, *, station_id: str, what: str, note: str | None = None) -> Said:
    """Keep what a person says of a station, at the workspace's time."""
    _check(ws, city, station_id, what, note)
    said_at = ws.now.replace(microsecond=0)
    row = {
        "station_id": station_id,
        "said_at": pd.Timestamp(said_at).as_unit("ms"),
        "what": what,
        "note": note or None,
        "who": records.who(),
    }
    frame = pd.DataFrame([row])
    created = ws.lake.write(
        STATION_FEEDBACK, frame, city=city.name, name=_object(station_id, said_at)
    )
    return Said(
        city=city.name,
        station_id=station_id,
        what=what,
        note=note or None,
        who=str(row["who"]),
        said_at=said_at,
        new=bool(created),
    )


def summary(said: Said) -> str:
    """One line for a person."""
    where = f"station {said.station_id} of {said.city}"
    if not said.new:
        return f"{where}: something was said at {said.said_at:%F %T} UTC already; that one counts"
    then = "; its labels of the next hour are not judged" if said.what == HANDLED else ""
    return f"{where}: {said.what} at {said.said_at:%F %T} UTC, by {said.who}{then}"


def _check(ws: Workspace, city: City, station_id: str, what: str, note: str | None) -> None:
    if what not in WORDS:
        raise InputError(f"--what {what}: expected one of {', '.join(WORDS)}")
    if note is not None and len(note) > LONGEST_NOTE:
        msg = f"--note: {len(note)} characters, expected at most {LONGEST_NOTE}"
        raise InputError(f"{msg}; say it shorter")
    listed = station_list(ws, city)["station_id"]
    if station_id not in set(listed):
        some = ", ".join(listed.iloc[:5])
        raise InputError(f"--station {station_id}: not a station of {city.name}, as {some} are")


def _object(station_id: str, said_at: datetime) -> str:
    """An id may hold what no object name may."""
    return f"{stamp(said_at)}_{hashlib.sha256(station_id.encode()).hexdigest()[:16]}"
