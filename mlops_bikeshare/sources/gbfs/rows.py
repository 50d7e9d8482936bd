"""Stations of a document to rows of the lake, and the rows that are refused.

Input    the list `data.stations` of a station_status or station_information, any version; when
         it was read and what time the document gives itself.
Output   `Rows`: a frame of STATION_STATUS_RAW or STATION_INFORMATION_RAW without repeated
         stations, a frame of QUARANTINED_ROWS (None if there are none), and how many rows of
         stations listed twice were left out: the newest last_reported stays.
Method   a column at a time. Version 3 says vehicles where 1 and 2 say bikes; where a feed gives
         both, bikes count. The bounds are those of the tables' contract.
Source   GBFS v1.0 to v3.1-RC3, station_status.json and station_information.json.

A time of the future is not trusted: a station's is unknown then. One of long ago is kept, and ages
the row. A document without a time is as old as its newest report.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.tables import (
    QUARANTINED_ROWS,
    STATION_INFORMATION_RAW,
    STATION_STATUS_RAW,
    Column,
    Table,
)
from mlops_bikeshare.domain.windows import from_seconds
from mlops_bikeshare.sources.gbfs import values
from mlops_bikeshare.sources.gbfs.ebikes import ebikes
from mlops_bikeshare.sources.gbfs.values import Floats, Times

if TYPE_CHECKING:
    import pandas as pd

Mask = NDArray[np.bool_]
# Version 3 names what versions 1 and 2 called otherwise.
_ALSO = {
    "num_bikes_available": "num_vehicles_available",
    "num_bikes_disabled": "num_vehicles_disabled",
}
_COUNTS = (
    "num_bikes_available",
    "num_bikes_disabled",
    "num_docks_available",
    "num_docks_disabled",
)
_FLAGS = ("is_installed", "is_renting", "is_returning")
# Clocks of stations and of the operator may run a little ahead of ours.
SKEW = timedelta(minutes=5)
_ROW_CHARACTERS, _SHOWN = 2000, 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What a list of stations came to."""

    good: "pd.DataFrame"
    refused: "pd.DataFrame | None"
    repeated: int


@dataclass(frozen=True, slots=True)
class _Fault:
    """The rows (by place among the objects) that break one rule, and what the rule wants."""

    broken: Mask
    column: str
    expected: str


def status_rows(
    stations: Sequence[Any],
    *,
    fetched_at: datetime,
    observed_at: datetime | None,
    electric: Collection[str] | None = None,
) -> Rows:
    """Rows of station_status; `electric` holds the vehicle types that are electric, if known."""
    objects, places, others = _objects(stations)
    told = _columns(objects, ("station_id", *_COUNTS, *_ALSO.values(), *_FLAGS, "last_reported"))
    ids = values.ids(told["station_id"])
    faults = [_unnamed(ids)]
    counts = {name: values.counts(_given(told, name)) for name in _COUNTS}
    flags = {name: values.flags(told[name]) for name in _FLAGS}
    for name, column in counts.items():
        faults.append(_out_of_bounds(_column(STATION_STATUS_RAW, name), column))
    for name, flag in flags.items():
        faults.append(_Fault(flag == values.WRONG, name, "true or false"))
    good = ~np.logical_or.reduce([fault.broken for fault in faults])
    reported = _trusted(values.times(told["last_reported"]), fetched_at)
    kept, repeated = _newest(ids, reported, good)
    counts["num_ebikes_available"] = ebikes(objects, electric)
    observed_at = observed_at or _newest_report(reported, kept, fetched_at)
    at = {"observed_at": _stamp(observed_at), "fetched_at": _stamp(fetched_at)}
    frame = _status_frame(ids, counts, flags, reported, kept, at)
    refused = _refused("station_status", objects, places, faults, others, fetched_at)
    return Rows(good=frame, refused=refused, repeated=repeated)


