from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_bikeshare.domain.errors import GridError
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.features.grid import Grid, TimeColumn

START = datetime(2021, 7, 2, 20, tzinfo=UTC)
NAMES = ["000", "001", "002", "003"]
Polls = Callable[..., pd.DataFrame]
FIELDS = ("bikes", "docks", "renting", "returning", "last_reported", "observed")


def grid_of(
    frame: pd.DataFrame, *, slots: int = 12, stations: list[str] = NAMES, by: TimeColumn = "slot"
) -> Grid:
    window = Window(START, START + timedelta(minutes=5 * slots))
    return Grid.from_status(frame, stations=stations, window=window, time_column=by)


def without(frame: pd.DataFrame, *slots: int) -> pd.DataFrame:
    missed = [pd.Timestamp(START + timedelta(minutes=5 * slot)) for slot in slots]
    return frame[~frame["slot"].isin(missed)]


def assert_same(left: Grid, right: Grid) -> None:
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)


def test_every_count_lands_in_its_slot_and_station(polls: Polls) -> None:
    frame = polls(1)
    wide = frame.pivot_table(index="slot", columns="station_id", values="num_bikes_available")
    grid = grid_of(frame)
    np.testing.assert_array_equal(grid.bikes, wide.to_numpy())
    assert grid.bikes.dtype == np.int16
    assert grid.stations == tuple(NAMES)


def test_a_missed_poll_is_an_empty_slot_not_a_shifted_row(polls: Polls) -> None:
    whole, gap = grid_of(polls(1)), grid_of(without(polls(1), 5))
    assert (gap.bikes[5] == -1).all()
    assert not gap.observed[5].any()
    np.testing.assert_array_equal(gap.bikes[6:], whole.bikes[6:])


def test_a_missed_poll_is_carried_while_its_reports_grow_older(polls: Polls) -> None:
    gap = grid_of(without(polls(1), 5)).carried()
    np.testing.assert_array_equal(gap.bikes[5], gap.bikes[4])
    np.testing.assert_array_equal(gap.last_reported[5], gap.last_reported[4])
    assert not gap.observed[5].any()


def test_nothing_is_carried_into_slots_before_the_first_poll(polls: Polls) -> None:
    assert (grid_of(without(polls(1), 0, 1)).carried().bikes[:2] == -1).all()


def test_a_station_absent_from_a_poll_that_arrived_is_missing(polls: Polls) -> None:
    frame = polls(1)
    gone = (frame["station_id"] == "001") & (frame["slot"] == frame["slot"].unique()[5])
    grid = grid_of(frame[~gone]).carried()
    assert grid.bikes[5, 1] == -1
    assert (np.delete(grid.bikes[5], 1) >= 0).all()


def test_counts_are_missing_from_the_hour_at_which_the_feed_counts_as_down(polls: Polls) -> None:
    frame = polls(1, slots=30)
    frame["last_reported"] = frame["slot"]
    grid = grid_of(frame[frame["slot"] <= pd.Timestamp(START)], slots=30).carried()
    assert (grid.bikes[:12] >= 0).all()
    assert (grid.bikes[12:] == -1).all()


def test_a_feed_that_repeats_old_reports_is_down_though_polls_arrive(polls: Polls) -> None:
    frame = polls(1)
    frame["last_reported"] = pd.Timestamp(START - timedelta(hours=1)).as_unit("ms")
    assert (grid_of(frame).bikes == -1).all()


def test_a_station_silent_for_a_day_is_missing_and_the_others_are_not(polls: Polls) -> None:
    frame = polls(1)
    old = pd.Timestamp(START - timedelta(hours=24)).as_unit("ms")
    frame["last_reported"] = frame["last_reported"].mask(frame["station_id"] == "002", old)
    grid = grid_of(frame)
    assert grid.bikes[0, 2] >= 0
    assert (grid.bikes[1:, 2] == -1).all()
    assert (np.delete(grid.bikes, 2, axis=1) >= 0).all()


