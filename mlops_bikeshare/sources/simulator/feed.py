"""What the city's feed shows of it: reports of stations, gaps, late and failed polls.

Input    the engine's ledger, the counts it began with, the span shown, a generator.
Output   station_status: one row per report, sorted by station and time, as in a recording;
         polls: poll_at, fetched_at, ok for every five minutes.
Method   a station reports when something changes there, and a few times a day in any case; the
         log keeps its last report of each five minutes. In a gap nothing comes in, and a station
         that changed meanwhile reports within five minutes of the gap's end. A late poll is read
         up to four minutes after its time, a failed one not at all (ok is False and fetched_at
         equals poll_at).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.windows import DAY_S, SLOT_S
from mlops_bikeshare.sources.simulator.city import City
from mlops_bikeshare.sources.simulator.ledger import Change, pack, unpack

if TYPE_CHECKING:
    import pandas as pd

Ints = NDArray[np.int64]
_KEEPALIVES_A_DAY = 8.0
_GAPS_A_DAY = 1 / 9
_GAP_HOURS = (1.1, 3.0)
_LATE, _FAILED = 0.02, 0.004
_LATEST_S = 240
_EFFECTS = {
    # change: bikes, disabled bikes, disabled docks, closed, removed
    Change.REPORT: (0, 0, 0, 0, 0),
    Change.TAKE: (-1, 0, 0, 0, 0),
    Change.RETURN: (1, 0, 0, 0, 0),
    Change.BREAK: (-1, 1, 0, 0, 0),
    Change.REPAIR: (1, -1, 0, 0, 0),
    Change.DOCK_BREAKS: (0, 0, 1, 0, 0),
    Change.DOCK_REPAIRED: (0, 0, -1, 0, 0),
    Change.CLOSE: (0, 0, 0, 1, 0),
    Change.OPEN: (0, 0, 0, -1, 0),
    Change.REMOVE: (0, 0, 0, 0, 1),
    Change.INSTALL: (0, 0, 0, 0, -1),
    Change.COLLECT: (0, -1, 0, 0, 0),
}


@dataclass(frozen=True, slots=True)
class Span:
    """The time shown, [start_s, end_s), seconds since 1970; whole UTC days."""

    start_s: int
    end_s: int

    @property
    def days(self) -> int:
        """Length in days."""
        return (self.end_s - self.start_s) // DAY_S


def draw_gaps(span: Span, rng: np.random.Generator) -> Ints:
    """(gaps, 2) starts and ends, on whole five minutes, apart, within the span."""
    count = rng.poisson(_GAPS_A_DAY * span.days)
    starts = np.sort(
        rng.integers(span.start_s + DAY_S, max(span.end_s, span.start_s + DAY_S + 1), size=count)
    )
    lengths = (rng.uniform(*_GAP_HOURS, size=count) * 3600).astype(np.int64)
    gaps = np.stack((starts, starts + lengths), axis=1) // SLOT_S * SLOT_S
    apart = np.append(True, gaps[1:, 0] > gaps[:-1, 1] + SLOT_S)[: len(gaps)]
    return gaps[apart & (gaps[:, 1] < span.end_s)]


def station_status(
    city: City, ledger: Ints, *, bikes_at_first: Ints, span: Span, rng: np.random.Generator
) -> "pd.DataFrame":
    """The change log of the span."""
    gaps = draw_gaps(span, rng)
    entries = np.sort(np.concatenate((ledger, _keepalives(city, span, rng))))
    station, at, change = unpack(entries)
    state = _states(station, change, bikes_at_first)
    seen = _when_seen(station, at, gaps, rng.integers(1, SLOT_S, size=city.size))
    shown = (at >= span.start_s) & (seen < span.end_s)
    key = station * (1 << 36) + -(-seen // SLOT_S)
    last = np.append(key[1:] != key[:-1], True)
    rows = np.flatnonzero(shown & last)
    return _frame(city, station[rows], seen[rows], state[rows])


def draw_polls(span: Span, rng: np.random.Generator) -> "pd.DataFrame":
    """When each scheduled poll was read, and whether it was."""
    import pandas as pd

    scheduled = np.arange(span.start_s, span.end_s, SLOT_S)
    ok = rng.random(len(scheduled)) >= _FAILED
    late = (rng.random(len(scheduled)) < _LATE) & ok
    fetched = scheduled + np.where(late, rng.integers(20, _LATEST_S, size=len(scheduled)), 0)
    return pd.DataFrame({"poll_at": _utc(scheduled), "fetched_at": _utc(fetched), "ok": ok})


def _keepalives(city: City, span: Span, rng: np.random.Generator) -> Ints:
    """Reports without a change: all stations as the span begins, then now and then."""
    first = span.start_s + rng.integers(1, SLOT_S, size=city.size)
    count = rng.poisson(_KEEPALIVES_A_DAY * span.days, size=city.size)
    station = np.concatenate((np.arange(city.size), np.repeat(np.arange(city.size), count)))
    at = np.concatenate((first, rng.integers(span.start_s, span.end_s, size=count.sum())))
    packed = [pack(s, t, Change.REPORT) for s, t in zip(station.tolist(), at.tolist(), strict=True)]
    return np.array(packed, dtype=np.int64)


def _states(station: Ints, change: Ints, bikes_at_first: Ints) -> Ints:
    """(entries, 5) counts after each entry; entries are sorted by station."""
    effects = np.array([_EFFECTS[c] for c in Change], dtype=np.int32)
    total = np.cumsum(effects[change], axis=0, dtype=np.int32)
    first = np.searchsorted(station, np.arange(len(bikes_at_first)))
    before = np.where(first[:, None] > 0, total[first - 1], 0).astype(np.int64)
    before[:, 0] -= bikes_at_first
    return total - before[station]


def _when_seen(station: Ints, at: Ints, gaps: Ints, delay_s: Ints) -> Ints:
    """Report times: those within a gap come in after it, station by station."""
    if not len(gaps):
        return at
    gap = np.searchsorted(gaps[:, 0], at, side="right") - 1
    inside = (gap >= 0) & (at <= gaps[gap, 1])
    return np.where(inside, gaps[gap, 1] + delay_s[station], at)


def _frame(city: City, station: Ints, seen: Ints, state: Ints) -> "pd.DataFrame":
    import pandas as pd

    bikes, disabled, broken, closed, removed = state.astype(np.int16).T
    docks = city.capacity.astype(np.int16)[station] - bikes - disabled - broken
    is_open = (closed == 0).astype(np.int16)
    columns = {
        "station_id": pd.array(np.array(city.station_ids)[station], dtype="str"),
        "num_bikes_available": bikes,
        "num_docks_available": docks,
        "num_bikes_disabled": disabled,
        "num_docks_disabled": broken,
        "is_installed": (removed == 0).astype(np.int16),
        "is_renting": is_open,
        "is_returning": is_open,
        "observed_at": _utc(seen),
    }
    return pd.DataFrame(columns)


def _utc(seconds: Ints) -> "pd.DatetimeIndex":
    import pandas as pd

    return pd.DatetimeIndex(seconds.astype("M8[s]").astype("M8[us]")).tz_localize("UTC")
