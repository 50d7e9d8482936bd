import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_bikeshare.domain.errors import GridError
from mlops_bikeshare.evaluation.climatology import Climatology


def test_rates_settle_on_what_is_often_seen() -> None:
    rng = np.random.default_rng(0)
    cell = np.arange(40_000) % 2
    truth = np.array([[0.1, 0.5], [0.6, 0.9]])
    outcome = (rng.random((40_000, 2)) < truth[cell]).astype(np.int8)
    usual = Climatology.fit(outcome, cell, cells=2)
    np.testing.assert_allclose(usual.rates, truth, atol=0.01)
    np.testing.assert_array_equal(
        usual.predict(np.array([1, 0]), np.array([0, 1])), usual.rates[[0, 1], [1, 0]]
    )


def test_a_station_without_history_gets_the_networks_rhythm() -> None:
    cell = np.arange(2000) % 2
    outcome = np.full((2000, 3), -1, dtype=np.int8)
    outcome[:, :2] = cell[:, None]
    usual = Climatology.fit(outcome, cell, cells=2)
    assert usual.rates[0, 2] < 0.3
    assert usual.rates[1, 2] > 0.7


def test_a_cell_never_seen_has_the_stations_own_level() -> None:
    outcome = np.tile(np.array([[1, 0]], dtype=np.int8), (5000, 1))
    usual = Climatology.fit(outcome, np.zeros(5000, dtype=np.int64), cells=2)
    assert usual.rates[1, 0] > 0.9
    assert usual.rates[1, 1] < 0.1


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), unknown=st.floats(0, 0.9))
def test_rates_are_probabilities_and_unknown_outcomes_do_not_count(
    seed: int, unknown: float
) -> None:
    rng = np.random.default_rng(seed)
    outcome = rng.integers(0, 2, (60, 3)).astype(np.int8)
    outcome[1:][rng.random((59, 3)) < unknown] = -1
    cell = rng.integers(0, 4, 60)
    rates = Climatology.fit(outcome, cell, cells=4).rates
    assert ((rates > 0) & (rates < 1)).all()
    padded = np.concatenate([outcome, np.full((9, 3), -1, dtype=np.int8)])
    longer = Climatology.fit(padded, np.append(cell, np.zeros(9, dtype=int)), cells=4)
    np.testing.assert_array_equal(longer.rates, rates)


def test_nothing_known_is_an_error_not_a_rate() -> None:
    nothing = np.full((5, 2), -1, dtype=np.int8)
    with pytest.raises(GridError, match="nothing to learn"):
        Climatology.fit(nothing, np.zeros(5, dtype=int), cells=1)
    with pytest.raises(GridError, match="cells of 4"):
        Climatology.fit(nothing, np.zeros(4, dtype=int), cells=1)
