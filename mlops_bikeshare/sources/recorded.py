"""A recorded city, served poll by poll as of a simulated time.

A recording is a folder of `station_status.parquet` (a change log: station_id, observed_at,
num_bikes_available, num_docks_available; flags and disabled counts where the feed had them) and
`station_information.parquet` (station_id, name, lat, lon, capacity; region_id where the feed had
it). In it `observed_at` is the station's own report time, so a poll carries each station's newest
row at or before the poll, as `last_reported`; the document's time and `fetched_at` are the
poll's. `polls.parquet` (poll_at, fetched_at, ok), where there is one, says which polls were late
or failed.

Raises SourceError, naming the file and the columns, for what is missing, empty, malformed or out
of range: what opens is what the lake takes.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.contract import to_arrow
from mlops_bikeshare.domain.errors import SourceError
from mlops_bikeshare.domain.tables import STATION_INFORMATION_RAW, STATION_STATUS_RAW
from mlops_bikeshare.domain.windows import SLOT_S, Window, from_seconds, to_seconds
from mlops_bikeshare.sources import recorded_columns
from mlops_bikeshare.sources.feed import Reading

if TYPE_CHECKING:
    import pandas as pd

STATUS_FILE = "station_status.parquet"
INFORMATION_FILE = "station_information.parquet"
POLLS_FILE = "polls.parquet"
_REQUIRED = ("station_id", "observed_at", "num_bikes_available", "num_docks_available")
_SPAN = recorded_columns.LATEST_S  # so that station and time make one sorted key


@dataclass(frozen=True)
class Recording:
    """An opened recording; rows are sorted by station and report time."""

    folder: Path
    rows: "pd.DataFrame"
    stations: NDArray[np.str_]
    keys: NDArray[np.int64]
    station_list: "pd.DataFrame"
    schedule: dict[int, int | None]

    @property
    def span(self) -> Window:
        """From the first report to just after the last."""
        times = self.keys % _SPAN
        return Window(from_seconds(times.min()), from_seconds(times.max() + 1))

    def poll(self, at: datetime) -> "pd.DataFrame | None":
        """The status rows as fetched at `at`; None when that poll failed."""
        polls = self.polls(np.array([to_seconds(at)]))
        return None if polls.empty else polls

    def read_status(self, at: datetime) -> Reading:
        """The poll as a reading; a recorded failure is one."""
        rows = self.poll(at)
        if rows is None:
            return Reading(fetched_at=at, failure="the recording has no poll of this time")
        return Reading(
            fetched_at=rows["fetched_at"].iloc[0].to_pydatetime(),
            rows=to_arrow(STATION_STATUS_RAW, rows),
            observed_at=at,
        )

    def read_information(self, at: datetime) -> Reading:
        """The station list as a reading."""
        rows = to_arrow(STATION_INFORMATION_RAW, self.information(at))
        return Reading(fetched_at=at, rows=rows, observed_at=at)

    def polls(self, scheduled: NDArray[np.int64]) -> "pd.DataFrame":
        """All polls scheduled at these times (int64 seconds); failed ones have no rows."""
        fetched = np.array([self.schedule.get(int(t), int(t)) or -1 for t in scheduled], np.int64)
        fetched = fetched[fetched >= 0]
        count = len(self.stations)
        wanted = np.arange(count, dtype=np.int64)[None, :] * _SPAN + fetched[:, None]
        found = np.searchsorted(self.keys, wanted.ravel(), side="right") - 1
        known = (found >= 0) & (
            self.keys[found] // _SPAN == np.tile(np.arange(count), len(fetched))
        )
        times = np.repeat(fetched, count)[known].astype("M8[s]")
        return _as_polled(self.rows.iloc[found[known]], times)

    def up(self, times: NDArray[np.int64], *, within_s: int) -> NDArray[np.bool_]:
        """Whether any station reported in the `within_s` before each time (int64 seconds)."""
        reports = np.unique(self.keys % _SPAN)
        newest = np.searchsorted(reports, times, side="right") - 1
        found: NDArray[np.bool_] = (newest >= 0) & (reports[newest] > times - within_s)
        return found

    def information(self, at: datetime) -> "pd.DataFrame":
        """The station list; a recording has one for all of its time."""
        import pandas as pd

        return self.station_list.assign(fetched_at=pd.Timestamp(at).as_unit("ms"))


def open_recording(folder: Path) -> Recording:
    """Read and check a recording."""
    rows = _status(folder / STATUS_FILE)
    stations, index = np.unique(rows["station_id"].to_numpy(dtype=str), return_inverse=True)
    seconds = rows["observed_at"].astype("datetime64[s, UTC]").astype("int64").to_numpy()
    keys = index.astype(np.int64) * _SPAN + seconds
    order = np.argsort(keys, kind="stable")
    station_list = _information(folder / INFORMATION_FILE)
    if not np.isin(stations, station_list["station_id"].to_numpy(dtype=str)).any():
        ours, theirs = stations[0], station_list["station_id"][0]
        raise SourceError(
            f"{folder}: column station_id: {STATUS_FILE} has ids such as {str(ours)!r},"
            f" {INFORMATION_FILE} such as {theirs!r}; expected at least one station in both"
        )
    return Recording(
        folder=folder,
        rows=rows.iloc[order].reset_index(drop=True),
        stations=stations,
        keys=keys[order],
        station_list=station_list,
        schedule=_schedule(folder / POLLS_FILE),
    )


def poll_times(window: Window) -> NDArray[np.int64]:
    """The scheduled five-minute polls in [start, end)."""
    start = -(-to_seconds(window.start) // SLOT_S) * SLOT_S
    return np.arange(start, to_seconds(window.end), SLOT_S, dtype=np.int64)


def _read(path: Path, required: tuple[str, ...]) -> "pd.DataFrame":
    import pandas as pd
    import pyarrow as pa

    if not path.is_file():
        files = f"{STATUS_FILE} and {INFORMATION_FILE}"
        raise SourceError(
            f"no recording at {path.parent}: {path.name} is missing; expected {files}"
        )
    try:
        frame = pd.read_parquet(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise SourceError(f"{path} is not a readable Parquet file: {error}") from None
    missing = [name for name in required if name not in frame.columns]
    if missing:
        raise SourceError(f"{path} lacks the columns {missing}; it has {list(frame.columns)}")
    if frame.empty:
        raise SourceError(f"{path} has no rows")
    return frame


def _status(path: Path) -> "pd.DataFrame":
    import pandas as pd

    frame = _read(path, _REQUIRED)
    columns: dict[str, Any] = {
        "station_id": recorded_columns.ident(path, frame, "station_id"),
        "observed_at": recorded_columns.time(path, frame, "observed_at"),
    }
    for column in STATION_STATUS_RAW.columns:
        if column.kind == "int16":
            columns[column.name] = recorded_columns.number(path, frame, column)
        elif column.kind == "bool":
            columns[column.name] = recorded_columns.flag(path, frame, column.name)
    return pd.DataFrame(columns)


def _information(path: Path) -> "pd.DataFrame":
    import pandas as pd

    names = [n for n in STATION_INFORMATION_RAW.names if n != "fetched_at"]
    frame = _read(path, tuple(n for n in names if n != "region_id"))
    columns: dict[str, Any] = {
        "station_id": recorded_columns.ident(path, frame, "station_id"),
        "name": frame["name"].astype("str"),
        "region_id": recorded_columns.ident(path, frame, "region_id", nullable=True),
    }
    for column in STATION_INFORMATION_RAW.columns:
        if column.kind in {"int16", "float64"}:
            columns[column.name] = recorded_columns.number(path, frame, column)
    return pd.DataFrame(columns)[names].drop_duplicates("station_id").reset_index(drop=True)


def _schedule(path: Path) -> dict[int, int | None]:
    if not path.is_file():
        return {}
    polls = _read(path, ("poll_at", "fetched_at", "ok"))
    ok = recorded_columns.flag(path, polls, "ok", nullable=False)
    scheduled = recorded_columns.time(path, polls, "poll_at")
    fetched = recorded_columns.time(path, polls, "fetched_at", optional=~ok)
    seconds = (of.astype("datetime64[s, UTC]") for of in (scheduled, fetched.fillna(scheduled)))
    rows = zip(*(of.astype("int64") for of in seconds), ok, strict=True)
    return {int(at): int(read) if done else None for at, read, done in rows}


def _as_polled(rows: "pd.DataFrame", fetched: NDArray[np.datetime64]) -> "pd.DataFrame":
    import pandas as pd

    at = pd.Series(fetched, index=rows.index).dt.tz_localize(UTC).astype("datetime64[ms, UTC]")
    reported = rows["observed_at"].astype("datetime64[ms, UTC]")
    polled = rows.assign(last_reported=reported, observed_at=at, fetched_at=at)
    return polled[STATION_STATUS_RAW.names].reset_index(drop=True)
