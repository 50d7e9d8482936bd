"""Import a history that people bring: files to a recording, month by month into the lake.

Input    a file or folder of CSV, JSON or Parquet; a column mapping; a list of stations, if any.
Output   `Brought`. Parts lie in `var/<workspace>/imports/<city>/`, one per file (`imported`); parts
         and polls that are there already are left alone, so that an interrupted import goes on
         where it stopped, and files added later add the times that they bring. Polls never
         change: reports of times that were imported before are counted as `late`. Where no
         station reported for an hour there are no polls.
Raises   SourceError when no file can be read (one among others is told, and the others go on),
         InputError when no row can be used, or a file was imported before, read otherwise.
Memory   a chunk of a file while reading (JSON that is no JSON lines: the file), a month of all
         stations while importing.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import InputError, SourceError
from mlops_bikeshare.domain.tables import QUARANTINED_ROWS, STATION_STATUS
from mlops_bikeshare.domain.windows import SLOT_S, Window
from mlops_bikeshare.flows import ingest
from mlops_bikeshare.flows.process.logged import Told, logged
from mlops_bikeshare.flows.process.progress import Track, silent
from mlops_bikeshare.sources import history
from mlops_bikeshare.sources.history_files import files_of
from mlops_bikeshare.sources.imported import Part, Parts
from mlops_bikeshare.sources.recorded import INFORMATION_FILE, STATUS_FILE

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)
# A station's count is carried from its last report before the month; what comes after it says
# that the month goes on to its end.
_AROUND = timedelta(days=1)
_PLACE = ("station_id", "name", "lat", "lon", "capacity", "region_id")
_TEXTS = ("station_id", "name", "region_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """What an import found and wrote; `rows` are polls of stations in the lake.

    `late`: reports of new files at times that had been imported before, which changed nothing.
    `unreadable`: why each file that could not be read could not.
    """

    city: str
    files: int
    files_there: int
    reports: int
    refused: int
    late: int
    window: Window
    days_written: int
    days_there: int
    rows: int
    unreadable: tuple[str, ...]


def summary(done: Brought) -> str:
    """What came in, and what did not."""
    late = ""
    if done.late:
        late = (
            f"\n{done.late:,} reports of new files lie at times that were imported before and "
            "change nothing there; to import all of it anew, choose another --workspace"
        )
    return (
        f"{done.city} {done.window}: {done.files} files ({done.files_there} there already), "
        f"{done.reports:,} reports, {done.refused:,} rows refused; {done.rows:,} rows, "
        f"{done.days_written} new days, {done.days_there} there already{late}"
        + "".join(f"\nnot read: {why}" for why in done.unreadable)
    )


def _told(done: Brought) -> Told:
    return Told(
        read={"files": done.files, "reports": done.reports, "refused": done.refused},
        wrote={"rows": done.rows, "new_days": done.days_written},
    )


@logged("import-recording", _told)
def import_history(
    ws: Workspace,
    city: City,
    source: Path,
    *,
    mapping: Mapping[str, str],
    stations: Path | None = None,
    zone: str | None = None,
    track: Track = silent,
) -> Brought:
    """Import every file of `source`."""
    files, place = files_of(source), _zone(zone)
    listed = None if stations is None else _stations(stations)
    parts = Parts(ws.path / "imports" / city.name, how=(sorted(mapping.items()), place.key))
    refused, there, unreadable = 0, 0, []
    for path in track(files, label=f"read {source.name}", total=len(files)):
        part = parts.of(path)
        if part.there:
            there += 1
            continue
        try:
            refused += _read(ws, city, part, mapping, place)
        except SourceError as error:
            log.warning("%s", error)
            unreadable.append(str(error))
    if len(unreadable) == len(files):
        raise SourceError(unreadable[0])
    span, reports = parts.span()
    if span is None:
        raise InputError("no row of these files can be used; the reasons are in quarantine/rows")
    late = sum(_late(ws, city, parts, month) for month in _months(span))
    parts.take()  # before the first poll of them is made: a kill must not make them late
    imported = _import(ws, city, parts, span, listed, track)
    return Brought(
        city=city.name,
        files=len(files),
        files_there=there,
        reports=reports,
        refused=refused,
        late=late,
        window=span,
        days_written=sum(month.days_written for month in imported),
        days_there=sum(month.days_there for month in imported),
        rows=sum(month.rows for month in imported),
        unreadable=tuple(unreadable),
    )


def _zone(name: str | None) -> ZoneInfo:
    try:
        return ZoneInfo(name or "UTC")
    except (KeyError, ValueError, OSError):
        raise InputError(f"--zone {name}: expected an IANA name such as Europe/Paris") from None


def _stations(path: Path) -> "pd.DataFrame":
    """The list of stations, as a recording has it."""
    import pandas as pd

    try:
        listed = pd.read_csv(path, dtype=dict.fromkeys(_TEXTS, "str"))
    except (OSError, ValueError) as error:
        raise SourceError(f"--stations {path} cannot be read: {error}") from None
    if "station_id" not in listed:
        have = ", ".join(map(str, listed.columns))
        raise SourceError(f"--stations {path} lacks station_id; it has {have}")
    return listed.reindex(columns=list(_PLACE))


def _read(ws: Workspace, city: City, part: Part, mapping: Mapping[str, str], zone: ZoneInfo) -> int:
    """Write the good rows of a file; how many were refused."""
    import pandas as pd

    refused = 0

    def good() -> "Iterator[pd.DataFrame]":
        nonlocal refused
        for number, chunk in enumerate(history.read(part.source, mapping, zone)):
            if len(chunk.refused):
                now = pd.Timestamp(ws.now).as_unit("ms")
                aside = chunk.refused.assign(feed=part.source.name, fetched_at=now)
                name = f"import-{part.name}-{number}"
                ws.lake.write(QUARANTINED_ROWS, aside, city=city.name, name=name)
                refused += len(aside)
            yield chunk.good

    part.write(good(), history.schema())
    return refused


def _import(
    ws: Workspace,
    city: City,
    parts: Parts,
    span: Window,
    listed: "pd.DataFrame | None",
    track: Track,
) -> list[ingest.Ingested]:
    """The months of the span in which somebody reported."""
    months, done = _months(span), []
    for month in track(months, label=f"ingest {city.name}", total=len(months)):
        where = _recording(parts, month, listed)
        if where is not None:
            done.append(ingest.import_recording(ws, city, where, window=month))
    return done


def _months(span: Window) -> list[Window]:
    """The span in calendar months (UTC)."""
    parts, start = [], span.start
    while start < span.end:
        end = min(_next_month(start), span.end)
        parts.append(Window(start, end))
        start = end
    return parts


def _next_month(at: datetime) -> datetime:
    first = at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + timedelta(days=32)).replace(day=1)


def _late(ws: Workspace, city: City, parts: Parts, month: Window) -> int:
    """Reports of files that are new whose polls are in the lake already."""
    times = parts.times_of_new(month)
    if times.empty:
        return 0
    reach = Window(month.start, month.end + timedelta(seconds=SLOT_S))
    seen = ws.lake.read(STATION_STATUS, city=city.name, window=reach, columns=["slot"])["slot"]
    return int(times.dt.ceil(f"{SLOT_S}s").isin(seen.unique()).sum())


def _recording(parts: Parts, month: Window, listed: "pd.DataFrame | None") -> Path | None:
    """A recording of one month, and of the day on either side; None if nobody reported."""
    import pandas as pd

    where = parts.folder / "month"
    where.mkdir(exist_ok=True)
    rows = parts.rows(Window(month.start - _AROUND, month.end + _AROUND))
    if rows.empty:
        return None
    rows.to_parquet(where / STATUS_FILE, index=False)
    if listed is None:
        named = pd.DataFrame({"station_id": sorted(rows["station_id"].unique())})
        listed = named.reindex(columns=list(_PLACE))
    listed.to_parquet(where / INFORMATION_FILE, index=False)
    return where