def information_rows(
    stations: Sequence[Any], *, fetched_at: datetime, language: str | None = None
) -> Rows:
    """Rows of station_information; a place at 0, 0 is a place not given."""
    import pandas as pd

    objects, places, others = _objects(stations)
    told = _columns(objects, ("station_id", "name", "lat", "lon", "capacity", "region_id"))
    ids = values.ids(told["station_id"])
    lat, lon = (values.degrees(told[name]) for name in ("lat", "lon"))
    nowhere = (lat == 0) & (lon == 0)
    lat, lon = (np.where(nowhere, np.nan, part) for part in (lat, lon))
    numbers = {"lat": lat, "lon": lon, "capacity": values.counts(told["capacity"])}
    faults = [_unnamed(ids)]
    for name, column in numbers.items():
        faults.append(_out_of_bounds(_column(STATION_INFORMATION_RAW, name), column))
    good = ~np.logical_or.reduce([fault.broken for fault in faults])
    kept, repeated = _newest(ids, np.full(len(ids), values.UNKNOWN_TIME), good)
    named = values.names(told["name"], language=language)
    regions = values.ids(told["region_id"])  # what is no id is a region not given
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
    refused = _refused("station_information", objects, places, faults, others, fetched_at)
    return Rows(good=frame[STATION_INFORMATION_RAW.names], refused=refused, repeated=repeated)


def _objects(stations: Sequence[Any]) -> tuple[list[Any], list[int], list[tuple[int, Any]]]:
    """The stations that are objects with their places, and the entries that are none."""
    if set(map(type, stations)) <= {dict}:
        return list(stations), list(range(len(stations))), []
    pairs = list(enumerate(stations))
    kept = [(place, station) for place, station in pairs if isinstance(station, dict)]
    others = [(place, station) for place, station in pairs if not isinstance(station, dict)]
    return [station for _, station in kept], [place for place, _ in kept], others


def _columns(objects: Sequence[Any], names: Sequence[str]) -> dict[str, list[Any]]:
    """The value of each name in each station, None where it is not given."""
    given = [name for name in names if objects and name in objects[0]]
    found: dict[str, list[Any]] = {}
    if len(given) > 1:
        try:  # stations that all say what the first one says, as they mostly do
            columns = zip(*map(itemgetter(*given), objects), strict=True)
            found = {name: list(column) for name, column in zip(given, columns, strict=True)}
        except KeyError:
            pass
    missing = [name for name in names if name not in found]
    said = set().union(*objects) if missing else set()
    silent: list[Any] = [None] * len(objects)
    return found | {
        name: [station.get(name) for station in objects] if name in said else silent
        for name in missing
    }


def _given(told: dict[str, list[Any]], name: str) -> list[Any]:
    """A column, with what version 3 calls otherwise in the gaps."""
    column, also = told[name], _ALSO.get(name)
    if also is None or None not in column:
        return column
    return [a if v is None else v for v, a in zip(column, told[also], strict=True)]


def _column(table: Table, name: str) -> Column:
    return next(column for column in table.columns if column.name == name)


def _unnamed(ids: Sequence[str | None]) -> _Fault:
    broken = np.array([name is None for name in ids], dtype=bool)
    return _Fault(broken, "station_id", "an id of 1 to 255 characters")


def _out_of_bounds(column: Column, numbers: Floats) -> _Fault:
    missing = np.isnan(numbers)
    inside = values.bounded(column, numbers)
    broken = ~inside & ~missing if column.nullable else ~inside
    kind = "a whole number" if column.kind == "int16" else "a number"
    return _Fault(broken, column.name, f"{kind} from {column.low:g} to {column.high:g}")


def _trusted(reported: Times, fetched_at: datetime) -> Times:
    """A report from the future is a wrong clock: when it was made is not known."""
    latest = np.datetime64((fetched_at + SKEW).replace(tzinfo=None), "ms")
    return np.where(reported > latest, values.UNKNOWN_TIME, reported)


