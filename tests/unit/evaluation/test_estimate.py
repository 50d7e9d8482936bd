"""Expected scores agree with the scores of outcomes drawn from the same probabilities."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_bikeshare.evaluation.estimate import expected_brier, expected_pr_auc
from mlops_bikeshare.evaluation.scores import score

ROWS = 50_000


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), skew=st.floats(0.3, 4))
def test_the_expected_scores_are_those_of_outcomes_drawn_from_the_probabilities(
    seed: int, skew: float
) -> None:
    rng = np.random.default_rng(seed)
    p = rng.beta(skew, 2.0, ROWS)
    y = (rng.random(ROWS) < p).astype(np.float64)
    seen = score(y, p, already_out=np.zeros(ROWS, dtype=bool), threshold=0.4)
    assert expected_brier(p) == pytest.approx(seen.brier, abs=0.01)
    assert expected_pr_auc(p) == pytest.approx(seen.pr_auc, abs=0.02)


def test_certain_answers_promise_perfection_and_a_constant_one_its_base_rate() -> None:
    certain = np.array([0.0, 1.0, 1.0, 0.0])
    assert expected_brier(certain) == 0
    assert expected_pr_auc(certain) == 1
    assert expected_pr_auc(np.full(1000, 0.2)) == pytest.approx(0.2)


def test_no_answers_promise_nothing() -> None:
    nothing = np.array([np.nan, np.nan])
    assert expected_brier(nothing) is expected_pr_auc(nothing) is None
