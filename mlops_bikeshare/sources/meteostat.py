"""The weather of a place from Meteostat: stations around it, their hours, interpolated.

Input    a client (time-outs, bounded retries, body limit, User-Agent are its), a place, the folder
         where the station database is kept for a month.
Output   rows of WEATHER_HOURLY_RAW of the last day's hours, `fetched_at` when they were read. An
         hour still to come is a forecast and left out; past hours that Meteostat filled in from a
         model count, as known when they were read.
Raises   SourceError when no station is near, or none of them could be read by the deadline.
Source   https://dev.meteostat.net/data/timeseries/hourly: `hourly/{year}/{station}.csv.gz` (UTC;
         temp, prcp, wspd, rhum, each with a _source) and the SQLite file `stations.db`. The
         library of the same name is not used: its download has neither time-out nor retry and
         takes every failure for no data. Interpolation by inverse distance (Shepard 1968), per
         value, over the stations that have it; heights are not corrected for.
"""

import gzip
import io
import os
import secrets
import sqlite3
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_bikeshare.domain.errors import SourceError
from mlops_bikeshare.domain.tables import WEATHER_HOURLY_RAW
from mlops_bikeshare.domain.windows import floor_time
from mlops_bikeshare.sources.gbfs.client import FeedClient

if TYPE_CHECKING:
    import pandas as pd

URL = "https://data.meteostat.net"
ORIGIN = "meteostat"
HOURS = 24
KEEP_DAYS = 30
_COLUMNS = {
    "temperature_c": "temp",
    "precipitation_mm": "prcp",
    "wind_km_h": "wspd",
    "humidity_pct": "rhum",
}
_TIME = ["year", "month", "day", "hour"]
_KM_PER_DEGREE = 111.195
_NEAREST_KM = 0.1  # a station at the place itself would weigh without end
_HOUR_S = 3600
_LARGEST = 64 * 1024 * 1024  # bytes of a year of hours, unpacked; real ones have about one
_DATABASE = "stations.db"


@dataclass(frozen=True)
class Meteostat:
    """The weather at one place; `deadline_s` is for one reading as a whole, retries included."""

    client: FeedClient
    lat: float
    lon: float
    folder: Path
    url: str = URL
    radius_km: float = 50.0
    stations: int = 4
    deadline_s: float = 60.0
    monotonic: Callable[[], float] = field(default=time.monotonic, repr=False)

    def read(self, at: datetime) -> "pd.DataFrame":
        """The hours of the day up to `at`."""
        until, why = self.monotonic() + self.deadline_s, []
        parts, weights = [], []
        for station, km in self._near(at):
            if self.monotonic() > until:
                why.append(f"no time left after {self.deadline_s:g} s")
                break
            try:
                parts.append(self._hours(station, at))
            except SourceError as error:
                why.append(str(error))
            else:
                weights.append(1 / max(km, _NEAREST_KM) ** 2)
        if not parts:
            raise SourceError(f"no weather at {self.lat:g}, {self.lon:g}: {'; '.join(why)}")
        return _rows(_between(parts, weights), at)

    def _near(self, at: datetime) -> list[tuple[str, float]]:
        """Ids and distances of the nearest stations."""
        path = self.folder / _DATABASE
        age = at.timestamp() - path.stat().st_mtime if path.is_file() else float("inf")
        if abs(age) > KEEP_DAYS * 24 * _HOUR_S:
            self._fetch_database(path, at)
        lat = np.radians(self.lat)
        listed = _listed(path, self.lat, self.lon, self.radius_km)
        if not listed:
            where = f"{self.lat:g}, {self.lon:g}"
            raise SourceError(f"Meteostat has no station within {self.radius_km:g} km of {where}")
        ids, lats, lons = zip(*listed, strict=True)
        y, x = np.radians(np.array(lats) - self.lat), np.radians(np.array(lons) - self.lon)
        a = np.sin(y / 2) ** 2 + np.cos(lat) * np.cos(lat + y) * np.sin(x / 2) ** 2
        km = np.degrees(2 * np.arcsin(np.sqrt(a))) * _KM_PER_DEGREE
        nearest = [i for i in np.argsort(km, kind="stable") if km[i] <= self.radius_km]
        return [(str(ids[i]), float(km[i])) for i in nearest[: self.stations]]

    def _fetch_database(self, path: Path, at: datetime) -> None:
        """Get the station database; where that fails, an old one will do."""
        try:
            body = self._database()
        except SourceError:
            if path.is_file():
                return
            raise
        self.folder.mkdir(parents=True, exist_ok=True)
        # Cities of one process ask beside each other: each writes a file of its own.
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        temporary.write_bytes(body)
        os.utime(temporary, (at.timestamp(), at.timestamp()))
        temporary.replace(path)

    def _database(self) -> bytes:
        body = self.client.get(f"{self.url}/{_DATABASE}").body or b""
        if not body.startswith(b"SQLite format 3\0"):
            raise SourceError(f"{self.url}/{_DATABASE}: not a SQLite file: {body[:40]!r}")
        return body

    def _hours(self, station: str, at: datetime) -> "pd.DataFrame":
        """The last hours of one station; a year begins with the file of the year before."""
        import pandas as pd

        first = floor_time(at, step_s=_HOUR_S) - timedelta(hours=HOURS - 1)
        urls = [
            f"{self.url}/hourly/{year}/{station}.csv.gz"
            for year in sorted({first.year, at.year}, reverse=True)
        ]
        frames, why = [], SourceError(f"Meteostat has no hours of station {station}")
        for url in urls:
            try:
                frames.append(_parsed(self.client.get(url).body or b"", url))
            except SourceError as error:  # the file of a new year may not be there yet
                why = error
        if not frames:
            raise why
        hours = pd.concat(frames)
        return hours[(hours.index >= first) & (hours.index <= at)]


