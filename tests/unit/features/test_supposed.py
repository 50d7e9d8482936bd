"""Supposed counts and times: the kernel's own answer, and nothing of the grid is touched."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from mlops_bikeshare.domain.errors import GridError
from mlops_bikeshare.domain.windows import SLOT_S, Window
from mlops_bikeshare.features import supposed
from mlops_bikeshare.features.definition import FEATURE_NAMES
from mlops_bikeshare.features.grid import LOOKBACK, MISSING, Grid
from mlops_bikeshare.features.online import row_at
from mlops_bikeshare.features.rows import known_grid
from mlops_bikeshare.flows.features import known_at, profiles_for, station_list
from tests.unit.flows import lived, tiny

HELD, SUPPOSED = tiny.DOCKS, 7


class Known:
    """A tiny city at a decision time."""

    def __init__(self, home: Path) -> None:
        ws, self.city = lived.workspace(home)
        self.status = known_at(ws, self.city, lived.DT)
        self.stations = station_list(ws, self.city, day=lived.DT.date())
        self.profiles = profiles_for(ws, self.city, lived.DT.date())
        window = Window(lived.DT - LOOKBACK, lived.DT + timedelta(seconds=SLOT_S))
        self.grid = known_grid(self.status, window=window, stations=self.stations)

    def rows(self, grid: Grid) -> np.ndarray:
        return supposed.rows(grid, stations=self.stations, city=self.city, profiles=self.profiles)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Known:
    return Known(tmp_path_factory.mktemp("home"))


def unchanged(known: Known) -> np.ndarray:
    return np.full(len(known.grid.stations), MISSING, dtype=np.int16)


def test_nothing_supposed_gives_the_online_row_bit_for_bit(known: Known) -> None:
    online = row_at(
        known.status,
        dt=lived.DT,
        stations=known.stations,
        city=known.city,
        profiles=known.profiles,
    )
    found = known.rows(supposed.with_bikes(known.grid, unchanged(known)))
    assert np.array_equal(found, online[list(FEATURE_NAMES)].to_numpy(), equal_nan=True)


def test_supposed_bikes_give_what_a_feed_with_those_bikes_would_have_given(known: Known) -> None:
    bikes = unchanged(known)
    bikes[3] = SUPPOSED
    assert known.grid.bikes[-1, 3] != SUPPOSED
    newest = known.status["slot"] == known.status["slot"].max()
    here = newest & (known.status["station_id"] == tiny.STATIONS[3])
    told = known.status.assign(
        num_bikes_available=known.status["num_bikes_available"].mask(here, SUPPOSED),
        num_docks_available=known.status["num_docks_available"].mask(here, HELD - SUPPOSED),
    )
    online = row_at(
        told, dt=lived.DT, stations=known.stations, city=known.city, profiles=known.profiles
    )
    found = known.rows(supposed.with_bikes(known.grid, bikes))
    assert np.array_equal(found, online[list(FEATURE_NAMES)].to_numpy(), equal_nan=True)
    before = known.rows(known.grid)
    moved = {n for n, a, b in zip(FEATURE_NAMES, found[3], before[3], strict=True) if a != b}
    assert {"bikes", "docks", "utilisation", "bikes_margin_30", "docks_expected_60"} <= moved


def test_the_grid_itself_stays_as_it_is(known: Known) -> None:
    before = known.grid.bikes.copy()
    bikes = unchanged(known)
    bikes[:] = 0
    changed = supposed.with_bikes(known.grid, bikes)
    assert (known.grid.bikes == before).all()
    assert (changed.bikes[:-1] == before[:-1]).all()
    assert (changed.docks[-1] == HELD).all()


def test_a_day_later_is_another_weekday_and_the_same_counts(known: Known) -> None:
    now = known.rows(known.grid)
    then = known.rows(supposed.shifted(known.grid, by_s=86_400))
    moved = {n for n, a, b in zip(FEATURE_NAMES, now[0], then[0], strict=True) if a != b}
    assert "weekday" in moved
    assert not moved & {"bikes", "docks", "age_min", "bikes_delta_30", "local_minute"}


@pytest.mark.parametrize("bikes", [HELD + 1, -2])
def test_bikes_that_do_not_fit_are_refused(known: Known, bikes: int) -> None:
    counts = unchanged(known)
    counts[0] = bikes
    with pytest.raises(GridError, match="more than it holds"):
        supposed.with_bikes(known.grid, counts)


def test_a_shift_of_half_a_slot_is_refused(known: Known) -> None:
    with pytest.raises(GridError, match="whole slots"):
        supposed.shifted(known.grid, by_s=150)
