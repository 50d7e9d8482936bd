"""Features by blocks of days on a cluster, bit for bit what one process makes.

Input    days in order, in blocks; a client of Dask whose workers see the same lake: on S3, or on a
         file system that all of them mount at one path.
Output   rows of `features_offline` and profiles of each day in the lake; rows written, per block.
Method   what a day may know of earlier ones are integer sums, so a block's part of them is learned
         without its predecessors and added up (exactly) afterwards; then every block is built by
         the kernel that one process uses. Profiles, which say that a day is complete, are
         written in the order of the days: what is interrupted is continued by either engine.

Every task reads the lake and creates objects that are created once, so one whose worker died is run
again elsewhere, and writes nothing twice.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.clock import Clock
from mlops_bikeshare.features.profiles import ProfileState
from mlops_bikeshare.flows import features
from mlops_bikeshare.settings import Settings

Days = tuple[date, ...]
# Enough blocks to share out evenly, few enough that learning a block alone costs little.
_ROUNDS, _MOST_DAYS = 4, 7


@dataclass(frozen=True, slots=True)
class Where:
    """What a worker opens the workspace with."""

    settings: Settings
    clock: Clock
    city: City

    def opened(self) -> Workspace:
        """The workspace, as this worker's own."""
        return Workspace(self.settings, self.clock)


@dataclass(frozen=True, slots=True)
class Made:
    """A block that is built: its rows lie in the lake, the profiles after each day do not yet."""

    rows: int
    states: tuple[ProfileState, ...]


def blocks_of(days: Sequence[date], *, workers: int) -> list[Days]:
    """Days in order, in blocks of one to seven."""
    size = min(_MOST_DAYS, max(1, math.ceil(len(days) / (_ROUNDS * workers))))
    return [tuple(days[start : start + size]) for start in range(0, len(days), size)]


def build(client: Any, where: Where, blocks: Sequence[Days]) -> Iterator[int]:
    """Build blocks whose first day is the next one of the lake; the rows of each, in order."""
    start = client.submit(known_before, where, blocks[0][0], pure=False)
    sealed, done = None, []
    for block in blocks:
        made = client.submit(make, where, block, start, pure=False)
        sealed = client.submit(seal, where, made, sealed, pure=False)
        done.append(sealed)
        if block is not blocks[-1]:
            learned = client.submit(learn, where, block, pure=False, priority=1)
            start = client.submit(ProfileState.plus, start, learned, pure=False, priority=1)
    del start, made, sealed
    for future in done:
        yield int(future.result())


def known_before(where: Where, day: date) -> ProfileState:
    """What the lake's profiles know before the first block."""
    return features.profiles_for(where.opened(), where.city, day)


def learn(where: Where, days: Days) -> ProfileState:
    """What the days of a block add to what later ones may know."""
    ws, state = where.opened(), ProfileState.empty()
    lists = features.station_lists(ws, where.city)
    for day in days:
        grid, _ = features.grid_of(ws, where.city, day, lists)
        state = state.update(grid, day=day, zone=where.city.zone, label=where.city.label)
    return state


def make(where: Where, days: Days, state: ProfileState) -> Made:
    """Write the features of a block; the states after each of its days."""
    ws, rows, states = where.opened(), 0, []
    lists = features.station_lists(ws, where.city)
    for day in days:
        state, added = features.write_day(ws, where.city, day, lists=lists, state=state)
        rows += added
        states.append(state)
    return Made(rows, tuple(states))


def seal(where: Where, made: Made, _before: int | None) -> int:
    """Say that the days of a block are complete, after those of the block before."""
    ws = where.opened()
    for state in made.states:
        features.write_profiles(ws, where.city, state)
    return made.rows
