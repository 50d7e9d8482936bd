"""Stations of a document to rows of the lake, and the rows that are refused.

Input    the list `data.stations` of a station_status or station_information, any version; when
         it was read and what time the document gives itself.
Output   `Rows`: Arrow rows of STATION_STATUS_RAW or STATION_INFORMATION_RAW without repeated
         stations, a frame of QUARANTINED_ROWS (None if there are none), and how many rows of
         stations listed twice were left out: the newest last_reported stays.
Method   a column at a time (`stations`, `values`); the bounds are those of the tables' contract
         (`refused`).
Source   GBFS v1.0 to v3.1-RC3, station_status.json and station_information.json.

A time of the future is not trusted: a station's is unknown then. One of long ago is kept, and ages
the row. A document without a time is as old as its newest report. A virtual station without a
capacity takes any number of bikes: what it calls free docks, most often 0, is not their number.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.contract import to_arrow, to_frame
from mlops_bikeshare.domain.tables import (
    STATION_INFORMATION_RAW,
    STATION_STATUS_RAW,
    arrow_schema,
)
from mlops_bikeshare.domain.windows import from_seconds
from mlops_bikeshare.sources.gbfs import values
from mlops_bikeshare.sources.gbfs.ebikes import ebikes
from mlops_bikeshare.sources.gbfs.refused import (
    Fault,
    column_of,
    out_of_bounds,
    refused_rows,
    unnamed,
)
from mlops_bikeshare.sources.gbfs.stations import newest, objects_of, told, told_each
from mlops_bikeshare.sources.gbfs.values import Floats, Times

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_COUNTS = (
    "num_bikes_available",
    "num_bikes_disabled",
    "num_docks_available",
    "num_docks_disabled",
)
_FLAGS = ("is_installed", "is_renting", "is_returning")
_STATUS = ("station_id", *_COUNTS, *_FLAGS, "last_reported")
# Clocks of stations and of the operator may run a little ahead of ours.
SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What a list of stations came to; `unlimited`: those that a list says are never full."""

    arrow: "pa.Table"
    refused: "pd.DataFrame | None"
    repeated: int
    unlimited: frozenset[str] = frozenset()

    @property
    def good(self) -> "pd.DataFrame":
        """The good rows as a frame."""
        return to_frame(self.arrow)


def status_rows(
    stations: Sequence[Any],
    *,
    fetched_at: datetime,
    observed_at: datetime | None,
    electric: Collection[str] | None = None,
    unlimited: Collection[str] = (),
) -> Rows:
    """Rows of station_status; `electric` holds the vehicle types that are electric, if known.

    `unlimited`: stations whose free docks have no number.
    """
    objects, places, others = objects_of(stations)
    said = told_each(objects, _STATUS)
    ids = values.ids(said["station_id"])
    faults = [unnamed(ids)]
    counts = {name: values.counts(said[name]) for name in _COUNTS}
    flags = {name: values.flags(said[name]) for name in _FLAGS}
    for name, column in counts.items():
        faults.append(out_of_bounds(column_of(STATION_STATUS_RAW, name), column))
    for name, flag in flags.items():
        faults.append(Fault(flag == values.WRONG, name, "true or false"))
    good = ~np.logical_or.reduce([fault.broken for fault in faults])
    reported = _trusted(values.times(said["last_reported"]), fetched_at)
    kept, repeated = newest(ids, reported, good)
    counts["num_ebikes_available"] = ebikes(objects, electric)
    if unlimited:
        endless = np.array([station in unlimited for station in ids], dtype=bool)
        docks = counts["num_docks_available"]
        counts["num_docks_available"] = np.where(endless, np.nan, docks)
    observed_at = observed_at or _newest_report(reported, kept, fetched_at)
    at = {"observed_at": observed_at, "fetched_at": fetched_at}
    rows = _status_table(ids, counts, flags, reported, kept, at)
    refused = refused_rows("station_status", objects, places, faults, others, fetched_at)
    return Rows(arrow=rows, refused=refused, repeated=repeated)


