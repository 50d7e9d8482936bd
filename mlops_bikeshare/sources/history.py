"""Histories that people bring: CSV, JSON and Parquet files of station counts, in their own words.

Input    a file (see `history_files`); a mapping from our column names to the file's; the zone of
         times without offset.
Output   chunks: good rows as a recording has them (station_id, observed_at, counts, flags), and
         refused ones with the reason (position, station_id, reason, row).
Raises   SourceError for a file that cannot be read or lacks a required column, or one that the
         mapping names.

Numbers, flags and times are read as those of live feeds are; seconds may have a fraction.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np

from mlops_bikeshare.domain.errors import InputError, SourceError
from mlops_bikeshare.domain.tables import STATION_STATUS_RAW
from mlops_bikeshare.sources.gbfs import values
from mlops_bikeshare.sources.gbfs.refused import Fault, out_of_bounds, unnamed
from mlops_bikeshare.sources.history_files import frames

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

REQUIRED = ("station_id", "observed_at", "num_bikes_available")
_COUNTS = tuple(c for c in STATION_STATUS_RAW.columns if c.kind == "int16")
_FLAGS = tuple(c.name for c in STATION_STATUS_RAW.columns if c.kind == "bool")
COLUMNS = ("station_id", "observed_at", *(c.name for c in _COUNTS), *_FLAGS)
_TIME = "a time such as 2024-01-31T12:00:00Z, or seconds since 1970"
_STRUCK = f"{_TIME}; this local time is skipped or struck twice on that day: give its offset"
_FRACTION = re.compile(r"^\d+\.\d+$")
_ROW_CHARACTERS, _SHOWN = 2000, 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Some rows of a file; `position` is the place of a refused row in it."""

    good: "pd.DataFrame"
    refused: "pd.DataFrame"


def schema() -> "pa.Schema":
    """Of the good rows."""
    import pyarrow as pa

    return pa.schema(
        [
            ("station_id", pa.string()),
            ("observed_at", pa.timestamp("ms", tz="UTC")),
            *((column.name, pa.int16()) for column in _COUNTS),
            *((flag, pa.bool_()) for flag in _FLAGS),
        ]
    )


def mapping_of(pairs: Iterable[str]) -> dict[str, str]:
    """`ours=theirs` pairs; InputError for a column that we do not have, or have twice."""
    found: dict[str, str] = {}
    for pair in pairs:
        ours, equals, theirs = pair.partition("=")
        if not equals or not theirs or ours not in COLUMNS:
            msg = f"--map {pair}: expected OURS=THEIRS, with OURS one of {', '.join(COLUMNS)}"
            raise InputError(msg)
        if ours in found:
            raise InputError(
                f"--map {pair}: {ours} is mapped to {found[ours]} already; name it once"
            )
        found[ours] = theirs
    return found


def read(path: Path, mapping: Mapping[str, str], zone: ZoneInfo) -> Iterator[Chunk]:
    """The file, chunk by chunk."""
    position = 0
    for frame in frames(path, ids=mapping.get("station_id", "station_id")):
        if not position:
            _check_columns(path, frame, mapping)
        yield _chunk(frame, _named(frame, mapping), position, zone)
        position += len(frame)


def _check_columns(path: Path, frame: "pd.DataFrame", mapping: Mapping[str, str]) -> None:
    wanted = {**{name: name for name in REQUIRED}, **mapping}
    missing = [theirs for theirs in wanted.values() if theirs not in frame]
    if missing:
        have = f"it has {', '.join(map(str, frame.columns))}"
        raise SourceError(f"{path} lacks {', '.join(missing)}; {have}; use --map OURS=THEIRS")


def _named(frame: "pd.DataFrame", mapping: Mapping[str, str]) -> "dict[str, pd.Series[Any]]":
    """Our columns, as far as the file has them; what a row of JSON leaves out is missing."""
    import pandas as pd

    theirs = {name: mapping.get(name, name) for name in COLUMNS}
    nothing = pd.Series(None, index=frame.index, dtype="object")
    return {
        name: frame.get(column, nothing)
        for name, column in theirs.items()
        if column in frame or name in REQUIRED
    }


