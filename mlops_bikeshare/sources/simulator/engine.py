"""The city in motion: trips, vans and faults, event by event, in order of time.

Input    a City and the Trips of one UTC day after the other.
Output   a ledger (ledger.py) of every change at a station. Times are seconds since 1970. Bikes
         are never made or lost: docked + disabled + riding + in vans + in the depot is constant.
Method   discrete events. What riders want is drawn beforehand in NumPy (demand.py); what they get
         depends on every trip before, so that part is a plain loop over a heap, about 3 µs an
         event. Who finds no bike walks to a neighbour or leaves; who finds no dock rides on.
"""

import heapq
from array import array
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.windows import DAY_S, SLOT_S
from mlops_bikeshare.sources.simulator import operations
from mlops_bikeshare.sources.simulator.city import City
from mlops_bikeshare.sources.simulator.demand import Trips
from mlops_bikeshare.sources.simulator.ledger import Change, pack

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_OPERATIONS_STREAM = 3
_FLEET_SHARE = 0.438  # bikes per dock, disabled ones included
_WALK_TO = 2  # neighbours that a rider without a bike considers
_WALKS = 0.55  # share of riders who do
_RIDE_ON_S = 150
_VAN_WAITS_S = 1800
_DEPOT_LOAD = 10


class _Event(IntEnum):
    ARRIVE, VAN, REPAIR, CLOSE, OPEN, DOCK_BREAKS, DOCK_REPAIRED = range(7)


