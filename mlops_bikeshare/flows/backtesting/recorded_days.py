"""A recording to training rows and test rows, day by day, without a lake.

The way is production's own (polls, slots, grid, features, profiles of earlier days only); only the
storing in between is left out. Two passes over the days: `survey` keeps the outcome of every slot
(a byte a slot, station and target) and the keys of the rows there are; `chosen_features` and
`test_days` build features again, of one day at a time.

Raises   InputError for windows outside the recording or without a row.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.targets import HORIZONS_MIN, TARGETS
from mlops_bikeshare.domain.windows import SLOT_S, Window, from_seconds, to_seconds
from mlops_bikeshare.features.calendar import Calendar
from mlops_bikeshare.features.definition import COUNT_FEATURES, FEATURE_NAMES
from mlops_bikeshare.features.grid import FEED_DOWN_S, LOOKBACK, MISSING, Grid
from mlops_bikeshare.features.offline import day_grid
from mlops_bikeshare.features.outcomes import Outcomes
from mlops_bikeshare.features.profiles import HALF_HOUR_MIN, HALF_HOURS, ProfileState
from mlops_bikeshare.features.rows import FeatureRows, rows_at
from mlops_bikeshare.flows.process.progress import Track
from mlops_bikeshare.lake.slots import to_slots
from mlops_bikeshare.sources.recorded import Recording, poll_times

if TYPE_CHECKING:
    import pandas as pd

# Days before the training range that may feed its profiles, where the recording has them.
WARM_UP_DAYS = 14
_AHEAD = max(HORIZONS_MIN) * 60 // SLOT_S


@dataclass(frozen=True, eq=False)
class RecordedCity:
    """A recording read as the city that it is of, at decision times every `cadence_min`."""

    recording: Recording
    city: City
    cadence_min: int

    @cached_property
    def stations(self) -> "pd.DataFrame":
        """The station list, sorted by id as grids are."""
        listed = self.recording.information(self.recording.span.start)
        return listed.sort_values("station_id", ignore_index=True)

    def status(self, day: date) -> "pd.DataFrame":
        """The curated slots of a day and of the hours that its features look back on."""
        whole = Window.day(day)
        return to_slots(self.recording.polls(poll_times(Window(whole.start - LOOKBACK, whole.end))))

    def outcomes(self, status: "pd.DataFrame", day: date) -> Outcomes:
        """What became of each station in the slots of `day`."""
        whole = Window.day(day)
        wider = Window(whole.start - timedelta(seconds=FEED_DOWN_S), whole.end)
        names = self.stations["station_id"].tolist()
        grid = Grid.from_status(status, stations=names, window=wider, time_column="observed_at")
        return Outcomes.of(grid.after(whole.start), label=self.city.label)

    def known(self, status: "pd.DataFrame", day: date) -> Grid:
        """What was known in each slot of `day` and its look-back."""
        return day_grid(status, day=day, stations=self.stations)

    def decision_times(self, window: Window, day: date) -> list[int]:
        """The decision times of `day` in `window`, seconds since 1970."""
        steps = Window.day(day).steps(step_s=self.cadence_min * 60)
        return [to_seconds(dt) for dt in steps if dt in window]

    def check(self, name: str, window: Window) -> None:
        """InputError unless the recording covers the days of `window`."""
        span = self.recording.span
        first, last = Window.day(span.start.date()), Window.day(span.days()[-1])
        if window.start < first.start or window.end > last.end:
            msg = f"{name}={window} lies outside the recording {self.recording.folder.name}, which"
            raise InputError(f"{msg} covers {Window(first.start, last.end)}; choose a range inside")


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """Outcomes from the first training day on, and the rows there are to learn from."""

    outcomes: Outcomes
    station: NDArray[np.int32]
    dt: NDArray[np.int64]
    rows_of: dict[date, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class DayRows:
    """The feature rows of a day, with the counts that targets watch."""

    features: FeatureRows
    station: NDArray[np.int64]
    dt: NDArray[np.int64]
    counts: dict[str, NDArray[np.int16]]


class Cells:
    """Climatology's cell (kind of day and half-hour of local time) of every slot of a span."""

    count = 2 * HALF_HOURS

    def __init__(self, outcomes: Outcomes, city: City) -> None:
        self._start_s = outcomes.start_s
        slots = np.arange(outcomes.slots + _AHEAD, dtype=np.int64)
        calendar = Calendar.at(self._start_s + SLOT_S * slots, zone=city.zone)
        self._cell = calendar.weekend * HALF_HOURS + calendar.minute // HALF_HOUR_MIN

    def at(self, seconds: NDArray[np.int64]) -> NDArray[np.int64]:
        """The cell of each time."""
        cell: NDArray[np.int64] = self._cell[(seconds - self._start_s) // SLOT_S]
        return cell


def survey(where: RecordedCity, *, learn: Window, until: date, track: Track) -> Survey:
    """Outcomes of every day from the start of `learn` to `until`, row keys of `learn`."""
    days = _days(learn.start.date(), until)
    history = learn.start.date() > where.recording.span.start.date()
    parts, station, dt, rows_of = [], [], [], {}
    for day in track(days, label=f"survey {where.city.name}", total=len(days)):
        status = where.status(day)
        parts.append(where.outcomes(status, day))
        dts = where.decision_times(learn, day) if history else []
        if dts:
            row, column, grid = _keys(where.known(status, day), dts)
            station.append(column.astype(np.int32))
            dt.append(grid[row])
            rows_of[day] = len(row)
        history = True  # a day without profiles of an earlier one has no rows
    return Survey(
        outcomes=Outcomes.joined(parts),
        station=np.concatenate([np.empty(0, np.int32), *station]),
        dt=np.concatenate([np.empty(0, np.int64), *dt]),
        rows_of=rows_of,
    )


def chosen_features(
    where: RecordedCity,
    surveyed: Survey,
    wanted: NDArray[np.bool_],
    *,
    learn: Window,
    track: Track,
) -> tuple[NDArray[np.float32], ProfileState]:
    """Features of the wanted rows, float32 (rows, features), and the profiles after `learn`."""
    out = np.empty((int(wanted.sum()), len(FEATURE_NAMES)), dtype=np.float32)
    state, days = ProfileState.empty(), _days(_first_day(where, learn), learn.days()[-1])
    seen = filled = 0
    for day in track(days, label=f"features {where.city.name}", total=len(days)):
        known = where.known(where.status(day), day)
        chosen = wanted[seen : seen + surveyed.rows_of.get(day, 0)]
        seen += len(chosen)
        if chosen.any():
            rows = _rows(where, known, where.decision_times(learn, day), state)
            count = int(chosen.sum())
            out[filled : filled + count] = rows.values[chosen]
            filled += count
        state = state.update(known, day=day, zone=where.city.zone, label=where.city.label)
    return out, state


def test_days(
    where: RecordedCity, *, test: Window, state: ProfileState, track: Track
) -> Iterator[DayRows]:
    """The rows of each test day; profiles go on learning from the days before it."""
    days = _days(state.valid_from or test.start.date(), test.days()[-1])
    for day in track(days, label=f"score {where.city.name}", total=len(days)):
        known = where.known(where.status(day), day)
        dts = where.decision_times(test, day)
        if dts:
            rows = _rows(where, known, dts, state)
            yield DayRows(
                features=rows,
                station=rows.station,
                dt=known.slot_ends[rows.slot],
                counts=counts_now(rows.values),
            )
        state = state.update(known, day=day, zone=where.city.zone, label=where.city.label)


def counts_now(features: NDArray[np.float32]) -> dict[str, NDArray[np.int16]]:
    """The counts that targets watch, as feature rows have them; -1 where missing."""
    columns = {t.name: features[:, FEATURE_NAMES.index(COUNT_FEATURES[t.count])] for t in TARGETS}
    return {n: np.where(np.isnan(v), MISSING, v).astype(np.int16) for n, v in columns.items()}


def _first_day(where: RecordedCity, learn: Window) -> date:
    earliest = learn.start.date() - timedelta(days=WARM_UP_DAYS)
    return max(earliest, where.recording.span.start.date())


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=i) for i in range((last - first).days + 1)]


def _keys(
    known: Grid, dts: Sequence[int]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.int64]]:
    """Decision time and station (indices) of each row that `rows_at` will give."""
    times = np.array(dts, dtype=np.int64)
    row, station = np.nonzero(known.bikes[known.index_of(times)] != MISSING)
    return row, station, times


def _rows(where: RecordedCity, known: Grid, dts: Sequence[int], state: ProfileState) -> FeatureRows:
    times = [from_seconds(dt) for dt in dts]
    return rows_at(known, dts=times, stations=where.stations, city=where.city, profiles=state)