def information_rows(
    stations: Sequence[Any], *, fetched_at: datetime, language: str | None = None
) -> Rows:
    """Rows of station_information; a place at 0, 0 is a place not given."""
    import pandas as pd

    objects, places, others = objects_of(stations)
    ids = values.ids(told(objects, "station_id"))
    lat, lon = (values.degrees(told(objects, name)) for name in ("lat", "lon"))
    nowhere = (lat == 0) & (lon == 0)
    lat, lon = (np.where(nowhere, np.nan, part) for part in (lat, lon))
    numbers = {"lat": lat, "lon": lon, "capacity": values.counts(told(objects, "capacity"))}
    faults = [unnamed(ids)]
    for name, column in numbers.items():
        faults.append(out_of_bounds(column_of(STATION_INFORMATION_RAW, name), column))
    good = ~np.logical_or.reduce([fault.broken for fault in faults])
    kept, repeated = newest(ids, np.full(len(ids), values.UNKNOWN_TIME), good)
    regions = values.ids(told(objects, "region_id"))  # what is no id is a region not given
    named = values.names(told(objects, "name"), language=language)
    frame = pd.DataFrame(
        {
            "station_id": _ids(ids, kept),
            "name": pd.array([named[i] for i in kept], dtype="str"),
            "lat": lat[kept],
            "lon": lon[kept],
            "capacity": _integers(numbers["capacity"][kept]),
            "region_id": pd.array([regions[i] for i in kept], dtype="str"),
            "fetched_at": _stamp(fetched_at),
        }
    )
    refused = refused_rows("station_information", objects, places, faults, others, fetched_at)
    rows = to_arrow(STATION_INFORMATION_RAW, frame)
    virtual = values.flags(told(objects, "is_virtual_station")) == 1
    endless = virtual & ~(numbers["capacity"] > 0)
    unlimited = frozenset(str(ids[i]) for i in kept if endless[i])
    return Rows(arrow=rows, refused=refused, repeated=repeated, unlimited=unlimited)


def _trusted(reported: Times, fetched_at: datetime) -> Times:
    """A report from the future is a wrong clock: when it was made is not known."""
    latest = np.datetime64((fetched_at + SKEW).replace(tzinfo=None), "ms")
    return np.where(reported > latest, values.UNKNOWN_TIME, reported)


def _newest_report(reported: Times, kept: NDArray[np.int64], fetched_at: datetime) -> datetime:
    """What a document without a time of its own cannot be older than."""
    known = reported[kept][~np.isnat(reported[kept])]
    if not len(known):
        return fetched_at
    return min(from_seconds(int(known.max().astype("M8[s]").astype(np.int64))), fetched_at)


def _status_table(
    ids: Sequence[str | None],
    counts: dict[str, Floats],
    flags: dict[str, NDArray[np.int8]],
    reported: Times,
    kept: NDArray[np.int64],
    at: dict[str, datetime],
) -> "pa.Table":
    import pyarrow as pa

    chosen = ids if len(kept) == len(ids) else [ids[i] for i in kept]
    columns: dict[str, pa.Array] = {"station_id": pa.array(chosen, pa.string())}
    columns |= {name: _whole_numbers(column[kept]) for name, column in counts.items()}
    columns |= {name: _yes_or_no(flag[kept]) for name, flag in flags.items()}
    instant = pa.timestamp("ms", tz="UTC")
    columns["last_reported"] = pa.array(reported[kept].astype("M8[ms]"), instant)
    columns |= {name: pa.repeat(pa.scalar(time, instant), len(kept)) for name, time in at.items()}
    schema = arrow_schema(STATION_STATUS_RAW)
    return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


def _whole_numbers(numbers: Floats) -> "pa.Array":
    import pyarrow as pa

    missing = np.isnan(numbers)
    return pa.array(np.where(missing, 0, numbers).astype(np.int16), mask=missing)


def _yes_or_no(flag: NDArray[np.int8]) -> "pa.Array":
    import pyarrow as pa

    return pa.array(flag == 1, mask=flag == values.GIVEN_NOT)


def _ids(ids: Sequence[str | None], kept: NDArray[np.int64]) -> Any:
    import pandas as pd

    chosen = ids if len(kept) == len(ids) else [ids[i] for i in kept]
    return pd.array(np.array(chosen, dtype=object), dtype="str")


def _integers(numbers: Floats) -> "pd.arrays.IntegerArray":
    import pandas as pd

    missing = np.isnan(numbers)
    return pd.arrays.IntegerArray(np.where(missing, 0, numbers).astype(np.int16), missing)


def _stamp(at: datetime) -> "pd.Timestamp":
    import pandas as pd

    return pd.Timestamp(at).as_unit("ms")
