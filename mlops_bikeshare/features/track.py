"""Rolling statistics of one count over the slots up to each decision time.

Input    int16 counts (slots, stations), -1 where missing, and the slot index of each dt.
Output   float64 (dts, stations), float32 where that is exact; NaN where no slot of the window has
         a count. A window of n slots is the slot of dt and the n - 1 before it.
Raises   GridError when the grid starts less than the longest window before the first dt.
Method   integer cumulative sums and one division, so that a result does not depend on where the
         block starts; running minima and maxima by doubling (a window of 2k is two of k).
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from mlops_bikeshare.domain.errors import GridError
from mlops_bikeshare.features.grid import LONGEST_SLOTS, MISSING, Counts, Seconds

Values = npt.NDArray[np.float64]
Exact = npt.NDArray[np.float32]  # holds every count and every difference of two
Whole = npt.NDArray[np.int32] | npt.NDArray[np.int64]
_UNKNOWN = np.float32(np.nan)
_HIGHEST = np.int16(np.iinfo(np.int16).max)


class Track:
    """One count of every station, seen from each decision time."""

    def __init__(self, counts: Counts, *, at: Seconds) -> None:
        if len(at) and int(at.min()) < LONGEST_SLOTS:
            msg = (
                f"the grid holds {int(at.min())} slots before its first decision time; features"
                f" look back {LONGEST_SLOTS}: start the grid LOOKBACK before it"
            )
            raise GridError(msg)
        # Nothing older than the longest window matters: online that is half of the slots read.
        first = int(at.min(initial=len(counts))) - LONGEST_SLOTS
        self._counts = counts[first:]
        self._at = _even(at - first)
        self._extremes: dict[tuple[bool, int], Counts] = {}
        self._made: dict[tuple[str, int], npt.NDArray[Any]] = {}

    @cached_property
    def now(self) -> Values:
        """The count at dt."""
        return self.lag(0).astype(np.float64)

    def lag(self, slots: int) -> Exact:
        """The count `slots` before dt."""
        return self._seen(self._exact, slots)

    def delta(self, slots: int) -> Exact:
        """Change over the last `slots`."""
        return self.lag(0) - self.lag(slots)

    def mean(self, slots: int) -> Values:
        """Mean over the last `slots`."""
        return self._total(slots) / self._number(slots)

    def std(self, slots: int) -> Values:
        """Population standard deviation over the last `slots`."""
        n, total = self._number(slots), self._total(slots)
        return np.sqrt((n * self._sum(self._squares, slots) - total * total) / (n * n))

    def low(self, slots: int) -> Exact:
        """Smallest count of the last `slots`."""
        low = self._extreme(slots, highest=False)
        return np.where(low == _HIGHEST, _UNKNOWN, low)

    def high(self, slots: int) -> Exact:
        """Largest count of the last `slots`."""
        high = self._extreme(slots, highest=True)
        return np.where(high == MISSING, _UNKNOWN, high)

    def gained(self, slots: int) -> Values:
        """Sum of the rises from slot to slot over the last `slots`."""
        return self._once("gained", slots, lambda: self._flow(self._rises, slots))

    def lost(self, slots: int) -> Values:
        """Sum of the falls from slot to slot over the last `slots`."""
        return self._once("lost", slots, lambda: self._flow(self._falls, slots))

    def net(self, slots: int) -> Values:
        """Rises less falls over the last `slots`."""
        return self.gained(slots) - self.lost(slots)

    @cached_property
    def _valid(self) -> npt.NDArray[np.bool_]:
        valid: npt.NDArray[np.bool_] = self._counts != MISSING
        return valid

    @cached_property
    def _exact(self) -> Exact:
        return np.where(self._valid, self._counts, _UNKNOWN)

    @cached_property
    def _filled(self) -> Counts:
        return np.where(self._valid, self._counts, np.int16(0))

    @cached_property
    def _known(self) -> Whole:
        return running(self._valid)

    @cached_property
    def _sums(self) -> Whole:
        return running(self._filled)

    @cached_property
    def _squares(self) -> Whole:
        return running(np.square(self._filled, dtype=np.int64))

    @cached_property
    def _steps(self) -> Counts:
        return steps(self._counts)

    @cached_property
    def _rises(self) -> Whole:
        return running(np.maximum(self._steps, 0))

    @cached_property
    def _falls(self) -> Whole:
        return running(np.maximum(-self._steps, 0))

    @cached_property
    def _pairs(self) -> Whole:
        return running(paired(self._counts))

    def _number(self, slots: int) -> Values:
        """How many slots have a count; NaN for none, so that what is divided by it is missing."""
        return self._once("number", slots, lambda: _or_missing(self._sum(self._known, slots)))

    def _total(self, slots: int) -> Values:
        return self._once("total", slots, lambda: self._sum(self._sums, slots).astype(np.float64))

    def _flow(self, sums: Whole, slots: int) -> Values:
        seen = self._once("seen", slots, lambda: self._sum(self._pairs, slots) > 0)
        return np.where(seen, self._sum(sums, slots), np.nan)

    def _sum(self, sums: Whole, slots: int) -> Whole:
        """Sum over the last `slots` of what `sums` is the `running` sum of."""
        within: Whole = self._seen(sums, -1) - self._seen(sums, slots - 1)
        return within

    def _seen(self, values: npt.NDArray[Any], before: int) -> npt.NDArray[Any]:
        """`values` of the slot `before` each dt: a view where the dts are evenly spaced."""
        if isinstance(self._at, slice):
            at = self._at
            return values[at.start - before : at.stop - before : at.step]
        return values[self._at - before]

    def _once(
        self, name: str, slots: int, make: Callable[[], npt.NDArray[Any]]
    ) -> npt.NDArray[Any]:
        """What several features ask for is made once."""
        if (name, slots) not in self._made:
            self._made[name, slots] = make()
        return self._made[name, slots]

    def _extreme(self, slots: int, *, highest: bool) -> Counts:
        """Largest or smallest count of the last `slots`, as two overlapping power-of-two spans."""
        span = 1 << (slots.bit_length() - 1)
        choose = np.maximum if highest else np.minimum
        ladder = self._ladder(span, highest=highest)
        extreme: Counts = choose(self._seen(ladder, 0), self._seen(ladder, slots - span))
        return extreme

    def _ladder(self, span: int, *, highest: bool) -> Counts:
        """Extremes over `span` slots (a power of two) ending at each slot."""
        if (highest, span) not in self._extremes:
            if span == 1:
                rung = self._counts if highest else np.where(self._valid, self._counts, _HIGHEST)
            else:
                half = self._ladder(span // 2, highest=highest)
                rung = half.copy()
                choose = np.maximum if highest else np.minimum
                choose(half[span // 2 :], half[: -(span // 2)], out=rung[span // 2 :])
            self._extremes[highest, span] = rung
        return self._extremes[highest, span]


def running(values: npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> Whole:
    """Cumulative sum along the slots, with a leading zero; int64 for int64, else int32."""
    kind = np.int64 if values.dtype == np.int64 else np.int32
    out = np.empty((len(values) + 1, *values.shape[1:]), dtype=kind)
    out[0], out[1:] = 0, values
    # Row by row is three to seven times as fast as np.cumsum down the columns.
    before = out[0]
    for row in out[1:]:
        before = np.add(before, row, row)
    return out


def paired(counts: Counts) -> npt.NDArray[np.bool_]:
    """Whether a slot and the one before it both have a count."""
    both = np.zeros(counts.shape, dtype=bool)
    both[1:] = (counts[1:] != MISSING) & (counts[:-1] != MISSING)
    return both


def steps(counts: Counts) -> Counts:
    """Change from the slot before, 0 where either is missing."""
    change = np.zeros(counts.shape, dtype=np.int16)
    change[1:] = np.where(paired(counts)[1:], counts[1:] - counts[:-1], np.int16(0))
    return change


def share(part: Values, whole: Values) -> Values:
    """Part over whole; NaN where the whole is not above 0."""
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan)


def _or_missing(numbers: Whole) -> Values:
    return np.where(numbers > 0, numbers, np.nan)


def _even(at: Seconds) -> slice | Seconds:
    """Places that are evenly spaced, as a slice; others as they are."""
    if not len(at):
        return slice(0, 0, 1)
    step = int(at[1] - at[0]) if len(at) > 1 else 1
    if step > 0 and np.all(np.diff(at) == step):
        return slice(int(at[0]), int(at[-1]) + 1, step)
    return at
