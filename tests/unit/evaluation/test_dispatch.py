import numpy as np
import pytest

from mlops_bikeshare.domain.errors import GridError
from mlops_bikeshare.evaluation.dispatch import at_budget, minutes_out, minutes_to_onset


def test_minutes_to_onset_are_those_to_the_first_slot_out() -> None:
    outcome = np.zeros((30, 4), dtype=np.int8)
    outcome[3:6, 0] = 1
    outcome[13, 1] = 1  # after the hour
    outcome[:, 2] = -1
    outcome[1:4, 3] = -1
    outcome[4, 3] = 1
    slot, station = np.zeros(4, dtype=np.int64), np.arange(4)
    np.testing.assert_array_equal(
        minutes_to_onset(outcome, slot, station), [15, np.inf, np.nan, 20]
    )
    np.testing.assert_array_equal(minutes_out(outcome, slot, station), [15, 5, 0, 5])


def test_beyond_the_end_nothing_is_known() -> None:
    outcome = np.ones((3, 1), dtype=np.int8)
    last = np.array([2])
    assert np.isnan(minutes_to_onset(outcome, last, np.array([0]))).all()
    assert minutes_out(outcome, last, np.array([0])).tolist() == [0]


P = np.array([0.9, 0.8, 0.1, 0.2, 0.7, 0.6])
HOUR = np.array([0, 0, 0, 1, 1, 1])
ONSET = np.array([10.0, np.inf, 30.0, np.inf, 20.0, np.nan])
OUT = np.array([60.0, 5.0, 40.0, 0.0, 100.0, 0.0])


def test_a_budget_takes_the_likeliest_of_each_hour() -> None:
    one = at_budget(P, hour=HOUR, onset_min=ONSET, out_min=OUT, stations_per_hour=1)
    assert (one.hours, one.alerts, one.onsets) == (2, 2, 3)
    assert (one.precision, one.lead_min) == (1, 15)
    assert one.recall == pytest.approx(2 / 3)
    assert one.best_recall == pytest.approx(2 / 3)
    assert one.minutes_covered == pytest.approx(160 / 200)


def test_a_larger_budget_finds_more_and_is_right_less_often() -> None:
    two = at_budget(P, hour=HOUR, onset_min=ONSET, out_min=OUT, stations_per_hour=2)
    assert two.alerts == 4
    assert two.precision == 0.5
    ample = at_budget(P, hour=HOUR, onset_min=ONSET, out_min=OUT, stations_per_hour=9)
    assert (ample.recall, ample.best_recall, ample.minutes_covered) == (1, 1, 1)
    assert ample.alerts == 5  # the row whose hour nobody saw is not judged


def test_row_order_does_not_matter() -> None:
    turned = [values[::-1] for values in (P, HOUR, ONSET, OUT)]
    for budget in (1, 2, 3):
        assert at_budget(
            turned[0],
            hour=turned[1],
            onset_min=turned[2],
            out_min=turned[3],
            stations_per_hour=budget,
        ) == at_budget(P, hour=HOUR, onset_min=ONSET, out_min=OUT, stations_per_hour=budget)


def test_without_onsets_recall_is_unknown_not_zero() -> None:
    none = np.full(6, np.inf)
    calm = at_budget(P, hour=HOUR, onset_min=none, out_min=OUT, stations_per_hour=1)
    assert (calm.precision, calm.recall, calm.lead_min, calm.minutes_covered) == (
        0,
        None,
        None,
        None,
    )


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(GridError, match="at least 1"):
        at_budget(P, hour=HOUR, onset_min=ONSET, out_min=OUT, stations_per_hour=0)
    with pytest.raises(GridError, match="differ in number"):
        at_budget(P[:2], hour=HOUR, onset_min=ONSET, out_min=OUT, stations_per_hour=1)