def _listed(path: Path, lat: float, lon: float, km: float) -> list[tuple[str, float, float]]:
    """Stations of a box around the place."""
    high = km / _KM_PER_DEGREE
    wide = high / max(float(np.cos(np.radians(lat))), 0.01)
    sql = """
        SELECT id, latitude, longitude FROM stations
        WHERE latitude BETWEEN ? AND ? AND longitude BETWEEN ? AND ?
    """
    box = (lat - high, lat + high, lon - wide, lon + wide)
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            return database.execute(sql, box).fetchall()
    except sqlite3.DatabaseError as error:
        path.unlink(missing_ok=True)  # the next reading fetches another one
        raise SourceError(f"the station database of Meteostat is not usable: {error}") from None


def _parsed(body: bytes, url: str) -> "pd.DataFrame":
    """Our columns by hour; what is not a number is missing."""
    import pandas as pd

    try:
        table = pd.read_csv(io.BytesIO(_unpacked(body)))
        times = pd.to_datetime(table[_TIME], utc=True)
        columns = {
            ours: pd.to_numeric(table[theirs], errors="coerce") if theirs in table else np.nan
            for ours, theirs in _COLUMNS.items()
        }
    except (ValueError, KeyError, EOFError, OSError, zlib.error) as error:
        what = " ".join(str(error).split())[:120]
        raise SourceError(f"{url}: not hours of weather: {what}") from None
    hours = pd.DataFrame(columns, dtype="float64").set_axis(pd.DatetimeIndex(times))
    kept: pd.DataFrame = hours[~hours.index.duplicated(keep="last")]
    return kept


def _unpacked(body: bytes) -> bytes:
    """The text of a file that is packed, unless the server had it unpacked already."""
    if not body.startswith(b"\x1f\x8b"):
        return body
    with gzip.open(io.BytesIO(body)) as packed:
        text = packed.read(_LARGEST + 1)
    if len(text) > _LARGEST:
        raise ValueError(f"more than {_LARGEST} bytes when unpacked")
    return text


def _between(parts: "Sequence[pd.DataFrame]", weights: Sequence[float]) -> "pd.DataFrame":
    """Weighted means of the stations that have a value; impossible ones do not count."""
    import pandas as pd

    hours = parts[0].index
    for part in parts[1:]:
        hours = hours.union(part.index)
    values = np.stack([_possible(part.reindex(hours)) for part in parts])
    weight = np.where(np.isnan(values), 0, np.array(weights)[:, None, None])
    total = weight.sum(axis=0)
    mean = np.where(total > 0, np.nansum(values * weight, axis=0), np.nan)
    mean = mean / np.where(total > 0, total, 1)
    return pd.DataFrame(mean, index=hours, columns=list(_COLUMNS))


def _possible(hours: "pd.DataFrame") -> Any:
    """The values within the contract's bounds, the others missing."""
    bounds = {c.name: (c.low, c.high) for c in WEATHER_HOURLY_RAW.columns}
    values = hours[list(_COLUMNS)].to_numpy(dtype=np.float64)
    low, high = np.array([bounds[name] for name in _COLUMNS], dtype=np.float64).T
    return np.where((values >= low) & (values <= high), values, np.nan)


def _rows(hours: "pd.DataFrame", at: datetime) -> "pd.DataFrame":
    """Rows of the lake; an hour of which nothing is known has none."""
    import pandas as pd

    known = hours.dropna(how="all")
    rows = known.assign(
        hour=pd.DatetimeIndex(known.index).as_unit("ms"),
        fetched_at=pd.Timestamp(at).as_unit("ms"),
        origin=ORIGIN,
    )
    return rows[WEATHER_HOURLY_RAW.names].sort_values("hour", ignore_index=True)
