from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import GridError
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.features.definition import FEATURE_NAMES
from mlops_bikeshare.features.grid import LOOKBACK
from mlops_bikeshare.features.offline import day_grid
from mlops_bikeshare.features.profiles import ProfileState
from mlops_bikeshare.features.rows import rows_at
from mlops_bikeshare.features.scale_free import EDGE, RATIO_NAMES, RATIOS, scale_free

DAY = date(2021, 7, 3)
COUNTS = ("num_bikes_available", "num_docks_available")
BY_EDGE = np.array([ratio.by_edge for ratio in RATIOS])
# Shares of stations that are out: THE features know the edge already, so scaling it is done there.
OUT_SHARES = ("near_bikeout", "near_dockout", "network_bikeout", "network_dockout")
Polls = Callable[..., pd.DataFrame]


@dataclass(frozen=True)
class FirstDay:
    """Rows of the first day of a small city, in bikes k times as many."""

    polls: Polls
    stations: pd.DataFrame
    city: City

    def rows(self, seed: int, *, k: int = 1, missed: float = 0.0) -> NDArray[np.float32]:
        start = Window.day(DAY).start - LOOKBACK
        status = self.polls(seed, start=start, slots=120, missed=missed, absent=0.1)
        status = status.assign(**{name: k * status[name] for name in COUNTS})
        stations = self.stations.assign(capacity=k * self.stations["capacity"])
        dts = [Window.day(DAY).start + timedelta(hours=h) for h in (0, 3, 6)]
        grid = day_grid(status, day=DAY, stations=stations)
        empty = ProfileState.empty()
        return rows_at(grid, dts=dts, stations=stations, city=self.city, profiles=empty).values


@pytest.fixture(scope="module")
def first_day(polls: Polls, station_list: pd.DataFrame, boston: City) -> FirstDay:
    return FirstDay(polls, station_list.astype({"capacity": "float64"}), boston)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), k=st.integers(1, 40), missed=st.sampled_from([0.0, 0.4]))
def test_k_times_the_bikes_and_docks_change_no_ratio(
    first_day: FirstDay, seed: int, k: int, missed: float
) -> None:
    small, large = first_day.rows(seed, missed=missed), first_day.rows(seed, k=k, missed=missed)
    of_small, of_large = scale_free(small), scale_free(large)
    np.testing.assert_allclose(of_large[:, ~BY_EDGE], of_small[:, ~BY_EDGE], rtol=1e-4, atol=1e-5)
    scaled_too = np.array([r.by_edge and r.name not in OUT_SHARES for r in RATIOS])
    of_large = scale_free(large, edge=k * EDGE)
    np.testing.assert_allclose(
        of_large[:, scaled_too], of_small[:, scaled_too], rtol=1e-4, atol=1e-5
    )


def test_ratios_to_the_edge_do_tell_two_bikes_from_forty(first_day: FirstDay) -> None:
    one, twenty = (scale_free(first_day.rows(1, k=k)) for k in (1, 20))
    edges = RATIO_NAMES.index("bikes_edges")
    np.testing.assert_allclose(twenty[:, edges], 20 * one[:, edges], rtol=1e-5)


def test_a_first_day_knows_every_ratio_of_a_listed_station(first_day: FirstDay) -> None:
    never = np.isnan(scale_free(first_day.rows(2))).all(axis=0)
    assert [RATIO_NAMES[i] for i in np.flatnonzero(never)] == []


def test_without_a_listed_capacity_a_station_is_as_large_as_it_shows(first_day: FirstDay) -> None:
    values = first_day.rows(3)
    column = values[:, FEATURE_NAMES.index("capacity")]
    unlisted = np.isnan(column)
    assert 0 < unlisted.sum() < len(unlisted)
    listed = values.copy()
    listed[:, FEATURE_NAMES.index("capacity")] = np.where(unlisted, 12, column)
    np.testing.assert_array_equal(scale_free(values), scale_free(listed))


def test_what_is_unknown_stays_unknown() -> None:
    ratios = scale_free(np.full((2, len(FEATURE_NAMES)), np.nan, dtype=np.float32))
    assert ratios.shape == (2, len(RATIO_NAMES))
    assert np.isnan(ratios).all()


@pytest.mark.parametrize(
    ("values", "edge", "words"),
    [
        (np.zeros((2, 3), dtype=np.float32), EDGE, "expected"),
        (np.zeros(3, dtype=np.float32), EDGE, "expected"),
        (np.zeros((1, len(FEATURE_NAMES)), dtype=np.float32), 0.0, "above 0"),
        (np.zeros((1, len(FEATURE_NAMES)), dtype=np.float32), np.nan, "above 0"),
    ],
)
def test_rows_of_other_features_and_an_edge_of_nothing_are_refused(
    values: NDArray[np.float32], edge: float, words: str
) -> None:
    with pytest.raises(GridError, match=words):
        scale_free(values, edge=edge)