def _newest(
    ids: Sequence[str | None], reported: Times, good: Mask
) -> tuple[NDArray[np.int64], int]:
    """Places of the good rows, one per station: the newest report, of equal ones the last."""
    places = np.flatnonzero(good)
    if len(places) == len(ids) == len(set(ids)):
        return places, 0
    newest: dict[str | None, int] = {}
    stamps = reported.astype(np.int64)  # NaT is the smallest
    for place in places.tolist():
        seen = newest.get(ids[place])
        if seen is None or stamps[place] >= stamps[seen]:
            newest[ids[place]] = place
    kept = np.array(sorted(newest.values()), dtype=np.int64)
    return kept, len(places) - len(kept)


def _newest_report(reported: Times, kept: NDArray[np.int64], fetched_at: datetime) -> datetime:
    """What a document without a time of its own cannot be older than."""
    known = reported[kept][~np.isnat(reported[kept])]
    if not len(known):
        return fetched_at
    return min(from_seconds(int(known.max().astype("M8[s]").astype(np.int64))), fetched_at)


def _status_frame(
    ids: Sequence[str | None],
    counts: dict[str, Floats],
    flags: dict[str, NDArray[np.int8]],
    reported: Times,
    kept: NDArray[np.int64],
    at: dict[str, Any],
) -> "pd.DataFrame":
    import pandas as pd

    columns: dict[str, Any] = {"station_id": _ids(ids, kept)}
    columns |= {name: _integers(column[kept]) for name, column in counts.items()}
    columns |= {name: _booleans(flag[kept]) for name, flag in flags.items()}
    stamps = pd.Series(reported[kept].astype("M8[ms]")).dt.tz_localize("UTC")
    columns |= {"last_reported": stamps, **at}
    return pd.DataFrame({name: columns[name] for name in STATION_STATUS_RAW.names})


def _ids(ids: Sequence[str | None], kept: NDArray[np.int64]) -> Any:
    import pandas as pd

    chosen = ids if len(kept) == len(ids) else [ids[i] for i in kept]
    return pd.array(np.array(chosen, dtype=object), dtype="str")


def _integers(numbers: Floats) -> "pd.arrays.IntegerArray":
    import pandas as pd

    missing = np.isnan(numbers)
    return pd.arrays.IntegerArray(np.where(missing, 0, numbers).astype(np.int16), missing)


def _booleans(flag: NDArray[np.int8]) -> "pd.arrays.BooleanArray":
    import pandas as pd

    return pd.arrays.BooleanArray(flag == 1, flag == values.GIVEN_NOT)


def _stamp(at: datetime) -> "pd.Timestamp":
    import pandas as pd

    return pd.Timestamp(at).as_unit("ms")


def _refused(
    feed: str,
    objects: Sequence[Any],
    places: Sequence[int],
    faults: Sequence[_Fault],
    others: Sequence[tuple[int, Any]],
    fetched_at: datetime,
) -> "pd.DataFrame | None":
    import pandas as pd

    broken = np.logical_or.reduce([fault.broken for fault in faults])
    found: list[tuple[int, str | None, str, str]] = [
        (place, None, "a station is an object", _written(other)) for place, other in others
    ]
    for i in np.flatnonzero(broken).tolist():
        why = "; ".join(_reason(fault, objects[i]) for fault in faults if fault.broken[i])
        name = values.ids([objects[i].get("station_id")])[0]
        found.append((places[i], name, why, _written(objects[i])))
    if not found:
        return None
    found.sort(key=itemgetter(0))
    frame = pd.DataFrame(found, columns=["position", "station_id", "reason", "row"])
    frame = frame.assign(feed=feed, fetched_at=_stamp(fetched_at))
    kinds: dict[str, Any] = {"position": "int32", "station_id": "str", "reason": "str"}
    return frame.astype(kinds)[QUARANTINED_ROWS.names]


def _reason(fault: _Fault, station: dict[str, Any]) -> str:
    got = station.get(fault.column, station.get(_ALSO.get(fault.column, "")))
    written = "nothing" if got is None else _written(got)
    return f"{fault.column}: expected {fault.expected}, got {written[:_SHOWN]}"


def _written(value: object) -> str:
    """JSON in plain ASCII, so that whatever came can be stored."""
    return json.dumps(value)[:_ROW_CHARACTERS]
