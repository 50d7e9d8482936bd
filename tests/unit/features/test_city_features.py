from collections.abc import Callable
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pytest

from mlops_bikeshare.domain.city import City
from mlops_bikeshare.features.definition import FEATURE_NAMES
from mlops_bikeshare.features.offline import build_day, day_grid
from mlops_bikeshare.features.profiles import MEASURES, ProfileState

# A Tuesday whose profiles know the Monday before.
MONDAY, DAY = date(2021, 7, 5), date(2021, 7, 6)
Polls = Callable[..., pd.DataFrame]
Build = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture(scope="module")
def status(polls: Polls) -> pd.DataFrame:
    return polls(7, start=datetime(2021, 7, 4, 20, tzinfo=UTC), slots=53 * 12)


@pytest.fixture(scope="module")
def profiles(status: pd.DataFrame, station_list: pd.DataFrame, boston: City) -> ProfileState:
    grid = day_grid(status, day=MONDAY, stations=station_list)
    return ProfileState.empty().update(grid, day=MONDAY, zone=boston.zone)


@pytest.fixture(scope="module")
def build(station_list: pd.DataFrame, boston: City, profiles: ProfileState) -> Build:
    def table(frame: pd.DataFrame) -> pd.DataFrame:
        return build_day(frame, day=DAY, stations=station_list, city=boston, profiles=profiles)

    return table


@pytest.fixture(scope="module")
def table(build: Build, status: pd.DataFrame) -> pd.DataFrame:
    return build(status)


def at_noon(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["dt"] == pd.Timestamp("2021-07-06 12:00", tz=UTC)].reset_index(drop=True)


def test_pace_is_the_last_hour_over_the_same_hour_of_earlier_days(
    table: pd.DataFrame, profiles: ProfileState
) -> None:
    noon = at_noon(table)
    # 11:00 to 12:00 UTC is the half-hour from 7:00 in Boston, on.
    cell = 14
    for measure, word in (("gained_60", "in"), ("lost_60", "out")):
        i = MEASURES.index(measure)
        usual = profiles.sums[i, :, cell].sum() / profiles.counts[i, :, cell].sum()
        today = noon[f"bikes_{word}_60"].mean()
        np.testing.assert_allclose(noon[f"network_{word}_pace"], today / usual, rtol=1e-5)


def test_a_day_twice_as_lively_has_twice_the_pace(
    build: Build, status: pd.DataFrame, table: pd.DataFrame
) -> None:
    double = status.assign(num_bikes_available=2 * status["num_bikes_available"])
    for word in ("in", "out"):
        name = f"network_{word}_pace"
        np.testing.assert_allclose(build(double)[name], 2 * table[name], rtol=1e-5)


def test_the_network_differs_from_usual_by_the_bikes_under_way(
    build: Build, status: pd.DataFrame, table: pd.DataFrame
) -> None:
    # Every station of the test has twelve places; a bike less at each lowers its fill by 1/12.
    away = status["slot"] >= pd.Timestamp(DAY, tz=UTC)
    taken = (status["num_bikes_available"] > 0) & away
    fewer = status.assign(
        num_bikes_available=status["num_bikes_available"] - taken.astype(np.int16),
        num_docks_available=status["num_docks_available"] + taken.astype(np.int16),
    )
    name, before = "network_fill_above_usual", at_noon(table)
    drop = at_noon(build(fewer))[name] - before[name]
    share = (before["bikes"] > 0).mean()
    np.testing.assert_allclose(drop, -share / 12, atol=1e-3)


def test_the_margin_is_the_expected_count_in_spreads_of_random_riders(table: pd.DataFrame) -> None:
    noon = at_noon(table)
    spread = np.sqrt((noon["usual_gained_60"] + noon["usual_lost_60"]) / 2)
    for side in ("bikes", "docks"):
        expected = (noon[f"{side}_expected_30"] - 2.5) / spread
        np.testing.assert_allclose(noon[f"{side}_margin_30"], expected, rtol=1e-5)


def test_at_the_usual_pace_the_margin_follows_the_usual_flows(table: pd.DataFrame) -> None:
    noon = at_noon(table)
    gained = noon["usual_gained_60"] / 2 * noon["network_in_pace"].clip(0.2, 3)
    lost = noon["usual_lost_60"] / 2 * noon["network_out_pace"].clip(0.2, 3)
    for side, sign in (("bikes", 1), ("docks", -1)):
        expected = (noon[side] + sign * (gained - lost) - 2.5) / np.sqrt(gained + lost)
        np.testing.assert_allclose(noon[f"{side}_pace_margin_30"], expected, rtol=1e-4)


def test_before_any_usual_day_pace_and_margins_are_missing(
    status: pd.DataFrame, station_list: pd.DataFrame, boston: City
) -> None:
    none = ProfileState.empty()
    table = build_day(status, day=DAY, stations=station_list, city=boston, profiles=none)
    told = [n for n in FEATURE_NAMES if "pace" in n or "margin" in n or "above_usual" in n]
    assert len(told) > 8
    assert table[told].isna().all(axis=None)


def test_a_neighbour_without_bikes_is_seen_next_door(
    build: Build, status: pd.DataFrame, table: pd.DataFrame
) -> None:
    noon = pd.Timestamp("2021-07-06 12:00", tz=UTC)
    empty = (status["station_id"] == "001") & (status["slot"] == noon)
    changed = at_noon(
        build(status.assign(num_bikes_available=status["num_bikes_available"].mask(empty, 0)))
    )
    now, before, after = (
        dict(zip(frame["station_id"], frame[name].astype(float), strict=True))
        for frame, name in (
            (at_noon(table), "bikes"),
            (at_noon(table), "near_bikes"),
            (changed, "near_bikes"),
        )
    )
    assert before["000"] == pytest.approx((now["001"] + now["002"]) / 2)
    assert after["000"] == pytest.approx(now["002"] / 2)
    # The station whose own count changed has the neighbours that it had; 003 has no position.
    assert after["001"] == before["001"]
    assert np.isnan(after["003"])


def test_the_rest_of_the_day_is_not_in_what_is_usual(build: Build, status: pd.DataFrame) -> None:
    noon = pd.Timestamp("2021-07-06 12:00", tz=UTC)
    later = status["slot"] > noon
    altered = status.assign(num_bikes_available=status["num_bikes_available"].mask(later, 0))
    pd.testing.assert_frame_equal(at_noon(build(altered)), at_noon(build(status)))
