from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import GridError, TableError
from mlops_bikeshare.domain.tables import PROFILES, pandera_schema
from mlops_bikeshare.features.calendar import Calendar
from mlops_bikeshare.features.offline import day_grid
from mlops_bikeshare.features.profiles import MEASURES, ProfileState

FRIDAY = date(2021, 7, 2)
SLOTS_PER_DAY = 288
Polls = Callable[..., pd.DataFrame]


def three_days(polls: Polls, seed: int = 5) -> pd.DataFrame:
    start = datetime(2021, 7, 2, tzinfo=UTC)
    return polls(seed, start=start, slots=3 * SLOTS_PER_DAY)


def learned(frame: pd.DataFrame, *, days: int, stations: pd.DataFrame, city: City) -> ProfileState:
    state = ProfileState.empty()
    for day in (FRIDAY + timedelta(days=i) for i in range(days)):
        grid = day_grid(frame, day=day, stations=stations)
        state = state.update(grid, day=day, zone=city.zone)
    return state


def noon_utc(day: date, *, city: City) -> Calendar:
    at = np.array([int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp())])
    return Calendar.at(at, zone=city.zone)


def assert_same(left: ProfileState, right: ProfileState) -> None:
    assert (left.stations, left.valid_from) == (right.stations, right.valid_from)
    np.testing.assert_array_equal(left.sums, right.sums)
    np.testing.assert_array_equal(left.counts, right.counts)


def test_nothing_that_happens_on_a_day_or_later_is_in_its_profiles(
    polls: Polls, station_list: pd.DataFrame, boston: City
) -> None:
    frame = three_days(polls)
    today = frame["slot"] >= pd.Timestamp("2021-07-04", tz=UTC)
    altered = frame.assign(
        num_bikes_available=frame["num_bikes_available"].mask(today, 0).astype(np.int16)
    )
    before = learned(frame, days=2, stations=station_list, city=boston)
    assert before.valid_from == date(2021, 7, 4)
    assert_same(before, learned(altered, days=2, stations=station_list, city=boston))
    after = learned(altered, days=3, stations=station_list, city=boston)
    assert (after.sums != learned(frame, days=3, stations=station_list, city=boston).sums).any()


def test_outcomes_of_the_last_two_hours_are_learned_with_the_next_day(
    polls: Polls, station_list: pd.DataFrame, boston: City
) -> None:
    change_120 = MEASURES.index("change_120")
    counted = [
        learned(three_days(polls), days=n, stations=station_list, city=boston)
        .counts[change_120]
        .sum(axis=-1)
        .tolist()
        for n in (1, 2, 3)
    ]
    assert counted == [[SLOTS_PER_DAY * n - 24] * 4 for n in (1, 2, 3)]


def test_a_cell_is_the_mean_of_its_half_hour_and_kind_of_day(
    polls: Polls, station_list: pd.DataFrame, boston: City
) -> None:
    frame = three_days(polls)
    state = learned(frame, days=3, stations=station_list, city=boston)
    bikes = frame.pivot_table(index="slot", columns="station_id", values="num_bikes_available")
    local = pd.DatetimeIndex(bikes.index).tz_convert("America/New_York")
    change = bikes.shift(-12) - bikes
    weekend_morning = (local.day_of_week >= 5) & (local.hour == 8) & (local.minute < 30)
    cell, measure = 48 + 16, MEASURES.index("change_60")
    np.testing.assert_array_equal(state.sums[measure, :, cell], change[weekend_morning].sum())
    np.testing.assert_array_equal(state.counts[measure, :, cell], change[weekend_morning].count())


@pytest.mark.parametrize(("slots", "expected"), [(0, 500), (36, 750), (10**6, 1000)])
def test_a_cell_outweighs_its_prior_as_slots_are_learned(
    boston: City, slots: int, expected: float
) -> None:
    # Over all its other cells the station is half full, as is the network of two stations.
    cell, i = 16, MEASURES.index("fill")
    state = ProfileState.empty(["a", "b"])
    state.counts[i], state.sums[i] = 10**7, 500 * 10**7
    state.counts[i, 0, cell], state.sums[i, 0, cell] = slots, 1000 * slots
    calendar = noon_utc(date(2021, 7, 5), city=boston)
    usual = state.usual("fill", places=state.places(["a"]), calendar=calendar)
    assert usual == pytest.approx(np.array([[expected]]), rel=0.06)


def test_a_station_without_history_gets_the_rhythm_of_the_network(
    polls: Polls, station_list: pd.DataFrame, boston: City
) -> None:
    state = learned(three_days(polls), days=3, stations=station_list, city=boston)
    calendar, i = noon_utc(date(2021, 7, 5), city=boston), MEASURES.index("fill")
    usual = state.usual("fill", places=state.places(["new"]), calendar=calendar)
    sums, counts = state.sums[i].sum(0), state.counts[i].sum(0)
    level = sums.sum() / counts.sum()
    expected = (sums[16] + 288 * level) / (counts[16] + 288)
    np.testing.assert_allclose(usual, expected, rtol=1e-6)


def test_before_the_first_day_nothing_is_usual(boston: City) -> None:
    state, calendar = ProfileState.empty(), noon_utc(FRIDAY, city=boston)
    for measure in MEASURES:
        usual = state.usual(measure, places=state.places(["000", "001"]), calendar=calendar)
        assert usual.shape == (1, 2)
        assert np.isnan(usual).all()
    with pytest.raises(TableError, match="no day has been learned"):
        state.to_frame()


def test_a_state_survives_its_table_in_any_row_order(
    polls: Polls, station_list: pd.DataFrame, boston: City
) -> None:
    state = learned(three_days(polls), days=2, stations=station_list, city=boston)
    frame = state.to_frame()
    pandera_schema(PROFILES).validate(frame)
    assert_same(ProfileState.from_frame(frame.sample(frac=1, random_state=1)), state)


def test_an_incomplete_table_is_an_error(
    polls: Polls, station_list: pd.DataFrame, boston: City
) -> None:
    frame = learned(three_days(polls), days=1, stations=station_list, city=boston).to_frame()
    with pytest.raises(TableError, match="expected 96 rows per station"):
        ProfileState.from_frame(frame.iloc[1:])


def test_a_day_cannot_be_learned_twice(
    polls: Polls, station_list: pd.DataFrame, boston: City
) -> None:
    frame = three_days(polls)
    state = learned(frame, days=2, stations=station_list, city=boston)
    grid = day_grid(frame, day=FRIDAY, stations=station_list)
    with pytest.raises(GridError, match="cannot be learned again"):
        state.update(grid, day=FRIDAY, zone=boston.zone)


def test_a_new_station_joins_and_an_old_one_keeps_its_history(
    polls: Polls, station_list: pd.DataFrame, boston: City
) -> None:
    frame = three_days(polls)
    first = learned(frame, days=1, stations=station_list.iloc[:2], city=boston)
    grid = day_grid(frame, day=date(2021, 7, 3), stations=station_list.iloc[1:])
    second = first.update(grid, day=date(2021, 7, 3), zone=boston.zone)
    assert second.stations == ("000", "001", "002", "003")
    np.testing.assert_array_equal(second.sums[:, 0], first.sums[:, 0])
    assert second.counts[0].sum(axis=1).tolist() == [264, 264 + 288, 288, 288]
