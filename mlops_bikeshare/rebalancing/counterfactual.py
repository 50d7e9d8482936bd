"""What a plan would have done to the recorded counts of the two hours after dt.

Input    `Recorded`: int16 counts (slots, stations) from the slot of dt on, -1 where not observed;
         usual flows in bikes per hour; pairs (places and bikes).
Output   `Judged`: minutes out of bikes or of docks of the stations that were touched, as recorded
         and with the moves, over the same observed slots; the bikes that could be moved.
Raises   GridError for arrays of different shapes.
Method   in the slot in which the van arrives it takes what of its load is there and brings what
         there is room for. From then on a station's count is what it was, moved by that many bikes,
         and kept between 0 and its capacity: a rider who finds nothing goes elsewhere. What no
         record holds is the riders that came while it showed none: while the recorded station has
         no bike, riders are let take the added ones at the usual pace; while it has no dock,
         riders are let bring bikes at the usual pace into the freed ones.

What it cannot know: riders who go to a neighbour instead; who would have come had there been bikes
on the map; how an operator's own vans, whose moves are in the record, would have acted upon ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import GridError
from mlops_bikeshare.domain.windows import SLOT_S
from mlops_bikeshare.rebalancing.fleet import Pair

Counts = NDArray[np.int16]
Floats = NDArray[np.float64]
_SLOT_MIN = SLOT_S / 60
_SLOTS_PER_H = 3600 / SLOT_S


@dataclass(frozen=True, eq=False, kw_only=True)
class Recorded:
    """The slots from dt (row 0) to the end of what is judged."""

    bikes: Counts
    docks: Counts
    usual_in: Floats
    usual_out: Floats
    out_at_or_below: int

    def __post_init__(self) -> None:
        """Refuse shapes that do not fit."""
        n = self.bikes.shape[1]
        if (
            self.docks.shape != self.bikes.shape
            or not len(self.usual_in) == len(self.usual_out) == n
        ):
            raise GridError(f"counts {self.bikes.shape}, {self.docks.shape} and flows must fit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One plan against doing nothing; `bikes` of `planned` were there and had room."""

    planned: int
    bikes: int
    recorded_min: float
    moved_min: float

    @property
    def saved_min(self) -> float:
        """Stockout minutes saved."""
        return self.recorded_min - self.moved_min


def judge(recorded: Recorded, pairs: Sequence[Pair], *, arrive_slot: int) -> Judged:
    """The plan's pairs applied `arrive_slot` slots after dt."""
    net = np.zeros(recorded.bikes.shape[1])
    for pair in pairs:
        bikes = _possible(recorded, pair, net, arrive_slot)
        net[pair.giver] -= bikes
        net[pair.taker] += bikes
    touched = np.flatnonzero(net)
    before, after = (
        sum(_minutes_out(recorded, int(place), moved, arrive_slot) for place, moved in of)
        for of in (((p, 0.0) for p in touched), ((p, float(net[p])) for p in touched))
    )
    return Judged(
        planned=sum(pair.bikes for pair in pairs),
        bikes=int(np.maximum(net, 0).sum()),
        recorded_min=before,
        moved_min=after,
    )


def _possible(recorded: Recorded, pair: Pair, net: Floats, at: int) -> int:
    """Bikes of a pair that are there and have room when the van comes; 0 where nothing is known."""
    there, room = recorded.bikes[at, pair.giver], recorded.docks[at, pair.taker]
    if there < 0 or room < 0 or recorded.docks[at, pair.giver] < 0:
        return 0
    if recorded.bikes[at, pair.taker] < 0:
        return 0
    possible = min(pair.bikes, there + net[pair.giver], room - net[pair.taker])
    return max(int(possible), 0)


def _minutes_out(recorded: Recorded, place: int, moved: float, at: int) -> float:
    """Minutes out over the observed slots after dt, with `moved` bikes from slot `at` on."""
    bikes, docks = recorded.bikes[:, place].astype(float), recorded.docks[:, place].astype(float)
    seen = (bikes >= 0) & (docks >= 0)
    count, last, out = np.nan, -1, 0
    for slot in range(len(bikes)):
        if not seen[slot]:
            continue
        capacity = bikes[slot] + docks[slot]
        if slot < at or last < 0:
            count = bikes[slot]
        elif last < at <= slot:
            count = bikes[slot] + moved
        else:
            change = bikes[slot] - bikes[last]
            count += change + _hidden(recorded, place, last, moved) * (slot - last)
        count = min(max(count, 0.0), capacity)
        last = slot
        low = min(np.rint(count), capacity - np.rint(count))
        out += slot > 0 and low <= recorded.out_at_or_below
    return _SLOT_MIN * out


def _hidden(recorded: Recorded, place: int, slot: int, moved: float) -> float:
    """Bikes a slot that riders no record shows would have taken (< 0) or brought."""
    if moved > 0 and recorded.bikes[slot, place] == 0:
        return -float(recorded.usual_out[place]) / _SLOTS_PER_H
    if moved < 0 and recorded.docks[slot, place] == 0:
        return float(recorded.usual_in[place]) / _SLOTS_PER_H
    return 0.0