@dataclass(slots=True)
class Engine:
    """The state of the city now; lists of one entry per station."""

    city: City
    capacity: list[int]
    bikes: list[int]
    disabled: list[int]
    broken_docks: list[int]
    closed: list[int]
    nearest: list[list[int]]
    distance_km: Floats
    reach: Ints
    vans: list[operations.Van]
    ledger: "array[int]" = field(default_factory=lambda: array("q"))
    depot: int = 0
    riding: int = 0
    lost: int = 0
    local_offset_s: int = 0
    _heap: list[tuple[int, int, int, int, float]] = field(default_factory=list)
    _count: int = 0
    _rng: np.random.Generator = field(default_factory=np.random.default_rng)

    @classmethod
    def of(cls, city: City, *, seed: int, start_s: int) -> "Engine":
        """A city before its first trip."""
        rng = np.random.default_rng([seed, _OPERATIONS_STREAM])
        share = rng.beta(2.0, 2.0, size=city.size)
        share *= _FLEET_SHARE * city.capacity.sum() / (share * city.capacity).sum()
        distance_km = city.distances_km()
        engine = cls(
            city=city,
            capacity=city.capacity.tolist(),
            bikes=np.round(np.minimum(share, 1) * city.capacity).astype(int).tolist(),
            disabled=[0] * city.size,
            broken_docks=[0] * city.size,
            closed=[0] * city.size,
            nearest=city.nearest.tolist(),
            distance_km=distance_km,
            reach=np.argsort(distance_km, axis=1, kind="stable")[:, : operations.VAN_REACH],
            vans=operations.vans(city, rng),
        )
        for van in range(len(engine.vans)):
            engine._push(start_s, _Event.VAN, van)
        return engine

    @property
    def fleet(self) -> int:
        """All bikes there are."""
        vans = sum(van.load for van in self.vans)
        return sum(self.bikes) + sum(self.disabled) + self.riding + vans + self.depot

    def free_docks(self, station: int) -> int:
        """Docks that would take a bike if the station is open."""
        used = self.bikes[station] + self.disabled[station] + self.broken_docks[station]
        return self.capacity[station] - used

    def run_day(self, day: int, trips: Trips, *, utc_offset_s: int, seed: int) -> None:
        """Play one UTC day (days since 1970)."""
        self._rng = np.random.default_rng([seed, _OPERATIONS_STREAM, day])
        self.local_offset_s = utc_offset_s
        for fault in operations.draw_faults(self.city, day, self._rng):
            self._schedule(fault)
        columns = (trips.depart_s, trips.origin, trips.destination, trips.ride_s, trips.draw)
        for at, origin, destination, ride, draw in zip(*(c.tolist() for c in columns), strict=True):
            self._advance(at)
            self._depart(at, origin, destination, ride, draw)
        self._advance((day + 1) * DAY_S - 1)

    def _push(self, at: int, event: int, station: int, draw: float = 0.0) -> None:
        self._count += 1
        heapq.heappush(self._heap, (at, self._count, event, station, draw))

    def _note(self, station: int, at: int, change: int) -> None:
        self.ledger.append(pack(station, at, change))

    def _advance(self, until: int) -> None:
        """Let everything scheduled up to `until` happen."""
        heap = self._heap
        while heap and heap[0][0] <= until:
            at, _, event, which, draw = heapq.heappop(heap)
            if event == _Event.ARRIVE:
                self._arrive(at, which, draw)
            else:
                self._operate(at, event, which, draw)

    def _operate(self, at: int, event: int, which: int, draw: float) -> None:
        if event == _Event.VAN:
            self._drive(at, which)
        elif event == _Event.REPAIR:
            self._repair(at, which)
        elif event == _Event.CLOSE:
            self._close(at, which, removed=draw > 0)
        elif event == _Event.OPEN:
            self._open(at, which, removed=draw > 0)
        else:
            self._dock(at, which, breaks=event == _Event.DOCK_BREAKS)

    def _depart(self, at: int, origin: int, destination: int, ride: int, draw: float) -> None:
        """Take a bike here or, for some, at a neighbour."""
        if self.closed[origin] or not self.bikes[origin]:
            walked = self._neighbour_with_bike(origin) if draw < _WALKS else -1
            if walked < 0:
                self.lost += 1
                return
            origin = walked
        self.bikes[origin] -= 1
        self.riding += 1
        self._note(origin, at, Change.TAKE)
        self._push(at + ride, _Event.ARRIVE, destination, draw)

    def _neighbour_with_bike(self, station: int) -> int:
        for other in self.nearest[station][:_WALK_TO]:
            if self.bikes[other] and not self.closed[other]:
                return other
        return -1

    def _arrive(self, at: int, station: int, draw: float) -> None:
        """Return the bike, or ride on to the nearest station that takes it."""
        if self.closed[station] or self.free_docks(station) <= 0:
            self._push(at + _RIDE_ON_S, _Event.ARRIVE, self._with_dock(station), draw)
            return
        self.riding -= 1
        self.bikes[station] += 1
        self._note(station, at, Change.RETURN)
        spare = draw * 1009 % 1.0  # the digits that have decided nothing yet
        if spare < operations.BREAKAGE:
            self.bikes[station] -= 1
            self.disabled[station] += 1
            self._note(station, at, Change.BREAK)
            wait = self._rng.exponential(operations.REPAIR_MEAN_S)
            self._push(at + 600 + int(wait), _Event.REPAIR, station)

    def _with_dock(self, station: int) -> int:
        for other in self.nearest[station]:
            if not self.closed[other] and self.free_docks(other) > 0:
                return other
        for other in np.argsort(self.distance_km[station], kind="stable").tolist():
            if not self.closed[other] and self.free_docks(other) > 0:
                return int(other)
        return station

    def _repair(self, at: int, station: int) -> None:
        """A disabled bike is rentable again; one that was taken to the depot is fixed there."""
        if self.disabled[station] and not self.closed[station]:
            self.disabled[station] -= 1
            self.bikes[station] += 1
            self._note(station, at, Change.REPAIR)
        elif self.disabled[station]:
            self._push(at + SLOT_S * 12, _Event.REPAIR, station)

    def _drive(self, at: int, number: int) -> None:
        """A van arrives, moves bikes and sets off for its next station."""
        van = self.vans[number]
        if not operations.on_shift(at + self.local_offset_s):
            self._push(at + _VAN_WAITS_S, _Event.VAN, number)
            return
        moved = 0 if self.closed[van.station] else self._move_bikes(at, van)
        if van.load < _DEPOT_LOAD and self.depot:
            taken = min(_DEPOT_LOAD, self.depot)
            self.depot, van.load = self.depot - taken, van.load + taken
        left, van.station = van.station, self._next_station(van)
        away = float(self.distance_km[left, van.station])
        self._push(at + operations.drive_s(away, moved=moved), _Event.VAN, number)

    def _next_station(self, van: operations.Van) -> int:
        reach = self.reach[van.station]
        stations = reach.tolist()
        chosen = operations.next_stop(
            van,
            self.distance_km[van.station, reach],
            bikes=[self.bikes[s] for s in stations],
            free_docks=[self.free_docks(s) for s in stations],
            closed=[self.closed[s] for s in stations],
            rng=self._rng,
        )
        return van.station if chosen is None else int(reach[chosen])

    def _move_bikes(self, at: int, van: operations.Van) -> int:
        station = van.station
        moved = operations.bikes_to_move(
            van, bikes=self.bikes[station], free_docks=self.free_docks(station)
        )
        self.bikes[station] += moved
        van.load -= moved
        for _ in range(abs(moved)):
            self._note(station, at, Change.RETURN if moved > 0 else Change.TAKE)
        return moved

    def _schedule(self, fault: operations.Fault) -> None:
        start, end = (
            (_Event.CLOSE, _Event.OPEN)
            if fault.closes
            else (_Event.DOCK_BREAKS, _Event.DOCK_REPAIRED)
        )
        removed = float(fault.leaves_the_street)
        self._push(fault.start_s, start, fault.station, removed)
        self._push(fault.end_s, end, fault.station, removed)

    def _close(self, at: int, station: int, *, removed: bool) -> None:
        self.closed[station] += 1
        self._note(station, at, Change.CLOSE)
        if removed:
            self._collect(at, station)
            self._note(station, at, Change.REMOVE)

    def _collect(self, at: int, station: int) -> None:
        """Everything at a station that leaves the street goes to the depot."""
        self.depot += self.bikes[station] + self.disabled[station]
        for _ in range(self.bikes[station]):
            self._note(station, at, Change.TAKE)
        for _ in range(self.disabled[station]):
            self._note(station, at, Change.COLLECT)
        self.bikes[station] = self.disabled[station] = 0

    def _open(self, at: int, station: int, *, removed: bool) -> None:
        self.closed[station] -= 1
        self._note(station, at, Change.OPEN)
        if removed:
            self._note(station, at, Change.INSTALL)

    def _dock(self, at: int, station: int, *, breaks: bool) -> None:
        """A dock breaks, if an empty one is left to break, or is repaired."""
        if breaks and self.free_docks(station) > 0:
            self.broken_docks[station] += 1
            self._note(station, at, Change.DOCK_BREAKS)
        elif not breaks and self.broken_docks[station]:
            self.broken_docks[station] -= 1
            self._note(station, at, Change.DOCK_REPAIRED)
