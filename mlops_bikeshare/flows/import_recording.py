"""Import a history that people bring: files to a recording, month by month into the lake.

Input    a file or folder of CSV, JSON or Parquet; a column mapping; a list of stations, if any.
Output   `Brought`. Parts lie in `var/<workspace>/imports/<city>/`, one per file, named by what the
         file is; parts and polls that are there already are left alone, so that an interrupted
         import goes on where it stopped, and files added later add the times that they bring.
Raises   SourceError for a file that cannot be read, InputError when no row can be used.
Memory   a chunk of a file while reading, a month of all stations while importing.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.tables import QUARANTINED_ROWS
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows import ingest
from mlops_bikeshare.flows.process.logged import Told, logged
from mlops_bikeshare.flows.process.progress import Track, silent
from mlops_bikeshare.sources import history
from mlops_bikeshare.sources.recorded import INFORMATION_FILE, STATUS_FILE

if TYPE_CHECKING:
    import pandas as pd

# A station's count is carried from its last report before the month; what comes after it says
# that the month goes on to its end.
_AROUND = timedelta(days=1)
_PLACE = ("station_id", "name", "lat", "lon", "capacity", "region_id")
_TEXTS = ("station_id", "name", "region_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """What an import found and wrote; `rows` are polls of stations in the lake."""

    city: str
    files: int
    files_there: int
    reports: int
    refused: int
    window: Window
    days_written: int
    days_there: int
    rows: int


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
    files, place = history.files_of(source), _zone(zone)
    folder = ws.path / "imports" / city.name
    folder.mkdir(parents=True, exist_ok=True)
    refused = new = 0
    label = f"read {source.name}"
    for path in track(files, label=label, total=len(files)):
        part = folder / f"{_digest(path, mapping)}.parquet"
        if not part.is_file():
            refused += _part(ws, city, path, part, mapping, place)
            new += 1
    span, reports = _span(folder)
    wrote = there = rows = 0
    for month in track(_months(span), label=f"ingest {city.name}", total=len(_months(span))):
        where = _recording(folder, month, stations)
        done = ingest.import_recording(ws, city, where, window=month)
        wrote, there = wrote + done.days_written, there + done.days_there
        rows += done.rows
    return Brought(
        city=city.name,
        files=len(files),
        files_there=len(files) - new,
        reports=reports,
        refused=refused,
        window=span,
        days_written=wrote,
        days_there=there,
        rows=rows,
    )


def _zone(name: str | None) -> ZoneInfo:
    try:
        return ZoneInfo(name or "UTC")
    except (KeyError, ValueError):
        raise InputError(f"--zone {name}: expected an IANA name such as Europe/Paris") from None


def _digest(path: Path, mapping: Mapping[str, str]) -> str:
    """What a part is made from: the file's name, size and time, and how it was read."""
    facts = path.stat()
    made = (path.name, facts.st_size, facts.st_mtime_ns, sorted(mapping.items()))
    return hashlib.sha256(repr(made).encode()).hexdigest()[:16]


def _part(
    ws: Workspace, city: City, path: Path, part: Path, mapping: Mapping[str, str], zone: ZoneInfo
) -> int:
    """Write the good rows of a file; how many were refused."""
    import pandas as pd

    good, refused = [], 0
    for number, chunk in enumerate(history.read(path, mapping, zone)):
        good.append(chunk.good)
        if len(chunk.refused):
            aside = chunk.refused.assign(
                feed=path.name, fetched_at=pd.Timestamp(ws.now).as_unit("ms")
            )
            name = f"import-{part.stem}-{number}"
            ws.lake.write(QUARANTINED_ROWS, aside, city=city.name, name=name)
            refused += len(aside)
    temporary = part.with_suffix(".tmp")
    pd.concat(good, ignore_index=True).to_parquet(temporary, compression="zstd", index=False)
    temporary.replace(part)  # last: it says that the file was read to its end
    return refused


def _span(folder: Path) -> tuple[Window, int]:
    """From the first report to just after the last, and how many there are."""
    times = _rows(folder, columns=["observed_at"])["observed_at"]
    if times.empty:
        raise InputError("no row of these files can be used; the reasons are in quarantine/rows")
    first, last = (at.to_pydatetime() for at in (times.min(), times.max()))
    return Window(first, last + timedelta(seconds=1)), len(times)


def _rows(
    folder: Path, *, columns: list[str] | None = None, window: Window | None = None
) -> "pd.DataFrame":
    import pyarrow.dataset as ds

    parts = ds.dataset([str(part) for part in sorted(folder.glob("*.parquet"))])
    at = ds.field("observed_at")
    within = None if window is None else (at >= window.start) & (at < window.end)
    return parts.to_table(columns=columns, filter=within).to_pandas()  # type: ignore[no-any-return]


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


def _recording(folder: Path, month: Window, stations: Path | None) -> Path:
    """A recording of one month, and of the day on either side."""
    import pandas as pd

    where = folder / "month"
    where.mkdir(exist_ok=True)
    rows = _rows(folder, window=Window(month.start - _AROUND, month.end + _AROUND))
    rows.to_parquet(where / STATUS_FILE, index=False)
    if stations is not None:
        listed = pd.read_csv(stations, dtype=dict.fromkeys(_TEXTS, "str"))
    else:
        listed = pd.DataFrame({"station_id": sorted(rows["station_id"].unique())})
    listed.reindex(columns=list(_PLACE)).to_parquet(where / INFORMATION_FILE, index=False)
    return where
