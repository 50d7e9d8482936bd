"""Feed drift: stations that appear, vanish or move, against those a version was trained on.

Input    then: station_id -> [lat, lon] in degrees, or null where the feed gave no place; now: a
         frame with station_id, lat, lon of the stations that were seen in the window.
Output   FeedDrift.
Source   distance: haversine on a sphere of 6,371 km.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mlops_bikeshare.domain.reports import FeedDrift

if TYPE_CHECKING:
    import pandas as pd

Place = Sequence[float] | None
_EARTH_M = 6_371_000.0


def compare(then: Mapping[str, Place], now: "pd.DataFrame", *, moved_m: float) -> FeedDrift:
    """Which stations are new, gone, or at least `moved_m` away from where they stood."""
    lats, lons = now["lat"].tolist(), now["lon"].tolist()
    places = dict(zip(now["station_id"].tolist(), zip(lats, lons, strict=True), strict=True))
    away = {
        station: _metres(before, places[station])
        for station, before in sorted(then.items())
        if before is not None and station in places
    }
    return FeedDrift(
        known=len(then),
        appeared=tuple(sorted(places.keys() - then.keys())),
        vanished=tuple(sorted(then.keys() - places.keys())),
        moved=tuple((s, round(metres, 1)) for s, metres in away.items() if metres >= moved_m),
    )


def _metres(before: Sequence[float], after: Sequence[float]) -> float:
    """NaN, which is never far enough, where a place is not known."""
    lat_1, lon_1, lat_2, lon_2 = map(math.radians, (*before, *after))
    up, across = math.sin((lat_2 - lat_1) / 2), math.sin((lon_2 - lon_1) / 2)
    chord = up**2 + math.cos(lat_1) * math.cos(lat_2) * across**2
    return 2 * _EARTH_M * math.asin(min(1.0, math.sqrt(chord)))
