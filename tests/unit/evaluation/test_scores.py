"""Scores against scikit-learn, and where they are undefined."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from sklearn import metrics

from mlops_bikeshare.domain.errors import GridError, ModelError
from mlops_bikeshare.evaluation import scores

Floats = NDArray[np.float64]
TIED = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0]) | st.floats(0, 1)


@st.composite
def labelled(draw: st.DrawFn) -> tuple[Floats, Floats]:
    rows = draw(st.integers(2, 60))
    y = draw(hnp.arrays(np.float64, rows, elements=st.sampled_from([0.0, 1.0])))
    y[0], y[1] = 0, 1
    return y, draw(hnp.arrays(np.float64, rows, elements=TIED))


@given(labelled())
def test_scores_equal_scikit_learn_ties_included(rows: tuple[Floats, Floats]) -> None:
    y, p = rows
    assert scores.pr_auc(y, p) == pytest.approx(metrics.average_precision_score(y, p))
    assert scores.brier(y, p) == pytest.approx(metrics.brier_score_loss(y, p))
    assert scores.log_loss(y, p) == pytest.approx(metrics.log_loss(y, p), abs=1e-9)
    for threshold in (0.1, 0.3, 0.5):
        expected = metrics.f1_score(y, p >= threshold)
        assert scores.f1_at(y, p, threshold=threshold) == pytest.approx(expected)


@given(labelled())
def test_no_threshold_beats_the_best_one(rows: tuple[Floats, Floats]) -> None:
    y, p = rows
    best = scores.best_f1_threshold(y, p)
    assert best is not None
    reached = scores.f1_at(y, p, threshold=best)
    assert reached is not None
    assert reached == pytest.approx(max(metrics.f1_score(y, p >= t) for t in np.unique(p)))


@given(labelled(), st.randoms())
def test_row_order_and_unlabelled_rows_change_nothing(
    rows: tuple[Floats, Floats], random: Random
) -> None:
    y, p = rows
    order = list(range(y.size))
    random.shuffle(order)
    more_y, more_p = np.append(y[order], [np.nan, np.nan]), np.append(p[order], [0.3, np.nan])
    assert scores.pr_auc(more_y, more_p) == pytest.approx(scores.pr_auc(y, p))
    assert scores.ece(more_y, more_p) == pytest.approx(scores.ece(y, p))


@given(labelled())
def test_the_curve_ends_where_scikit_learn_ends(rows: tuple[Floats, Floats]) -> None:
    recall, precision, thresholds = scores.pr_curve(*rows)
    theirs = metrics.precision_recall_curve(*rows)
    assert precision[::-1] == pytest.approx(theirs[0][:-1])
    assert recall[::-1] == pytest.approx(theirs[1][:-1])
    assert thresholds[::-1] == pytest.approx(theirs[2])


def test_one_class_only_is_undefined_not_zero() -> None:
    p = np.array([0.2, 0.8])
    for y in (np.zeros(2), np.ones(2)):
        assert scores.pr_auc(y, p) is None
    assert scores.f1_at(np.zeros(2), p, threshold=0.5) is None
    assert scores.best_f1_threshold(np.zeros(2), p) is None
    nothing = np.array([np.nan, np.nan])
    assert [f(nothing, p) for f in (scores.brier, scores.ece, scores.log_loss)] == [None] * 3
    assert scores.skill(0.1, 0.0) is None
    assert scores.skill(None, 0.2) is None


def test_a_labelled_row_without_a_probability_is_an_error() -> None:
    y = np.array([1.0, 0.0])
    with pytest.raises(ModelError, match="1 of 2 labelled rows"):
        scores.brier(y, np.array([np.nan, 0.5]))
    with pytest.raises(ModelError):
        scores.brier(y, np.array([1.5, 0.5]))
    with pytest.raises(GridError):
        scores.brier(y, np.array([0.5]))


def test_reliability_shows_empty_bins_as_missing_and_one_as_the_last_bin() -> None:
    mean_p, rate, rows = scores.reliability(
        np.array([0.0, 1, 1]), np.array([0.05, 0.15, 1.0]), bins=10
    )
    assert rows.tolist() == [1, 1, 0, 0, 0, 0, 0, 0, 0, 1]
    assert rate[9] == mean_p[9] == 1
    assert np.isnan(rate[2:9]).all()


def test_ece_is_the_weighted_gap() -> None:
    y, p = np.array([0.0, 1, 0, 1]), np.array([0.2, 0.2, 0.2, 0.8])
    assert scores.ece(y, p) == pytest.approx(0.75 * abs(1 / 3 - 0.2) + 0.25 * 0.2)


def test_onset_rows_are_those_not_out_now_and_an_unknown_now_is_neither() -> None:
    y = np.array([1.0, 1, 0, 1, np.nan])
    out_now = np.array([1.0, 0, 0, np.nan, 0])
    p = np.array([0.9, 0.6, 0.4, 0.5, 0.1])
    found = scores.score(y, p, already_out=out_now, threshold=0.5)
    assert (found.rows, found.onset_rows) == (4, 2)
    assert (found.base_rate, found.onset_base_rate) == (0.75, 0.5)
    assert found.onset_brier == pytest.approx(0.16)
    assert found.onset_pr_auc == 1
    assert found.f1 == 1
    assert scores.score(y, p, already_out=out_now, threshold=None).f1 is None
