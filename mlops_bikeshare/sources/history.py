"""Histories that people bring: CSV, JSON and Parquet files of station counts, in their own words.

Input    a file; a mapping from our column names to the file's; the zone of times without offset.
Output   chunks of at most `CHUNK` rows: good rows as a recording has them (station_id, observed_at,
         counts, flags), and refused ones with the reason (feed, position, station_id, reason, row).
Raises   SourceError for a file that cannot be read or lacks a required column.

JSON may be an array of objects, one object a line, or a GBFS station_status. Numbers, flags and
times are read as those of live feeds are.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np

from mlops_bikeshare.domain.errors import InputError, SourceError
from mlops_bikeshare.domain.tables import STATION_STATUS_RAW
from mlops_bikeshare.sources.gbfs import values
from mlops_bikeshare.sources.gbfs.documents import parse

if TYPE_CHECKING:
    import pandas as pd

CHUNK = 250_000
SUFFIXES = (".parquet", ".csv", ".csv.gz", ".json", ".jsonl", ".ndjson")
REQUIRED = ("station_id", "observed_at", "num_bikes_available")
_COUNTS = tuple(c for c in STATION_STATUS_RAW.columns if c.kind == "int16")
_FLAGS = tuple(c.name for c in STATION_STATUS_RAW.columns if c.kind == "bool")
COLUMNS = ("station_id", "observed_at", *(c.name for c in _COUNTS), *_FLAGS)
_ROW_CHARACTERS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Some rows of a file; `position` is the place of a refused row in it."""

    good: "pd.DataFrame"
    refused: "pd.DataFrame"


def files_of(source: Path) -> list[Path]:
    """The readable files of a folder, sorted by name, or the one file."""
    found = sorted(p for p in source.rglob("*") if p.is_file()) if source.is_dir() else [source]
    readable = [path for path in found if path.name.lower().endswith(SUFFIXES)]
    if not readable or not source.exists():
        raise SourceError(f"nothing to import at {source}; expected {', '.join(SUFFIXES)}")
    return readable


def mapping_of(pairs: Iterable[str]) -> dict[str, str]:
    """`ours=theirs` pairs; InputError for a column that we do not have."""
    found = {}
    for pair in pairs:
        ours, equals, theirs = pair.partition("=")
        if not equals or not theirs or ours not in COLUMNS:
            msg = f"--map {pair}: expected OURS=THEIRS, with OURS one of {', '.join(COLUMNS)}"
            raise InputError(msg)
        found[ours] = theirs
    return found


def read(path: Path, mapping: Mapping[str, str], zone: ZoneInfo) -> Iterator[Chunk]:
    """The file, chunk by chunk."""
    position = 0
    for frame in _frames(path):
        named = {theirs: ours for ours, theirs in mapping.items()}
        ours = frame.rename(columns=named)
        missing = [mapping.get(name, name) for name in REQUIRED if name not in ours]
        if missing:
            have = f"it has {', '.join(map(str, frame.columns))}"
            raise SourceError(f"{path} lacks {', '.join(missing)}; {have}; use --map OURS=THEIRS")
        yield _chunk(ours, path.name, position, zone)
        position += len(frame)


def _frames(path: Path) -> "Iterator[pd.DataFrame]":
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if path.name.endswith(".parquet"):
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(CHUNK):
                    yield batch.to_pandas()
        elif ".csv" in path.name:
            # Text, so that ids keep their zeros; numbers are read from it like quoted ones.
            with pd.read_csv(path, dtype="object", chunksize=CHUNK, keep_default_na=True) as chunks:
                yield from chunks
        else:
            yield from _json_frames(path)
    except (pa.ArrowInvalid, OSError, ValueError) as error:
        raise SourceError(f"{path} cannot be read: {error}") from None


