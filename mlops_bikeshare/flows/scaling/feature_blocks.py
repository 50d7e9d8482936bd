"""Features by blocks of days on a cluster, bit for bit what one process makes.

Input    days in order, in blocks; a client of Dask whose workers see the same lake: on S3, or on a
         file system that all of them mount at one path.
Output   rows of `features_offline` and profiles of each day in the lake; rows written, per block.
Method   what a day may know of earlier ones are integer sums, so the part of each day is learned
         without its predecessors and added up (exactly) afterwards; then its rows are built from
         what was read, which stays on the worker, by the kernel that one process uses. Profiles,
         which say that a day is complete, are written in the order of the days: what is
         interrupted is continued by either engine.

Every task reads the lake and creates objects that are created once, so one whose worker died is run
again elsewhere, and writes nothing twice.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial, reduce
from itertools import cycle, pairwise
from typing import Any

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.clock import Clock
from mlops_bikeshare.features.profiles import ProfileState
from mlops_bikeshare.flows import features
from mlops_bikeshare.flows.scaling import cluster
from mlops_bikeshare.settings import Settings

Days = tuple[date, ...]
# Enough blocks to share out evenly, few enough that little is read twice.
_ROUNDS, _MOST_DAYS = 4, 7
# Priority of what takes little time and others wait for.
_FIRST = 1_000_000


@dataclass(frozen=True, slots=True)
class Where:
    """What a worker opens the workspace with."""

    settings: Settings
    clock: Clock
    city: City

    def opened(self) -> Workspace:
        """The workspace, as this worker's own."""
        return Workspace(self.settings, self.clock)


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """What was seen on the days of a block, and what each and all add to what later ones know."""

    days: tuple[tuple[features.Seen, ProfileState], ...]
    added: ProfileState


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """A block that is built: its rows lie in the lake, the profiles after each day do not yet."""

    rows: int
    states: tuple[ProfileState, ...]


def blocks_of(days: Sequence[date], *, workers: int) -> list[Days]:
    """Days in order, in blocks of one to seven: as many for each worker, the shorter ones last."""
    rounds = max(_ROUNDS, math.ceil(len(days) / (_MOST_DAYS * workers)))
    count = min(len(days), rounds * workers)
    size, longer = divmod(len(days), count)
    edges = [block * size + min(block, longer) for block in range(count + 1)]
    return [tuple(days[start:end]) for start, end in pairwise(edges)]


def build(client: Any, where: Where, blocks: Sequence[Days]) -> Iterator[int]:
    """Build blocks whose first day is the next one of the lake; the rows of each, in order.

    Blocks are dealt out in turn: left to itself, Dask gave one of two workers five of eight. Where
    a worker is gone, another takes its blocks.
    """
    names = list(client.scheduler_info()["workers"])
    known = client.submit(known_before, where, blocks[0][0], pure=False)
    sealed, done = None, []
    for place, (block, name) in enumerate(zip(blocks, cycle(names), strict=False)):
        # what a block saw is large: all that is done with it is done where it was seen
        submit = partial(client.submit, workers=name, allow_other_workers=True, pure=False)
        # A worker looks a block ahead of the one that it makes, so that none waits for another to
        # have looked. Without priorities, what is submitted at once is done in any order.
        looked = submit(look, where, block, priority=2 * (len(names) - place) + 1)
        made = submit(make, where, looked, known, priority=-2 * place)
        known = submit(learned, known, looked, priority=_FIRST)
        sealed = submit(seal, where, made, sealed, priority=1 - 2 * place)
        done.append(sealed)
    del looked, known, made, sealed  # what nobody asks for any more, the cluster forgets
    yield from cluster.in_order(client, done)


def known_before(where: Where, day: date) -> ProfileState:
    """What the lake's profiles know before the first block."""
    return features.profiles_for(where.opened(), where.city, day)


def look(where: Where, days: Days) -> Looked:
    """Read the days of a block."""
    ws = where.opened()
    lists, nothing = features.station_lists(ws, where.city), ProfileState.empty()
    seen = [features.see(ws, where.city, day, lists) for day in days]
    alone = [features.learn(where.city, one, nothing) for one in seen]
    return Looked(tuple(zip(seen, alone, strict=True)), reduce(ProfileState.plus, alone))


def learned(known: ProfileState, looked: Looked) -> ProfileState:
    """What is known once a block is learned too."""
    return known.plus(looked.added)


def make(where: Where, looked: Looked, state: ProfileState) -> Made:
    """Write the features of a block; the states after each of its days."""
    ws, rows, states = where.opened(), 0, []
    for seen, of_day in looked.days:
        rows += features.write_rows(ws, where.city, seen, state)
        state = state.plus(of_day)
        states.append(state)
    return Made(rows, tuple(states))


def seal(where: Where, made: Made, _before: int | None) -> int:
    """Say that the days of a block are complete, after those of the block before."""
    ws = where.opened()
    for state in made.states:
        features.write_profiles(ws, where.city, state)
    return made.rows