def test_a_report_time_the_feed_does_not_give_is_that_of_the_document(polls: Polls) -> None:
    frame = polls(1)
    frame["last_reported"] = pd.Series(pd.NaT, index=frame.index, dtype="datetime64[ms, UTC]")
    grid = grid_of(frame)
    np.testing.assert_array_equal(grid.last_reported[:, 0], grid.slot_ends - 20)


def test_a_station_clock_ahead_of_ours_counts_as_now(polls: Polls) -> None:
    frame = polls(1)
    frame["last_reported"] = frame["slot"] + timedelta(days=400)
    np.testing.assert_array_equal(grid_of(frame).last_reported[:, 0], grid_of(frame).slot_ends)


@pytest.mark.parametrize("dtype", ["boolean", "object"])
def test_a_flag_the_feed_does_not_give_counts_as_in_service(polls: Polls, dtype: str) -> None:
    frame = polls(1)
    for flag in ("is_installed", "is_renting", "is_returning"):
        frame[flag] = pd.Series([None] * len(frame), index=frame.index, dtype=dtype)
    grid = grid_of(frame)
    assert grid.renting.all()
    assert grid.returning.all()


def test_a_station_not_installed_neither_rents_nor_returns(polls: Polls) -> None:
    grid = grid_of(polls(1).assign(is_installed=False))
    assert not grid.renting.any()
    assert not grid.returning.any()


@pytest.mark.parametrize("dtype", ["Int16", "float64"])
def test_docks_the_feed_does_not_give_are_missing_not_zero(polls: Polls, dtype: str) -> None:
    frame = polls(1)
    frame["num_docks_available"] = pd.Series([None] * len(frame), index=frame.index, dtype=dtype)
    assert (grid_of(frame).docks == -1).all()


def test_the_newest_document_of_a_slot_wins(polls: Polls) -> None:
    frame = polls(1)
    older = frame.assign(
        num_bikes_available=np.int16(99), observed_at=frame["observed_at"] - timedelta(seconds=60)
    )
    assert_same(grid_of(pd.concat([frame, older])), grid_of(frame))
    assert_same(grid_of(pd.concat([older, frame])), grid_of(frame))


def test_truth_is_placed_by_the_time_of_the_document(polls: Polls) -> None:
    frame = polls(1)
    late = frame.assign(slot=frame["slot"] + timedelta(minutes=5))
    assert_same(grid_of(late, by="observed_at"), grid_of(frame))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), repeats=st.integers(0, 40))
def test_row_order_duplicates_and_other_stations_change_nothing(
    polls: Polls, seed: int, repeats: int
) -> None:
    frame = polls(seed, missed=0.2, absent=0.1)
    other = polls(seed + 1).assign(station_id=lambda f: "other-" + f["station_id"])
    noisy = pd.concat([frame, frame.head(repeats), other]).sample(frac=1, random_state=seed)
    assert_same(grid_of(noisy).carried(), grid_of(frame).carried())


def test_a_listed_station_without_rows_is_missing_throughout(polls: Polls) -> None:
    grid = grid_of(polls(1), stations=[*NAMES, "zzz"])
    assert (grid.bikes[:, -1] == -1).all()


def test_an_empty_frame_is_a_grid_of_missing_counts(polls: Polls) -> None:
    assert (grid_of(polls(1).iloc[:0]).carried().bikes == -1).all()


def test_a_time_that_is_not_a_slot_of_the_grid_is_an_error(polls: Polls) -> None:
    grid = grid_of(polls(1))
    assert grid.index_of(grid.slot_ends).tolist() == list(range(12))
    for wrong in (grid.start_s - 300, grid.start_s + 1, grid.start_s + 12 * 300):
        with pytest.raises(GridError, match="outside the grid"):
            grid.index_of(wrong)


def test_a_window_without_a_slot_and_an_unknown_time_column_are_errors(polls: Polls) -> None:
    window = Window(START + timedelta(seconds=1), START + timedelta(seconds=2))
    with pytest.raises(GridError, match="no five-minute slot"):
        Grid.from_status(polls(1), stations=NAMES, window=window)
    with pytest.raises(GridError, match="not by 'dt'"):
        grid_of(polls(1), by="dt")  # type: ignore[arg-type]
