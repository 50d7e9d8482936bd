"""The rules that a station must keep, and the rows of those that do not.

Input    ids and numbers of all stations (places among the objects), the stations as they came.
Output   `Fault`s, one per rule; a frame of QUARANTINED_ROWS with the reason of each refused row.
Source   the bounds of the tables' contract.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.tables import QUARANTINED_ROWS, Column, Table
from mlops_bikeshare.sources.gbfs import values
from mlops_bikeshare.sources.gbfs.stations import ALSO
from mlops_bikeshare.sources.gbfs.values import Floats

if TYPE_CHECKING:
    import pandas as pd

_ROW_CHARACTERS, _SHOWN = 2000, 40


@dataclass(frozen=True, slots=True)
class Fault:
    """The rows (by place among the objects) that break one rule, and what the rule wants."""

    broken: NDArray[np.bool_]
    column: str
    expected: str


def column_of(table: Table, name: str) -> Column:
    """The column of a table that is called so."""
    return next(column for column in table.columns if column.name == name)


def unnamed(ids: Sequence[str | None]) -> Fault:
    """Stations without an id that can be stored."""
    broken = np.zeros(len(ids), dtype=bool)
    if None in ids:
        broken = np.array([name is None for name in ids], dtype=bool)
    return Fault(broken, "station_id", "an id of 1 to 255 characters")


def out_of_bounds(column: Column, numbers: Floats) -> Fault:
    """Numbers that are none, or outside the bounds of the column."""
    missing = np.isnan(numbers)
    inside = values.bounded(column, numbers)
    broken = ~inside & ~missing if column.nullable else ~inside
    kind = "a whole number" if column.kind == "int16" else "a number"
    return Fault(broken, column.name, f"{kind} from {column.low:g} to {column.high:g}")


def refused_rows(
    feed: str,
    objects: Sequence[Any],
    places: Sequence[int],
    faults: Sequence[Fault],
    others: Sequence[tuple[int, Any]],
    fetched_at: datetime,
) -> "pd.DataFrame | None":
    """A frame of QUARANTINED_ROWS, in the order of the list; None if nothing is refused."""
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
    frame = frame.assign(feed=feed, fetched_at=pd.Timestamp(fetched_at).as_unit("ms"))
    kinds: dict[str, Any] = {"position": "int32", "station_id": "str", "reason": "str"}
    return frame.astype(kinds)[QUARANTINED_ROWS.names]


def _reason(fault: Fault, station: dict[str, Any]) -> str:
    got = station.get(fault.column, station.get(ALSO.get(fault.column, "")))
    written = "nothing" if got is None else _written(got)
    return f"{fault.column}: expected {fault.expected}, got {written[:_SHOWN]}"


def _written(value: object) -> str:
    """JSON in plain ASCII, so that whatever came can be stored."""
    return json.dumps(value)[:_ROW_CHARACTERS]
