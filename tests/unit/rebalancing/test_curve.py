"""The curve of stockout minutes: what bikes brought and taken do to it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mlops_bikeshare.domain.errors import GridError
from mlops_bikeshare.rebalancing import curve
from tests.unit.rebalancing.made import one_station

MOVED = np.arange(-10, 11)
chances = arrays(np.float64, 12, elements=st.floats(0, 1))


@settings(max_examples=40, deadline=None)
@given(p_bikeout=chances, p_dockout=chances, flow=st.floats(0, 60))
def test_no_bike_moved_gives_the_models_own_minutes(
    p_bikeout: np.ndarray, p_dockout: np.ndarray, flow: float
) -> None:
    station = one_station(p_bikeout=p_bikeout, p_dockout=p_dockout, flow=flow)
    (found,) = curve.minutes(station, np.array([0]))[:, 0]
    assert found == pytest.approx(10 * (p_bikeout + p_dockout).sum(), abs=0.01)


@settings(max_examples=40, deadline=None)
@given(p_bikeout=chances, flow=st.floats(0, 60))
def test_every_bike_brought_makes_a_bike_stockout_less_likely(
    p_bikeout: np.ndarray, flow: float
) -> None:
    station = one_station(p_bikeout=p_bikeout, p_dockout=np.zeros(12), flow=flow)
    rides = curve.lost_rides(station, MOVED)[0]
    assert (np.diff(rides) <= 1e-12).all()


def test_nothing_changes_before_the_van_is_there() -> None:
    soon = np.where(np.arange(12) < 2, 0.9, 0.0)
    station = one_station(p_bikeout=soon, p_dockout=np.zeros(12), flow=6)
    before, after = curve.minutes(station, np.array([0, 8]), arrive_min=20)[0]
    assert before == pytest.approx(18, abs=0.01)
    assert after >= 18 - 0.01


def test_a_station_of_unknown_flow_has_an_unknown_curve() -> None:
    station = one_station(p_bikeout=np.full(12, 0.5), p_dockout=np.zeros(12), flow=np.nan)
    assert np.isnan(curve.minutes(station, MOVED)).all()


def test_a_probability_above_one_is_refused() -> None:
    with pytest.raises(GridError, match=r"\[0, 1\]"):
        one_station(p_bikeout=np.full(12, 1.5), p_dockout=np.zeros(12), flow=1)


@settings(max_examples=40, deadline=None)
@given(costs=arrays(np.float64, st.integers(1, 25), elements=st.floats(-1e3, 1e3)))
def test_the_hull_is_convex_below_the_costs_and_meets_both_ends(costs: np.ndarray) -> None:
    slopes = curve.hull(costs)
    assert (np.diff(slopes) >= -1e-9).all()
    below = costs[0] + np.concatenate([[0.0], np.cumsum(slopes)])
    assert (below <= costs + 1e-6).all()
    assert below[-1] == pytest.approx(costs[-1], abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(costs=arrays(np.float64, st.integers(2, 25), elements=st.floats(-1e3, 1e3)))
def test_no_convex_curve_below_the_costs_lies_above_the_hull(costs: np.ndarray) -> None:
    """The greatest: at each point it is the lowest of all chords that span it."""
    below = costs[0] + np.concatenate([[0.0], np.cumsum(curve.hull(costs))])
    n = len(costs)
    for k in range(n):
        chords = [
            costs[a] + (costs[b] - costs[a]) * (k - a) / max(b - a, 1)
            for a in range(k + 1)
            for b in range(k, n)
        ]
        assert below[k] == pytest.approx(min(chords), abs=1e-6)
