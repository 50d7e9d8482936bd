import numpy as np
import pytest

from mlops_bikeshare.domain.errors import GridError
from mlops_bikeshare.evaluation.alarms import alarm_threshold, alarms_at

RNG = np.random.default_rng(2)
P = RNG.beta(0.5, 6, 20_000)
Y = (RNG.random(20_000) < P).astype(np.float64)


@pytest.mark.parametrize("ratio", [1.0, 4.0, 20.0])
def test_true_probabilities_alarm_where_the_expected_costs_meet(ratio: float) -> None:
    assert alarm_threshold(Y, P, cost_ratio=ratio) == pytest.approx(1 / (1 + ratio), abs=0.07)


@pytest.mark.parametrize("ratio", [1.0, 4.0, 20.0])
def test_no_other_threshold_saves_more(ratio: float) -> None:
    ours = alarm_threshold(Y, P, cost_ratio=ratio)
    best = alarms_at(Y, P, threshold=ours, cost_ratio=ratio).cost_saved
    assert best is not None
    for other in np.linspace(0, 1, 101):
        saved = alarms_at(Y, P, threshold=float(other), cost_ratio=ratio).cost_saved
        assert saved is not None
        assert saved <= best + 1e-12


def test_dearer_misses_raise_more_alarms() -> None:
    thresholds = [alarm_threshold(Y, P, cost_ratio=r) for r in (0.5, 2, 8, 32)]
    assert thresholds == sorted(thresholds, reverse=True)


def test_where_no_alarm_pays_the_probability_itself_decides() -> None:
    useless = np.full(100, 0.01)
    y = np.zeros(100)
    y[0] = 1
    assert alarm_threshold(y, useless, cost_ratio=4) == 0.2
    assert alarm_threshold(np.zeros(3), np.full(3, 0.5), cost_ratio=3) == 0.25


def test_what_alarms_are_worth_is_counted() -> None:
    y = np.array([1.0, 0, 1, 0, np.nan])
    p = np.array([0.9, 0.8, 0.1, 0.2, 0.9])
    found = alarms_at(y, p, threshold=0.5, cost_ratio=4)
    assert (found.alarms, found.precision, found.recall) == (2, 0.5, 0.5)
    assert found.cost_saved == pytest.approx(1 - (4 + 1) / 8)
    nothing = alarms_at(np.zeros(2), np.zeros(2), threshold=0.5, cost_ratio=4)
    assert (nothing.precision, nothing.recall, nothing.cost_saved) == (None, None, None)


@pytest.mark.parametrize("ratio", [0, -1, np.inf, np.nan])
def test_a_cost_ratio_must_be_positive(ratio: float) -> None:
    with pytest.raises(GridError, match="expected a positive number"):
        alarm_threshold(Y, P, cost_ratio=ratio)