def _json_frames(path: Path) -> "Iterator[pd.DataFrame]":
    import pandas as pd

    body = path.read_bytes()
    if path.suffix in {".jsonl", ".ndjson"}:
        rows = [json.loads(line) for line in body.splitlines() if line.strip()]
    else:
        whole = json.loads(body)
        rows = whole if isinstance(whole, list) else _document(body)
    for first in range(0, len(rows), CHUNK):
        part = [row if isinstance(row, dict) else {} for row in rows[first : first + CHUNK]]
        yield pd.DataFrame(part, dtype="object")


def _document(body: bytes) -> list[Any]:
    document = parse(body)
    at = document.last_updated
    told = {} if at is None else {"observed_at": at.isoformat()}
    return [{**told, **row} for row in document.stations if isinstance(row, dict)]


def _chunk(frame: "pd.DataFrame", name: str, position: int, zone: ZoneInfo) -> Chunk:
    import pandas as pd

    told = {column: _listed(frame[column]) for column in COLUMNS if column in frame}
    ids = values.ids(told["station_id"])
    at = _times(frame["observed_at"], told["observed_at"], zone)
    faults = {"station_id": np.array([i is None for i in ids]), "observed_at": np.isnat(at)}
    columns: dict[str, Any] = {"station_id": ids, "observed_at": at}
    for column in _COUNTS:
        numbers = values.counts(told.get(column.name, [None] * len(ids)))
        inside = values.bounded(column, numbers)
        faults[column.name] = ~inside & ~(np.isnan(numbers) & column.nullable)
        columns[column.name] = pd.array(np.where(inside, numbers, np.nan), dtype="Int16")
    for flag in _FLAGS:
        said = values.flags(told.get(flag, [None] * len(ids)))
        faults[flag] = said == values.WRONG
        columns[flag] = pd.arrays.BooleanArray(said == 1, said < 0)
    bad = np.logical_or.reduce(list(faults.values()))
    good = pd.DataFrame(columns)[~bad].reset_index(drop=True)
    good["station_id"] = good["station_id"].astype("str")
    good["observed_at"] = good["observed_at"].dt.tz_localize("UTC")
    return Chunk(good=good, refused=_refused(frame, name, position, faults, bad))


def _listed(column: "pd.Series[Any]") -> list[Any]:
    """JSON values: None where missing, whole numbers where floats only stand in for them."""
    return list(column.astype("object").where(column.notna(), None))


def _times(column: "pd.Series[Any]", told: list[Any], zone: ZoneInfo) -> values.Times:
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(column):
        aware = column if column.dt.tz else _placed(column, zone)
        return aware.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("M8[ms]")  # type: ignore[no-any-return]
    found = values.times(told)
    naive = np.array([isinstance(t, str) and values.without_offset(t) for t in told], dtype=bool)
    if naive.any():
        local = _placed(pd.Series(found[naive]), zone).dt.tz_convert("UTC").dt.tz_localize(None)
        found[naive] = local.to_numpy().astype("M8[ms]")
    return found


def _placed(times: "pd.Series[Any]", zone: ZoneInfo) -> "pd.Series[Any]":
    """Local times in their zone; the hour that a clock skips or strikes twice is not known."""
    placed: pd.Series[Any] = times.dt.tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
    return placed


def _refused(
    frame: "pd.DataFrame", name: str, position: int, faults: Mapping[str, Any], bad: Any
) -> "pd.DataFrame":
    import pandas as pd

    places = np.flatnonzero(bad)
    rows = frame.iloc[places].astype("object")
    reasons = [f"{name}: cannot be used: {_names(faults, place)}" for place in places.tolist()]
    return pd.DataFrame(
        {
            "position": (places + position).astype(np.int32),
            "station_id": pd.array(values.ids(_listed(rows["station_id"])), dtype="str"),
            "reason": pd.array(reasons, dtype="str"),
            "row": pd.array(
                [json.dumps(row, default=str)[:_ROW_CHARACTERS] for row in rows.to_dict("records")],
                dtype="str",
            ),
        }
    )


def _names(faults: Mapping[str, Any], place: int) -> str:
    return ", ".join(column for column, broken in faults.items() if broken[place])
