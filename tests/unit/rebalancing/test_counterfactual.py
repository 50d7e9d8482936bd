"""Recorded counts with moves applied: worked examples, and that no move changes nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mlops_bikeshare.rebalancing.counterfactual import Recorded, judge
from mlops_bikeshare.rebalancing.fleet import Pair

CAPACITY = 12


def recorded(giver: list[int], taker: list[int], *, usual: float = 0) -> Recorded:
    bikes = np.array([giver, taker], dtype=np.int16).T
    docks = np.where(bikes < 0, -1, CAPACITY - bikes).astype(np.int16)
    flow = np.full(2, float(usual))
    return Recorded(bikes=bikes, docks=docks, usual_in=flow, usual_out=flow, out_at_or_below=2)


def pair(bikes: int) -> Pair:
    return Pair(giver=0, taker=1, bikes=bikes, km=1.0)


def test_three_bikes_at_an_empty_station_end_its_stockout_when_the_van_is_there() -> None:
    seen = judge(recorded([8] * 7, [0] * 7), [pair(3)], arrive_slot=2)
    assert (seen.recorded_min, seen.moved_min) == (30, 5)
    assert (seen.planned, seen.bikes) == (3, 3)


def test_two_bikes_at_an_empty_station_save_nothing() -> None:
    assert judge(recorded([8] * 7, [0] * 7), [pair(2)], arrive_slot=2).saved_min == 0


def test_riders_that_no_record_shows_take_the_added_bikes_at_the_usual_pace() -> None:
    """Twelve an hour is one a slot: three bikes last from slot 1 until two are left in slot 2."""
    seen = judge(recorded([8] * 7, [0] * 7, usual=12), [pair(3)], arrive_slot=1)
    assert seen.saved_min == 5


def test_a_van_takes_only_the_bikes_that_are_there_when_it_comes() -> None:
    seen = judge(recorded([8, 2, 2, 2], [3] * 4), [pair(5)], arrive_slot=1)
    assert (seen.planned, seen.bikes) == (5, 2)


def test_bikes_that_find_no_room_are_not_moved() -> None:
    assert judge(recorded([8] * 4, [10] * 4), [pair(5)], arrive_slot=1).bikes == 2


def test_a_move_can_do_harm() -> None:
    seen = judge(recorded([4] * 4, [6] * 4), [pair(2)], arrive_slot=1)
    assert seen.saved_min == -15


def test_a_pair_whose_station_is_not_observed_on_arrival_is_not_moved() -> None:
    assert judge(recorded([8, -1, 8], [0] * 3), [pair(3)], arrive_slot=1).bikes == 0


counts = arrays(np.int16, 20, elements=st.integers(-1, CAPACITY))


@settings(max_examples=50, deadline=None)
@given(giver=counts, taker=counts, bikes=st.integers(1, 10), usual=st.floats(0, 30))
def test_bikes_moved_are_at_most_planned_and_minutes_within_the_two_hours(
    giver: np.ndarray, taker: np.ndarray, bikes: int, usual: float
) -> None:
    seen = judge(recorded(list(giver), list(taker), usual=usual), [pair(bikes)], arrive_slot=3)
    assert 0 <= seen.bikes <= bikes
    assert max(seen.recorded_min, seen.moved_min) <= 2 * 5 * 19
    if seen.bikes == 0:
        assert seen.saved_min == pytest.approx(0)
