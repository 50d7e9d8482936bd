"""Profiles: what a station usually does at this time of day, learned from EARLIER DAYS ONLY.

Input    the carried `Grid` of one UTC day with its look-back, day after day.
Output   `ProfileState`: int64 sums and numbers of slots (measures, stations, cells), where a cell
         is a kind of day (weekday, weekend) and a half-hour of local time; as a frame of the table
         `PROFILES`. `usual` reads it: float32 shrunk means (times, stations), NaN before any day.
Raises   GridError when days are learned out of order or twice, or a grid lacks the look-back.
Method   plain sums. A cell's mean is shrunk with pseudo-counts towards the station's own mean plus
         what the whole network does in that cell; a station without history gets the network's.

The state after day D is valid from day D + 1 and knows no slot of D + 1. An outcome up to two hours
ahead needs the slots after it, so the last two hours of a day are learned with the next day.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlops_bikeshare.domain.errors import GridError, TableError
from mlops_bikeshare.domain.label import USUAL, Label
from mlops_bikeshare.domain.tables import PROFILE_MEASURES, PROFILES
from mlops_bikeshare.domain.targets import TARGETS
from mlops_bikeshare.domain.windows import DAY_S, SLOT_S
from mlops_bikeshare.features.calendar import Calendar
from mlops_bikeshare.features.grid import MISSING, Grid, Seconds
from mlops_bikeshare.features.labels import already_out, count_of, out_at
from mlops_bikeshare.features.track import Values, paired, running, steps

MEASURES: tuple[str, ...] = tuple(PROFILE_MEASURES)
HALF_HOUR_MIN = 30
HALF_HOURS = 48
CELLS = 2 * HALF_HOURS
# Slots from an origin to the end of its longest outcome.
AHEAD = 24
HOUR = 12
# Pseudo-counts in slots: a cell gains six a day, so its own mean outweighs the prior after six
# days; a station's mean outweighs the network's after one.
CELL_WEIGHT = 36
STATION_WEIGHT = 288

Sums = npt.NDArray[np.int64]
Means = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ProfileState:
    """Sums and numbers of slots over all days before `valid_from` (None: no day yet)."""

    stations: tuple[str, ...]
    sums: Sums
    counts: Sums
    valid_from: date | None = None

    @classmethod
    def empty(cls, stations: Iterable[str] = ()) -> "ProfileState":
        """Before the first day."""
        names = tuple(sorted(set(stations)))
        sums, counts = np.zeros((2, len(MEASURES), len(names), CELLS), dtype=np.int64)
        return cls(names, sums, counts)

    def update(
        self, grid: Grid, *, day: date, zone: ZoneInfo, label: Label = USUAL
    ) -> "ProfileState":
        """The state after `day`; `grid` holds the day's slots and its look-back."""
        if self.valid_from is not None and day < self.valid_from:
            msg = (
                f"profiles already hold every day before {self.valid_from}: {day} cannot be learned"
                " again; start from an empty state"
            )
            raise GridError(msg)
        new = self._copy_over({*self.stations, *grid.stations})
        columns = new.places(grid.stations)
        first = int(grid.index_of(_midnight(day))) - AHEAD
        origins = np.arange(first, first + DAY_S // SLOT_S)
        cells = _cells(Calendar.at(grid.slot_ends[origins], zone=zone))
        for i, (value, known) in enumerate(_outcomes(grid, origins, label)):
            _add(new.sums[i], np.where(known, value, 0), columns=columns, cells=cells)
            _add(new.counts[i], known, columns=columns, cells=cells)
        return replace(new, valid_from=day + timedelta(days=1))

    def plus(self, later: "ProfileState") -> "ProfileState":
        """What this state and one that was learned from later days alone know together."""
        if later.valid_from is None:
            return self
        new = self._copy_over({*self.stations, *later.stations})
        places = new.places(later.stations)
        new.sums[:, places] += later.sums
        new.counts[:, places] += later.counts
        return replace(new, valid_from=later.valid_from)

    def places(self, stations: Iterable[str]) -> Seconds:
        """Where each of `stations` stands in this state, -1 for one without history."""
        place = {station: i for i, station in enumerate(self.stations)}
        return np.array([place.get(station, -1) for station in stations], dtype=np.int64)

    def usual(self, measure: str, *, places: Seconds, calendar: Calendar) -> Means:
        """What is usual for stations at `places` at each time: float32 (times, stations)."""
        i = MEASURES.index(measure)
        cells, of_time = np.unique(_cells(calendar), return_inverse=True)
        network = self._network[0][i], self._network[1][i]
        if not network[1].any():
            return np.full((len(of_time), len(places)), np.nan, dtype=np.float32)
        level = network[0].sum() / network[1].sum()
        rhythm = _toward(level, *(n[cells] for n in network), weight=STATION_WEIGHT) - level
        station = _toward(level, *(_of(a[i], places) for a in self._totals), weight=STATION_WEIGHT)
        own = (_of(a[i].T[cells], places) for a in (self.sums, self.counts))
        means = _toward(station + rhythm[:, None], *own, weight=CELL_WEIGHT)
        return means.astype(np.float32)[of_time]

    def network(self, measure: str, *, calendar: Calendar) -> Values:
        """Mean over all stations at each time: float64 (times,), NaN where nothing is known.

        Before the first weekend its half-hours are taken for like those of other days: a day of
        missing values would look like drift for weeks.
        """
        i, cells = MEASURES.index(measure), _cells(calendar)
        unseen = self._network[1][i][cells] == 0
        cells = np.where(unseen, (cells + HALF_HOURS) % CELLS, cells)
        sums, counts = (total[i][cells] for total in self._network)
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)

    def to_frame(self) -> pd.DataFrame:
        """The state as rows of the table `PROFILES`; TableError before the first day."""
        if self.valid_from is None:
            msg = f"table {PROFILES.name}: no day has been learned, so there is nothing to store"
            raise TableError(msg)
        stations, half_hours = len(self.stations), np.arange(CELLS) % HALF_HOURS
        columns: dict[str, Any] = {
            "station_id": pd.array(self.stations, dtype="str").repeat(CELLS),
            "valid_from": pd.Timestamp(self.valid_from, tz=UTC).as_unit("ms"),
            "weekend": np.tile(np.arange(CELLS) >= HALF_HOURS, stations),
            "half_hour": np.tile(half_hours, stations).astype(np.int16),
        }
        for i, name in enumerate(MEASURES):
            columns[f"{name}_sum"] = self.sums[i].reshape(-1)
            columns[f"{name}_n"] = self.counts[i].reshape(-1)
        return pd.DataFrame(columns)

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> "ProfileState":
        """The state stored as `frame`, rows in any order."""
        rows = frame.sort_values(["station_id", "weekend", "half_hour"])
        stations = tuple(rows["station_id"].unique())
        days = rows["valid_from"].unique()
        if len(days) != 1 or len(rows) != len(stations) * CELLS:
            msg = (
                f"table {PROFILES.name}: expected {CELLS} rows per station of one valid_from, got"
                f" {len(rows)} rows of {len(stations)} stations and {len(days)} days"
            )
            raise TableError(msg)
        shape = (len(stations), CELLS)
        sums, counts = (
            np.array([rows[f"{name}_{kind}"].to_numpy().reshape(shape) for name in MEASURES])
            for kind in ("sum", "n")
        )
        return cls(stations, sums, counts, days[0].date())

    @cached_property
    def _network(self) -> tuple[Sums, Sums]:
        """Sums and numbers over all stations, (measures, cells)."""
        return self.sums.sum(axis=1), self.counts.sum(axis=1)

    @cached_property
    def _totals(self) -> tuple[Sums, Sums]:
        """Sums and numbers over all cells, (measures, stations)."""
        return self.sums.sum(axis=2), self.counts.sum(axis=2)

    def _copy_over(self, stations: Iterable[str]) -> "ProfileState":
        """A copy over `stations`, a superset; nothing known of new ones."""
        aligned = self.empty(stations)
        places = aligned.places(self.stations)
        aligned.sums[:, places] = self.sums
        aligned.counts[:, places] = self.counts
        return aligned


