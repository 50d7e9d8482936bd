"""What the whole city does at each decision time: how full it is, how fast it moves today.

Input    a `Block`.
Output   float64 (dts, 1), NaN where unknown: one number per decision time.
Method   sums of whole numbers over the stations that are known, then one division, so that the
         result depends neither on the order of stations nor on the block.

Pace is the flow of the last hour over what is usual of that hour, per station, from earlier days.
It stands for whatever moves all riders at once: weather, a holiday, a match.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from mlops_bikeshare.domain.windows import SLOT_S
from mlops_bikeshare.features.block import Block
from mlops_bikeshare.features.track import Track, Values, share

HOUR_SLOTS = 3600 // SLOT_S
# Pace as a factor: early on a day of which little is usual it would be anything.
SLOWEST, FASTEST = 0.2, 3.0


def fill(block: Block) -> Values:
    """Bikes over bikes and docks."""
    bikes, docks = block.bikes.now, block.docks.now
    known = ~np.isnan(bikes + docks)
    return share(_total(bikes, known), _total(bikes + docks, known))


def fill_above_usual(block: Block) -> Values:
    """Mean fill of the stations less what is usual: below 0, bikes are under way."""
    bikes, total = block.bikes.now, block.bikes.now + block.docks.now
    known = total > 0
    thousandths = np.floor(1000 * bikes / np.where(known, total, 1))
    now = share(_total(thousandths, known), _count(known))
    return (now - block.usual_of_network("fill")) / 1000


def out(block: Block, *, track: Callable[[Block], Track]) -> Values:
    """Share of the stations with a known count that are out."""
    now = track(block).now
    return share(_count(block.city.label.out(now)), _count(~np.isnan(now)))


def flow(block: Block, *, method: str, slots: int) -> Values:
    """Mean of a flow of bikes (a method of `Track`) over the stations where it is known."""

    def mean() -> Values:
        values = getattr(block.bikes, method)(slots)
        known = ~np.isnan(values)
        return share(_total(values, known), _count(known))

    return block.once((flow, method, slots), mean)


def pace(block: Block, measure: str) -> Values:
    """The last hour's bikes in (`gained_60`) or out (`lost_60`) over what is usual of that hour."""
    last = flow(block, method=measure.removesuffix("_60"), slots=HOUR_SLOTS)
    return share(last, block.usual_of_network(measure, before_s=3600))


def bounded_pace(block: Block, measure: str) -> Values:
    """Pace as a factor, within reason."""
    factor: Values = np.clip(pace(block, measure), SLOWEST, FASTEST)
    return factor


def _total(values: Values, known: npt.NDArray[np.bool_]) -> Values:
    total: Values = np.where(known, values, 0).sum(axis=1, keepdims=True)
    return total


def _count(flags: npt.NDArray[np.bool_]) -> Values:
    count: Values = flags.sum(axis=1, keepdims=True).astype(np.float64)
    return count
