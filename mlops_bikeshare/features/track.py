"""Rolling statistics of one count over the slots up to each decision time.

Input    int16 counts (slots, stations), -1 where missing, and the slot index of each dt.
Output   float64 (dts, stations), NaN where no slot of the window has a count. A window of n slots
         is the slot of dt and the n - 1 before it.
Raises   GridError when the grid starts less than the longest window before the first dt.
Method   integer cumulative sums and one division, so that a result does not depend on where the
         block starts; running minima and maxima by doubling (a window of 2k is two of k).
"""

from functools import cached_property

import numpy as np
import numpy.typing as npt

from mlops_bikeshare.domain.errors import GridError
from mlops_bikeshare.features.grid import LONGEST_SLOTS, MISSING, Counts, Seconds

Values = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int32] | npt.NDArray[np.int64]
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
        self._at = at - first
        self._extremes: dict[tuple[bool, int], Counts] = {}
        self._lags: dict[int, Values] = {}

    @cached_property
    def now(self) -> Values:
        """The count at dt."""
        return self.lag(0)

    def lag(self, slots: int) -> Values:
        """The count `slots` before dt."""
        if slots not in self._lags:
            counts = self._counts[self._at - slots]
            self._lags[slots] = np.where(counts == MISSING, np.nan, counts)
        return self._lags[slots]

    def delta(self, slots: int) -> Values:
        """Change over the last `slots`."""
        return self.now - self.lag(slots)

    def mean(self, slots: int) -> Values:
        """Mean over the last `slots`."""
        return _ratio(self._window(self._sums, slots), self._window(self._known, slots))

    def std(self, slots: int) -> Values:
        """Population standard deviation over the last `slots`."""
        n, total = self._window(self._known, slots), self._window(self._sums, slots)
        total = total.astype(np.int64)  # squared it outgrows int32
        return np.sqrt(_ratio(n * self._window(self._squares, slots) - total**2, n * n))

    def low(self, slots: int) -> Values:
        """Smallest count of the last `slots`."""
        low = self._extreme(slots, highest=False)
        return np.where(low == _HIGHEST, np.nan, low)

    def high(self, slots: int) -> Values:
        """Largest count of the last `slots`."""
        high = self._extreme(slots, highest=True)
        return np.where(high == MISSING, np.nan, high)

    def gained(self, slots: int) -> Values:
        """Sum of the rises from slot to slot over the last `slots`."""
        return self._flow(self._rises, slots)

    def lost(self, slots: int) -> Values:
        """Sum of the falls from slot to slot over the last `slots`."""
        return self._flow(self._falls, slots)

    def net(self, slots: int) -> Values:
        """Rises less falls over the last `slots`."""
        return self.gained(slots) - self.lost(slots)

    @cached_property
    def _valid(self) -> npt.NDArray[np.bool_]:
        valid: npt.NDArray[np.bool_] = self._counts != MISSING
        return valid

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

    def _window(self, sums: Whole, slots: int) -> Whole:
        return sums[self._at + 1] - sums[self._at + 1 - slots]

    def _flow(self, sums: Whole, slots: int) -> Values:
        return np.where(self._window(self._pairs, slots) > 0, self._window(sums, slots), np.nan)

    def _extreme(self, slots: int, *, highest: bool) -> Counts:
        """Largest or smallest count of the last `slots`, as two overlapping power-of-two spans."""
        span = 1 << (slots.bit_length() - 1)
        choose = np.maximum if highest else np.minimum
        ladder = self._ladder(span, highest=highest)
        return choose(ladder[self._at], ladder[self._at - (slots - span)])

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
    out = np.zeros((len(values) + 1, *values.shape[1:]), dtype=kind)
    # Row by row is two to nine times as fast as np.cumsum down the columns.
    for i, row in enumerate(values):
        np.add(out[i], row, out=out[i + 1])
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


def _ratio(numerator: Whole, denominator: Whole) -> Values:
    """One float64 division of exact integers; NaN where there is nothing to divide by."""
    known = denominator > 0
    return np.where(known, numerator / np.where(known, denominator, 1), np.nan)