def _of(values: Sums, places: Seconds) -> Sums:
    """`values` (..., stations) of the stations at `places`; 0 for one without history."""
    return np.where(places >= 0, values[..., places], 0)


def _cells(calendar: Calendar) -> Seconds:
    return calendar.weekend * HALF_HOURS + calendar.minute // HALF_HOUR_MIN


def _midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def _add(totals: Sums, values: npt.NDArray[Any], *, columns: Seconds, cells: Seconds) -> None:
    """Add `values` (slots, stations) to the cells of their slots; runs of a cell first."""
    starts = np.flatnonzero(np.diff(cells, prepend=-1))
    runs = np.add.reduceat(values, starts, axis=0, dtype=np.int64)
    np.add.at(totals, (columns[None, :], cells[starts][:, None]), runs)


def _outcomes(grid: Grid, origins: Seconds, label: Label) -> Iterator[tuple[npt.NDArray[Any], Any]]:
    """Value and whether it is known, (origins, stations), in the order of MEASURES."""
    bikes, docks = (counts[origins].astype(np.int64) for counts in (grid.bikes, grid.docks))
    total = bikes + docks
    yield 1000 * bikes // np.maximum(total, 1), (bikes >= 0) & (docks >= 0) & (total > 0)
    for slots in (6, HOUR, AHEAD):
        later = grid.bikes[origins + slots]
        yield later - bikes, (later != MISSING) & (bikes != MISSING)
    change, complete = steps(grid.bikes), _next_hour(paired(grid.bikes), origins) == HOUR
    yield _next_hour(change.clip(min=0), origins), complete
    yield _next_hour((-change).clip(min=0), origins), complete
    for target in TARGETS:
        at_risk = (count_of(grid, target=target) >= 0) & ~already_out(
            grid, target=target, label=label
        )
        for horizon_min in (30, 120):
            out = out_at(grid, target=target, horizon_min=horizon_min, label=label)[origins]
            yield out == 1, at_risk[origins] & ~np.isnan(out)


def _next_hour(values: npt.NDArray[Any], origins: Seconds) -> Sums:
    """Sum over the hour after each origin."""
    sums = running(values)
    return sums[origins + HOUR + 1] - sums[origins + 1]


def _toward(prior: Values | float, sums: Sums, counts: Sums, *, weight: int) -> Values:
    return (sums + weight * prior) / (counts + weight)
