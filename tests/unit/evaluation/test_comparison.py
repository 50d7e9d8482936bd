"""Champion and challenger are compared on rows that both answered."""

import numpy as np

from mlops_bikeshare.evaluation.comparison import compare


def test_the_better_model_has_an_interval_below_zero() -> None:
    rng = np.random.default_rng(1)
    p = rng.random(6000)
    y = (rng.random(6000) < p).astype(float)
    worse = np.clip(p + rng.normal(0, 0.2, 6000), 0, 1)
    blocks = np.arange(6000) // 12
    better = compare("bikeout", y, p, worse, blocks, seed=1)
    assert better is not None
    assert better.high < 0
    mirrored = compare("bikeout", y, worse, p, blocks, seed=1)
    assert mirrored is not None
    assert (mirrored.low > 0, mirrored.difference) == (True, -better.difference)


def test_rows_that_one_side_did_not_answer_are_left_out_for_both() -> None:
    y = np.array([1.0, 0, 1, np.nan, 1])
    p = np.array([0.9, np.nan, 0.8, 0.5, 0.7])
    q = np.array([0.5, 0.5, 0.5, 0.5, 0.5])
    found = compare("bikeout", y, p, q, np.array([1, 1, 2, 2, 3]), seed=1)
    assert found is not None
    assert found.rows == 3
    assert compare("bikeout", y, p, q, np.ones(5, dtype=int), seed=1) is None
    assert compare("bikeout", y, p * np.nan, q, np.arange(5), seed=1) is None
