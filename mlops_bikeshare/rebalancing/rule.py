"""Highest risk first: what a dispatcher with a list of risks does, to hold a plan against.

Input    `Stations` and a `Fleet`, as for `flow.plan`.
Output   a `Plan` under the same limits (bikes, moves a van, what stations have and hold).
Method   the stations by their risk at the promised horizon. One that will run out of bikes is
         filled to half from the nearest station above half; one that will run out of docks is
         emptied to half into the nearest station below half. No station does both.
"""

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.targets import PROMISE_MIN
from mlops_bikeshare.rebalancing import curve, flow
from mlops_bikeshare.rebalancing.curve import Stations
from mlops_bikeshare.rebalancing.fleet import MOVES_PER_VAN, Fleet, Pair, Plan, distance_km

# Below it a dispatcher sends nobody.
LEAST_RISK = 0.5


def highest_risk_first(
    stations: Stations, fleet: Fleet, *, arrive_min: int = curve.ARRIVE_MIN
) -> Plan:
    """The moves for the stations at most risk, until the vans are full."""
    # Several vans may serve one station.
    most = int(min(fleet.bikes, (stations.bikes + stations.docks).max(initial=1)))
    worth = flow.Worth.of(stations, most=max(most, 1), arrive_min=arrive_min)
    return flow.told(stations, worth, _given(stations, fleet))


def _given(stations: Stations, fleet: Fleet) -> list[tuple[int, Pair]]:
    horizon = list(stations.horizons_min).index(PROMISE_MIN)
    bikeout, dockout = stations.p_bikeout[:, horizon], stations.p_dockout[:, horizon]
    risk = np.nan_to_num(np.fmax(bikeout, dockout), nan=0.0)
    risk[np.isnan(stations.lat + stations.lon)] = 0
    # Bikes above half of what the station holds, < 0 below.
    spare = stations.bikes - (stations.bikes + stations.docks) // 2
    sign = np.zeros(len(stations), dtype=np.int64)
    van, room, left, given = 1, fleet.capacity, MOVES_PER_VAN, []
    for place in np.argsort(-risk, kind="stable"):
        if risk[place] < LEAST_RISK or van > fleet.vans:
            break
        wants = -1 if bikeout[place] >= dockout[place] else 1
        if spare[place] * wants <= 0 or sign[place] == -wants:
            continue
        other = _nearest(stations, place, spare * -wants > 0, sign * wants <= 0)
        if other is None:
            continue
        bikes = int(min(abs(spare[place]), abs(spare[other]), room))
        giver, taker = (other, int(place)) if wants < 0 else (int(place), other)
        km = distance_km(stations.lat, stations.lon, np.array([giver]), np.array([taker]))
        given.append((van, Pair(giver=giver, taker=taker, bikes=bikes, km=float(km[0]))))
        spare[giver] -= bikes
        spare[taker] += bikes
        sign[giver], sign[taker] = 1, -1
        room, left = room - bikes, left - 1
        if not (room and left):
            van, room, left = van + 1, fleet.capacity, MOVES_PER_VAN
    return given


def _nearest(
    stations: Stations, place: int, able: NDArray[np.bool_], free: NDArray[np.bool_]
) -> int | None:
    """The nearest station that is able to help and does not do the opposite already."""
    able = able & free & ~np.isnan(stations.lat + stations.lon)
    able[place] = False
    others = np.flatnonzero(able)
    if not len(others):
        return None
    km = distance_km(stations.lat, stations.lon, np.full(len(others), place), others)
    return int(others[np.argmin(km)])
