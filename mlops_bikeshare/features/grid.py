"""The dense grid of a city: what each five-minute slot knew of each station.

Input    a frame with the columns of `domain.tables.STATION_STATUS`, any row order, at most a few
         days (look-back included). `slot` or `fetched_at` as time column gives what was *known*
         in a slot (features); `observed_at` gives what was *true* in it (labels).
Output   `Grid`: int16 counts (slots, stations), -1 where missing; flags; last reports in seconds.
         Slot i ends at `start_s + 300 i` and covers the five minutes up to its end.
Raises   GridError for a time column it does not know, or a window without a slot.
Method   one vectorised scatter. When a slot saw a station twice, its newest document wins.

A count holds while the feed is up and the station is not long silent; otherwise it is missing.
`carried` fills slots in which no poll arrived with the slot before; it looks back no further than
`FEED_DOWN_S`, because by then the feed counts as down. Nothing older than `LOOKBACK` can therefore
reach a feature, which is what makes a row built online from recent slots equal the offline one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlops_bikeshare.domain.errors import GridError
from mlops_bikeshare.domain.windows import SLOT_S, Window, to_seconds

TimeColumn = Literal["slot", "fetched_at", "observed_at"]
Counts = npt.NDArray[np.int16]
Flags = npt.NDArray[np.bool_]
Seconds = npt.NDArray[np.int64]

MISSING = -1
# Of 400 stations one reports every few seconds by day and every few minutes at night; an hour of
# silence of all of them is an outage of the operator, not a quiet night.
FEED_DOWN_S = 3600
# Healthy small stations stay unchanged, and so silent, for most of a night (p99 of gaps: 7.4 h);
# beyond a day the station is out of touch and its count is history.
SILENT_S = 86_400
# The longest window of a feature, in slots.
LONGEST_SLOTS = 24
# The longest window, plus what its oldest slot may look back on: whether the feed was up then.
LOOKBACK = timedelta(seconds=LONGEST_SLOTS * SLOT_S + FEED_DOWN_S)

_NO_TIME = np.iinfo(np.int64).min
_KNOWN: tuple[str, ...] = ("slot", "fetched_at", "observed_at")


@dataclass(frozen=True, eq=False)
class Grid:
    """Counts, flags and last reports over (slots, stations); stations are sorted ids.

    `renting` and `returning`: installed and taking part (a flag the feed does not give counts as
    yes), False where not observed. `last_reported`: seconds, -1 where not observed, never later
    than the slot. `observed`: a poll in this slot carried the station.
    """

    stations: tuple[str, ...]
    start_s: int
    bikes: Counts
    docks: Counts
    renting: Flags
    returning: Flags
    last_reported: Seconds
    observed: Flags

    @classmethod
    def from_status(
        cls,
        frame: pd.DataFrame,
        *,
        stations: Sequence[str],
        window: Window,
        time_column: TimeColumn = "slot",
    ) -> "Grid":
        """Scatter `frame` over the slots that end in [start, end); other rows do not matter."""
        names = tuple(sorted(set(stations)))
        start_s, slots = _slots(window)
        row = _slots_of(frame, time_column) - start_s // SLOT_S
        column = positions(frame["station_id"], names)
        inside = (row >= 0) & (row < slots) & (column >= 0)
        # One place beyond the grid takes the rows that do not matter.
        flat = np.where(inside, row * len(names) + column, slots * len(names))
        ends = start_s + row * SLOT_S
        return _valid(cls(names, start_s, *_scatter(frame, flat, (slots, len(names)), ends)))

    @property
    def slot_ends(self) -> Seconds:
        """End of each slot, seconds since 1970."""
        return self.start_s + SLOT_S * np.arange(len(self.bikes), dtype=np.int64)

    def index_of(self, at_s: Seconds | int) -> Seconds:
        """Slot index of each time in `at_s`; GridError when it is not a slot of this grid."""
        index, rest = np.divmod(np.asarray(at_s, dtype=np.int64) - self.start_s, SLOT_S)
        if np.any(rest) or np.any(index < 0) or np.any(index >= len(self.bikes)):
            ends = pd.to_datetime(self.slot_ends[[0, -1]], unit="s", utc=True)
            msg = (
                f"time outside the grid's slots {ends[0]:%F %T}..{ends[1]:%F %T} UTC, or not on a"
                f" {SLOT_S} s boundary: build the grid over a window that holds it"
            )
            raise GridError(msg)
        return index

    @classmethod
    def joined(cls, parts: Sequence["Grid"]) -> "Grid":
        """Grids that follow each other in time, over the same stations, as one."""
        ends = [part.start_s + SLOT_S * len(part.bikes) for part in parts]
        starts = [part.start_s for part in parts[1:]]
        if starts != ends[:-1] or len({part.stations for part in parts}) != 1:
            msg = "grids to join must follow each other without a gap, over the same stations"
            raise GridError(msg)
        names = ("bikes", "docks", "renting", "returning", "last_reported", "observed")
        arrays: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts]) for name in names
        }
        return replace(parts[0], **arrays)

    def after(self, start: datetime) -> "Grid":
        """The slots that end at `start` or later."""
        first = -(-(to_seconds(start) - self.start_s) // SLOT_S)
        names = ("bikes", "docks", "renting", "returning", "last_reported", "observed")
        arrays: dict[str, Any] = {name: getattr(self, name)[first:] for name in names}
        return replace(self, start_s=self.start_s + SLOT_S * first, **arrays)

    def carried(self) -> "Grid":
        """Slots without any poll take the values of the slot before, while the feed is up."""
        polled: Flags = np.any(self.observed, axis=1)
        if polled.all():
            return self
        # A leading slot without a poll points at itself, which is missing: nothing is invented.
        newest = np.maximum.accumulate(np.where(polled, np.arange(len(self.bikes)), 0))
        moved = {
            name: getattr(self, name)[newest]
            for name in ("bikes", "docks", "renting", "returning", "last_reported")
        }
        return _valid(replace(self, **moved))


def positions(ids: "pd.Series[Any]", names: Sequence[str]) -> Seconds:
    """Position of each id in `names`, -1 where it is not among them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    # One pass over the strings; factorize and a second look-up take twice as long.
    places = pc.index_in(pa.array(ids, pa.large_string()), pa.array(names, pa.large_string()))
    found: Seconds = places.fill_null(-1).to_numpy().astype(np.int64)
    return found


