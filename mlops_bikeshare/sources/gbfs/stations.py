"""The entries of a list of stations: which are objects, what each says, which one speaks.

Input    the list `data.stations` of a document, any version.
Output   `objects_of`: the entries that are objects. `told`: a list with each one's value, None
         where it is not given; `told_each`: one for each name. `newest`: one place per station id.
Source   GBFS v1.0 to v3.1-RC3. Version 3 says vehicles where 1 and 2 say bikes; where a feed gives
         both, bikes count.
"""

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.sources.gbfs.values import Times

# Version 3 names what versions 1 and 2 called otherwise.
ALSO = {
    "num_bikes_available": "num_vehicles_available",
    "num_bikes_disabled": "num_vehicles_disabled",
}


def objects_of(stations: Sequence[Any]) -> tuple[list[Any], list[int], list[tuple[int, Any]]]:
    """The stations that are objects with their places, and the entries that are none."""
    if set(map(type, stations)) <= {dict}:
        return list(stations), list(range(len(stations))), []
    pairs = list(enumerate(stations))
    kept = [(place, station) for place, station in pairs if isinstance(station, dict)]
    others = [(place, station) for place, station in pairs if not isinstance(station, dict)]
    return [station for _, station in kept], [place for place, _ in kept], others


def told(objects: Sequence[Any], name: str) -> list[Any]:
    """What each station says, with what version 3 calls otherwise in the gaps."""
    try:  # mostly all say it, and a list of what is there takes half the time
        column = [station[name] for station in objects]
    except KeyError:
        column = [station.get(name) for station in objects]
    return _filled(objects, name, column)


def told_each(objects: Sequence[Any], names: Sequence[str]) -> dict[str, list[Any]]:
    """The same for several names; one look at each station where all say what the first says."""
    there = [name for name in names if name in objects[0]] if objects else []
    try:
        rows = map(itemgetter(*there), objects) if len(there) > 1 else ()
        seen = dict(zip(there, map(list, zip(*rows, strict=True)), strict=False))
    except KeyError:
        seen = {}
    return {n: _filled(objects, n, seen[n]) if n in seen else told(objects, n) for n in names}


def _filled(objects: Sequence[Any], name: str, column: list[Any]) -> list[Any]:
    also = ALSO.get(name)
    if also is None or None not in column:
        return column
    return [
        station.get(also) if value is None else value
        for value, station in zip(column, objects, strict=True)
    ]


def newest(
    ids: Sequence[str | None], reported: Times, good: NDArray[np.bool_]
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