def _chunk(
    frame: "pd.DataFrame", named: "Mapping[str, pd.Series[Any]]", position: int, zone: ZoneInfo
) -> Chunk:
    import pandas as pd

    told = {name: _listed(column) for name, column in named.items()}
    nothing = [None] * len(frame)
    ids = values.ids(told["station_id"])
    at, struck = _times(named["observed_at"], told["observed_at"], zone)
    faults = [unnamed(ids), Fault(np.isnat(at) & ~struck, "observed_at", _TIME)]
    faults.append(Fault(np.isnat(at) & struck, "observed_at", _STRUCK))
    columns: dict[str, Any] = {"station_id": ids, "observed_at": at}
    for column in _COUNTS:
        numbers = values.counts(told.get(column.name, nothing))
        faults.append(out_of_bounds(column, numbers))
        inside = values.bounded(column, numbers)
        columns[column.name] = pd.array(np.where(inside, numbers, np.nan), dtype="Int16")
    for flag in _FLAGS:
        said = values.flags(told.get(flag, nothing))
        faults.append(Fault(said == values.WRONG, flag, "true or false"))
        columns[flag] = pd.arrays.BooleanArray(said == 1, said < 0)
    bad = np.logical_or.reduce([fault.broken for fault in faults])
    good = pd.DataFrame(columns)[~bad].reset_index(drop=True)
    good["station_id"] = good["station_id"].astype("str")
    good["observed_at"] = good["observed_at"].dt.tz_localize("UTC")
    return Chunk(good=good, refused=_refused(frame, told, position, faults, np.flatnonzero(bad)))


def _listed(column: "pd.Series[Any]") -> list[Any]:
    """JSON values: None where missing, whole numbers where floats only stand in for them."""
    import pandas as pd

    if pd.api.types.is_float_dtype(column) and (column.dropna() % 1 == 0).all():
        column = column.astype("Int64")
    return list(column.astype("object").where(column.notna(), None))


def _times(
    column: "pd.Series[Any]", told: list[Any], zone: ZoneInfo
) -> tuple[values.Times, "np.ndarray[tuple[int], np.dtype[np.bool_]]"]:
    """The times in UTC, and which of those that are missing the clocks of the zone never show."""
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(column):
        aware = column if column.dt.tz else _placed(column, zone)
        utc = aware.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("M8[ms]")
        return utc, column.notna().to_numpy(dtype=bool)
    found = values.times([_whole_seconds(time) for time in told])
    naive = np.array([isinstance(t, str) and values.without_offset(t) for t in told], dtype=bool)
    naive &= ~np.isnat(found)
    if naive.any():
        local = _placed(pd.Series(found[naive]), zone).dt.tz_convert("UTC").dt.tz_localize(None)
        found[naive] = local.to_numpy().astype("M8[ms]")
    return found, naive


def _whole_seconds(time: Any) -> Any:
    """Seconds without their fraction."""
    if isinstance(time, float) or (isinstance(time, str) and _FRACTION.match(time)):
        return int(float(time)) if abs(float(time)) < values.LATEST_MS else None
    return time


def _placed(times: "pd.Series[Any]", zone: ZoneInfo) -> "pd.Series[Any]":
    """Local times in their zone; the hour that a clock skips or strikes twice is not known."""
    placed: pd.Series[Any] = times.dt.tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
    return placed


def _refused(
    frame: "pd.DataFrame",
    told: Mapping[str, list[Any]],
    position: int,
    faults: Sequence[Fault],
    places: "np.ndarray[tuple[int], np.dtype[np.int64]]",
) -> "pd.DataFrame":
    import pandas as pd

    rows = frame.iloc[places].astype("object").to_dict("records")
    listed = places.tolist()
    reasons = ["; ".join(_reason(f, told, i) for f in faults if f.broken[i]) for i in listed]
    ids = values.ids([told["station_id"][i] for i in listed])
    return pd.DataFrame(
        {
            "position": (places + position).astype(np.int32),
            "station_id": pd.array(ids, dtype="str"),
            "reason": pd.array(reasons, dtype="str"),
            "row": pd.array(
                [json.dumps(row, default=str)[:_ROW_CHARACTERS] for row in rows], dtype="str"
            ),
        }
    )


def _reason(fault: Fault, told: Mapping[str, list[Any]], place: int) -> str:
    got = told[fault.column][place]
    written = "nothing" if got is None else json.dumps(got, default=str)[:_SHOWN]
    return f"{fault.column}: expected {fault.expected}, got {written}"
