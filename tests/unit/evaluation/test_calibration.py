"""Beta calibration: better probabilities, same order."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from mlops_bikeshare.domain.errors import ModelError
from mlops_bikeshare.evaluation import scores
from mlops_bikeshare.evaluation.calibration import BetaCalibrator

Floats = NDArray[np.float64]


def overconfident(rows: int = 20_000, seed: int = 3) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    logit = rng.normal(-1, 1.5, rows)
    y = (rng.random(rows) < 1 / (1 + np.exp(-logit))).astype(float)
    return y, 1 / (1 + np.exp(-2.5 * logit - 1))


def test_overconfident_probabilities_become_honest_and_keep_their_order() -> None:
    y, p = overconfident()
    honest = BetaCalibrator.fit(y, p).apply(p)
    before, after = scores.ece(y, p), scores.ece(y, honest)
    assert before is not None
    assert after is not None
    assert before > 0.1
    assert after < 0.015
    assert scores.pr_auc(y, honest) == pytest.approx(scores.pr_auc(y, p), abs=1e-12)


def test_newton_finds_what_logistic_regression_finds() -> None:
    y, p = overconfident()
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    theirs.fit(np.column_stack([np.log(p), -np.log1p(-p)]), y)
    ours = BetaCalibrator.fit(y, p)
    assert [ours.a, ours.b] == pytest.approx(theirs.coef_[0].tolist(), abs=1e-3)
    assert ours.c == pytest.approx(theirs.intercept_[0], abs=1e-3)


@given(st.integers(0, 10_000), st.integers(2, 200))
def test_it_rises_strictly_whatever_the_labels(seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    y, p = (rng.random(rows) < 0.3).astype(float), rng.random(rows).round(2)
    y[:2] = 0, 1
    fitted = BetaCalibrator.fit(y, p)
    assert min(fitted.a, fitted.b) > 0
    assert np.all(np.diff(fitted.apply(np.linspace(0.01, 0.99, 99))) > 0)


def test_labels_against_the_grain_flatten_but_never_reverse() -> None:
    y, p = overconfident()
    fitted = BetaCalibrator.fit(1 - y, p)
    assert min(fitted.a, fitted.b) == pytest.approx(1e-3)
    assert fitted.apply(np.array([0.4, 0.6])) == pytest.approx(1 - y.mean(), abs=0.02)


def test_separable_data_settles_and_the_ends_stay_finite() -> None:
    fitted = BetaCalibrator.fit(np.array([0.0, 0, 1, 1]), np.array([0, 0.1, 0.9, 1]))
    ends = fitted.apply(np.array([0.0, 1.0, np.nan]))
    assert 0 <= ends[0] < 0.05
    assert 0.95 < ends[1] <= 1
    assert np.isnan(ends[2])


def test_rows_without_a_label_are_left_out_and_bad_rows_are_errors() -> None:
    y, p = overconfident(500)
    assert BetaCalibrator.fit(np.append(y, np.nan), np.append(p, 0.5)) == BetaCalibrator.fit(y, p)
    with pytest.raises(ModelError, match="both classes"):
        BetaCalibrator.fit(np.zeros(5), np.full(5, 0.5))
    with pytest.raises(ModelError, match="1 of 2 rows"):
        BetaCalibrator.fit(np.array([0.0, 1.0]), np.array([np.nan, 0.5]))


def test_json_brings_it_back_and_the_default_changes_nothing() -> None:
    fitted = BetaCalibrator.fit(*overconfident(500))
    assert BetaCalibrator.from_json(json.loads(json.dumps(fitted.to_json()))) == fitted
    p = np.linspace(0.01, 0.99, 9)
    assert BetaCalibrator().apply(p) == pytest.approx(p)
