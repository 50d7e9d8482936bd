"""How long a count will last: at the pace of the last hour, and by what is usual now.

Input    a `Block` and a side: bikes, which usual change adds to, or docks, which it takes from.
Output   float (dts, stations), NaN where unknown.
Method   margin: the expected count above the threshold over its spread, if riders come and go at
         random (the variance of a difference of Poisson counts is the sum of their means).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mlops_bikeshare.domain.windows import SLOT_S
from mlops_bikeshare.features import network
from mlops_bikeshare.features.block import Block
from mlops_bikeshare.features.track import Track, Values, share

Flow = npt.NDArray[np.floating[Any]]

DAY_MIN = 1440
# Of a station that nobody uses some spread is left, or its margin would be endless.
LEAST_VARIANCE = 0.05
_HOUR_SLOTS = 3600 // SLOT_S


@dataclass(frozen=True, slots=True)
class Side:
    """A count of a station; `out`: being without; `sign`: what a bike that comes in does to it."""

    name: str
    out: str
    track: Callable[[Block], Track]
    sign: int


BIKES = Side("bikes", "bikeout", lambda block: block.bikes, 1)
DOCKS = Side("docks", "dockout", lambda block: block.docks, -1)
SIDES = (BIKES, DOCKS)


def utilisation(block: Block) -> Values:
    """Bikes over bikes and docks."""
    return share(block.bikes.now, block.bikes.now + block.docks.now)


def fill_above_usual(block: Block) -> Values:
    """Utilisation less what is usual at this time."""
    return utilisation(block) - block.profile("fill") / 1000


def minutes_to_none(block: Block, side: Side) -> Values:
    """Minutes until a count is gone at the net pace of the last hour, a day at most."""
    count = side.track(block).now
    pace = -side.track(block).net(_HOUR_SLOTS) / 60
    left = np.where(pace > 0, count / np.where(pace > 0, pace, 1), DAY_MIN)
    return np.where(np.isnan(pace + count), np.nan, np.minimum(left, DAY_MIN))


def expected(block: Block, side: Side, *, minutes: int) -> Values:
    """The count plus its usual change."""
    return side.track(block).now + side.sign * block.profile(f"change_{minutes}")


def margin(block: Block, side: Side, *, minutes: int) -> Values:
    """The expected count above the threshold, in its usual spreads."""
    gained, lost = (block.profile(f"{m}_60") * (minutes / 60) for m in ("gained", "lost"))
    return (expected(block, side, minutes=minutes) - block.city.label.edge) / _spread(gained, lost)


def margin_at_pace(block: Block, side: Side, *, minutes: int) -> Values:
    """The same from the usual flows at the pace of the whole network in the last hour."""
    gained, lost = (
        block.profile(measure) * (minutes / 60) * network.bounded_pace(block, measure)
        for measure in ("gained_60", "lost_60")
    )
    left = side.track(block).now + side.sign * (gained - lost) - block.city.label.edge
    return left / _spread(gained, lost)


def _spread(gained: Flow, lost: Flow) -> Flow:
    spread: Flow = np.sqrt(np.maximum(gained + lost, LEAST_VARIANCE))
    return spread