def _valid(grid: Grid) -> Grid:
    """Counts are missing while the feed is down, or a station has long been silent."""
    ends = grid.slot_ends[:, None]
    newest = grid.last_reported.max(axis=1, initial=MISSING, keepdims=True)
    up = np.maximum.accumulate(newest, axis=0) > ends - FEED_DOWN_S
    holds = up & (grid.last_reported >= ends - SILENT_S)
    missing = np.int16(MISSING)
    return replace(
        grid,
        bikes=np.where(holds, grid.bikes, missing),
        docks=np.where(holds, grid.docks, missing),
    )


def _slots(window: Window) -> tuple[int, int]:
    first = -(-to_seconds(window.start) // SLOT_S) * SLOT_S
    slots = -(-(to_seconds(window.end) - first) // SLOT_S)
    if slots < 1:
        msg = f"no five-minute slot ends in {window}: give a window of at least {SLOT_S} s"
        raise GridError(msg)
    return first, slots


def _slots_of(frame: pd.DataFrame, column: str) -> Seconds:
    """The slot of each row, as the number of its end since 1970."""
    if column not in _KNOWN:
        msg = f"a grid is built by one of {', '.join(_KNOWN)}, not by {column!r}"
        raise GridError(msg)
    slots: Seconds = -(-_milliseconds(frame[column]) // (1000 * SLOT_S))
    return slots


def _milliseconds(times: "pd.Series[Any]") -> Seconds:
    """Milliseconds since 1970 (the smallest int64 where null)."""
    stamps: Seconds = pd.DatetimeIndex(times).as_unit("ms").asi8
    return stamps


def _scatter(
    frame: pd.DataFrame, flat: Seconds, shape: tuple[int, int], ends: Seconds
) -> tuple[Any, ...]:
    """The arrays of a grid, in the order of its fields; each row's place and end of its slot."""
    bikes, docks = (_count(frame[f"num_{name}_available"]) for name in ("bikes", "docks"))
    installed = _flag(frame["is_installed"])
    renting = installed & _flag(frame["is_renting"])
    returning = installed & _flag(frame["is_returning"])
    reported = np.minimum(_reported(frame), ends)
    values: tuple[npt.NDArray[Any], ...] = (bikes, docks, renting, returning, reported)
    observed = _placed(np.True_, at=flat, shape=shape, empty=False)
    # Only where a place is written twice does it matter in what order.
    wanted = np.count_nonzero(flat < observed.size)
    if np.count_nonzero(observed) != wanted:
        order = _newest_last(frame, values)
        flat, values = flat[order], tuple(value[order] for value in values)
    empty = (MISSING, MISSING, False, False, MISSING)
    arrays = [
        _placed(value, at=flat, shape=shape, empty=nothing)
        for value, nothing in zip(values, empty, strict=True)
    ]
    return (*arrays, observed)


def _placed(
    value: npt.NDArray[Any] | np.bool_, *, at: Seconds, shape: tuple[int, int], empty: int
) -> npt.NDArray[Any]:
    out = np.full(shape[0] * shape[1] + 1, empty, dtype=value.dtype)
    out[at] = value
    return out[:-1].reshape(shape)


def _newest_last(frame: pd.DataFrame, values: tuple[npt.NDArray[Any], ...]) -> Seconds:
    """Order in which the newest document is written last, so that row order does not matter."""
    fetched, observed = (_milliseconds(frame[name]) for name in ("fetched_at", "observed_at"))
    return np.lexsort((*values, fetched, observed))


def _reported(frame: pd.DataFrame) -> Seconds:
    """The station's report time in seconds; the document's where the feed gives none."""
    stamps = _milliseconds(frame["last_reported"])
    if stamps.min(initial=0) == _NO_TIME:
        stamps = np.where(stamps == _NO_TIME, _milliseconds(frame["observed_at"]), stamps)
    return stamps // 1000


def _count(counts: "pd.Series[Any]") -> Counts:
    if isinstance(counts.dtype, np.dtype) and counts.dtype.kind in "iu":
        return counts.to_numpy(dtype=np.int16)
    return counts.to_numpy(dtype=np.float64, na_value=MISSING).astype(np.int16)


def _flag(flags: "pd.Series[Any]") -> Flags:
    if flags.dtype == np.bool_:
        return flags.to_numpy(dtype=np.bool_)
    # A flag the feed does not give says nothing against the station.
    given: Flags = flags.to_numpy(dtype=np.float64, na_value=1.0) != 0
    return given
