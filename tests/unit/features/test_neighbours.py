import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_bikeshare.features.neighbours import NEAREST, Neighbours

_KM_PER_DEGREE = 111.2


def great_circle_km(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """All pairs, by the haversine formula."""
    north, east = np.radians(lat), np.radians(lon)
    a = np.sin((north[:, None] - north) / 2) ** 2
    b = np.cos(north)[:, None] * np.cos(north) * np.sin((east[:, None] - east) / 2) ** 2
    return np.asarray(2 * 6371 * np.arcsin(np.sqrt(a + b)))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), stations=st.integers(NEAREST + 1, 40))
def test_the_nearest_are_those_of_all_pairs(seed: int, stations: int) -> None:
    rng = np.random.default_rng(seed)
    lat, lon = 42 + rng.random(stations) / 10, -71 + rng.random(stations) / 10
    km = great_circle_km(lat, lon)
    np.fill_diagonal(km, np.inf)
    found = Neighbours.of(lat, lon)
    np.testing.assert_array_equal(found.places, np.argsort(km, axis=1)[:, :NEAREST])
    np.testing.assert_allclose(found.mean_km, np.sort(km, axis=1)[:, :NEAREST].mean(axis=1))


def test_a_station_without_a_position_has_no_neighbours_and_is_nobodys() -> None:
    lat = np.array([42.0, 42.01, np.nan, 42.03])
    found = Neighbours.of(lat, np.array([-71.0, -71.0, -71.0, np.nan]))
    assert found.places[:, 0].tolist() == [1, 0, -1, -1]
    assert (found.places[:, 1:] == -1).all()
    np.testing.assert_allclose(found.mean_km[:2], 0.01 * _KM_PER_DEGREE, rtol=1e-3)
    assert np.isnan(found.mean_km[2:]).all()
    values = found.mean(np.array([[1.0, 2.0, 3.0, 4.0]]))
    np.testing.assert_array_equal(values, [[2, 1, np.nan, np.nan]])


@pytest.mark.parametrize("stations", [0, 1])
def test_a_lone_station_has_no_neighbours(stations: int) -> None:
    found = Neighbours.of(np.full(stations, 42.0), np.full(stations, -71.0))
    assert found.places.shape == (stations, NEAREST)
    assert (found.places == -1).all()


def test_stations_at_one_place_are_neighbours_but_nobody_is_its_own() -> None:
    found = Neighbours.of(np.full(9, 42.0), np.full(9, -71.0))
    assert (found.places != np.arange(9)[:, None]).all()
    assert (found.places >= 0).all()
    np.testing.assert_array_equal(found.mean_km, 0)


def test_unknown_neighbours_are_left_out_not_counted_as_zero() -> None:
    lat = np.array([42.0, 42.01, 42.02])
    found = Neighbours.of(lat, np.full(3, -71.0))
    values = np.array([[4.0, np.nan, 8.0], [np.nan, np.nan, np.nan]])
    np.testing.assert_array_equal(found.mean(values)[0], [8, 6, 4])
    assert np.isnan(found.mean(values)[1]).all()
