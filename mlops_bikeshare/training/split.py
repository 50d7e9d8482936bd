"""Which rows train, stop early, calibrate and test: windows in time, with a gap between them.

Input    half-open windows of decision times (UTC) and dt as int64 seconds, shape (rows,).
Output   boolean masks of that shape. The last `GAP_S` of each slice is left out wherever another
         slice follows, so that no label (dt + horizon, once matured) reaches into the next one.
Raises   InputError for windows that overlap, are out of order or are too short to learn from.

A retraining learns from an older `baseline` as well, and never from `held_out`, the days that every
candidate is tested on for what it must not forget.
"""

import itertools
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.targets import HORIZONS_MIN
from mlops_bikeshare.domain.windows import DAY_S, Window, to_seconds

MATURITY_S = 600
GAP_S = max(HORIZONS_MIN) * 60 + MATURITY_S
MIN_TRAIN_DAYS = 2
MIN_OTHER_DAYS = 1
EARLY_STOP_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Slices:
    """Row masks of one split; `test` is None when the split has no test window."""

    fit: NDArray[np.bool_]
    early_stop: NDArray[np.bool_]
    calibrate: NDArray[np.bool_]
    test: NDArray[np.bool_] | None


@dataclass(frozen=True, slots=True)
class Split:
    """Train, then calibrate, then perhaps test; the end of train decides when to stop."""

    train: Window
    calibrate: Window
    test: Window | None = None
    baseline: Window | None = field(default=None, kw_only=True)
    held_out: Window | None = field(default=None, kw_only=True)
    gap_s: int = field(default=GAP_S, kw_only=True)

    def __post_init__(self) -> None:
        """Refuse windows that overlap, run backwards or are too short."""
        named = [("train", self.train), ("calibrate", self.calibrate)]
        if self.baseline is not None:
            named.insert(0, ("baseline", self.baseline))
        if self.test is not None:
            named.append(("test", self.test))
        for name, window in named:
            _require_days(name, window)
        for (before, earlier), (after, later) in itertools.pairwise(named):
            _require_order(before, earlier, after, later)

    @property
    def window(self) -> Window:
        """From the first row that is learned from to the last that is tested on."""
        return Window((self.baseline or self.train).start, (self.test or self.calibrate).end)

    @property
    def fitted(self) -> Window:
        """The part of train that trees are grown on."""
        return Window(self.train.start, self._boundary)

    @property
    def early_stop(self) -> Window:
        """The last tenth of train, at least a day: it says after how many trees to stop.

        Days held out do not count; where they leave too few, it is the last tenth all the same.
        """
        return Window(self._boundary, self.train.end)

    @property
    def _boundary(self) -> datetime:
        days = max(1, round(self.train.duration.total_seconds() / DAY_S * EARLY_STOP_SHARE))
        start = days_before(self.train.end, days, held_out=self.held_out)
        return start if start > self.train.start else self.train.end - timedelta(days=days)

    def masks(self, dt: NDArray[np.int64]) -> Slices:
        """Which of the decision times `dt` (int64 seconds) belong to which slice."""
        fit = self._inside(dt, self.fitted)
        if self.baseline is not None:
            fit |= self._inside(dt, self.baseline)
        learned = self._learned(dt)
        return Slices(
            fit=fit & learned,
            early_stop=self._inside(dt, self.early_stop) & learned,
            calibrate=self._inside(dt, self.calibrate, last=self.test is None) & learned,
            test=None if self.test is None else self._inside(dt, self.test, last=True),
        )

    def _learned(self, dt: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Rows of which no label reaches into the held-out days, and that do not lie in them."""
        if self.held_out is None:
            return np.ones(dt.shape, dtype=np.bool_)
        start, end = to_seconds(self.held_out.start), to_seconds(self.held_out.end)
        outside: NDArray[np.bool_] = (dt < start - self.gap_s) | (dt >= end)
        return outside

    def _inside(
        self, dt: NDArray[np.int64], window: Window, *, last: bool = False
    ) -> NDArray[np.bool_]:
        end = to_seconds(window.end) - (0 if last else self.gap_s)
        return (dt >= to_seconds(window.start)) & (dt < end)


def days_before(end: datetime, days: int, *, held_out: Window | None) -> datetime:
    """Since when there are so many days before `end` that may be learned from."""
    start = end - timedelta(days=days)
    if held_out is None or held_out.start >= end or held_out.end <= start:
        return start
    after = max(end - held_out.end, timedelta(0))
    return held_out.start - (timedelta(days=days) - after)


def _require_days(name: str, window: Window) -> None:
    least = MIN_TRAIN_DAYS if name == "train" else MIN_OTHER_DAYS
    if window.duration < timedelta(days=least):
        msg = (
            f"{name}={window}: expected at least {least} day{'s' if least > 1 else ''},"
            f" got {window.duration.total_seconds() / 3600:g} h; give a longer range"
        )
        raise InputError(msg)


def _require_order(before: str, earlier: Window, after: str, later: Window) -> None:
    if later.start < earlier.end:
        msg = (
            f"{after}={later} starts before {before}={earlier} ends; expected {before}, then"
            f" {after}, without overlap, so that no row is judged by a model that has seen it"
        )
        raise InputError(msg)
