"""E-bikes of each station, where a feed counts them apart.

Input    stations of a station_status; the ids of the electric vehicle types, None if not known.
Output   float64 (stations,), NaN where the feed does not say or what it says cannot be read: they
         are an extra, for which no row is refused.
Source   GBFS v2.1 and later: vehicle_types_available, with vehicle_types.json for the propulsion.
         Outside of it: num_ebikes_available (Citi Bike, Bluebikes), num_bikes_available_types
         (Vélib').
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from mlops_bikeshare.domain.tables import STATION_STATUS_RAW
from mlops_bikeshare.sources.gbfs.values import Floats, bounded, counts

_ELECTRIC = ("electric", "electric_assist")
_WHEELS = ("bicycle", "cargo_bicycle")
_APART = ("num_ebikes_available", "num_bikes_available_types", "vehicle_types_available")
_BIKES = next(c for c in STATION_STATUS_RAW.columns if c.name == "num_ebikes_available")


def electric_types(data: Mapping[str, Any]) -> frozenset[str]:
    """The ids of electric bikes in the data of a vehicle_types document."""
    listed = data.get("vehicle_types")
    return frozenset(
        str(kind.get("vehicle_type_id"))
        for kind in (listed if isinstance(listed, list) else [])
        if isinstance(kind, dict)
        and kind.get("form_factor") in _WHEELS
        and kind.get("propulsion_type") in _ELECTRIC
    )


def ebikes(stations: Sequence[Mapping[str, Any]], electric: Collection[str] | None) -> Floats:
    """How many of the bikes at each station are electric."""
    if not any(name in station for name in _APART for station in stations[:50]):
        return np.full(len(stations), np.nan)
    found = counts([_of(station, electric) for station in stations])
    return np.where(bounded(_BIKES, found), found, np.nan)


def _of(station: Mapping[str, Any], electric: Collection[str] | None) -> Any:
    apart, kinds, types = (station.get(name) for name in _APART)
    if apart is not None:
        return apart
    if isinstance(kinds, list):
        return next((k.get("ebike") for k in kinds if isinstance(k, dict) and "ebike" in k), None)
    if electric is None or not isinstance(types, list):
        return None
    return _summed([t for t in types if isinstance(t, dict)], electric)


def _summed(types: Sequence[Mapping[str, Any]], electric: Collection[str]) -> int | None:
    said = [t.get("count") for t in types if str(t.get("vehicle_type_id")) in electric]
    known = [count for count in said if type(count) is int]
    return sum(known) if len(known) == len(said) else None
