import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_bikeshare.domain.errors import GridError
from mlops_bikeshare.evaluation.resampled import SCORES, draws, interval, resample
from mlops_bikeshare.evaluation.scores import score

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def rows(seed: int, *, n: int = 800, blocks: int = 6) -> Arrays:
    rng = np.random.default_rng(seed)
    p = np.round(rng.random(n), int(rng.integers(1, 4)))
    y = (rng.random(n) < p).astype(float)
    y[rng.random(n) < 0.1] = np.nan
    return y, p, rng.random(n) < 0.2, rng.integers(0, blocks, n)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_every_block_drawn_once_gives_the_plain_scores(seed: int) -> None:
    y, p, out, block = rows(seed)
    found = resample(y, p, already_out=out, block=block, weights=np.ones((1, 6)), threshold=0.4)
    plain = score(y, p, already_out=out, threshold=0.4)
    for name in SCORES:
        assert found[name][0] == pytest.approx(getattr(plain, name))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_a_draw_equals_the_scores_of_the_rows_it_repeats(seed: int) -> None:
    y, p, out, block = rows(seed)
    weights = draws(6, resamples=3, seed=seed)
    found = resample(y, p, already_out=out, block=block, weights=weights, threshold=0.4)
    for i, drawn in enumerate(weights):
        repeated = np.repeat(np.arange(len(y)), drawn[block].astype(int))
        plain = score(y[repeated], p[repeated], already_out=out[repeated], threshold=0.4)
        for name in SCORES:
            assert found[name][i] == pytest.approx(getattr(plain, name))


def test_many_distinct_probabilities_are_grouped_without_moving_the_score() -> None:
    rng = np.random.default_rng(3)
    p = rng.random(60_000) ** 3
    y = (rng.random(60_000) < p).astype(float)
    none, block = np.zeros(60_000, dtype=bool), np.zeros(60_000, dtype=int)
    found = resample(y, p, already_out=none, block=block, weights=np.ones((1, 1)), threshold=None)
    plain = score(y, p, already_out=none, threshold=None)
    assert found["pr_auc"][0] == pytest.approx(plain.pr_auc, abs=1e-3)
    assert np.isnan(found["f1"]).all()


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        p = np.full(2000, 0.3)
        y = (rng.random(2000) < 0.3).astype(float)
        found = resample(
            y,
            p,
            already_out=np.zeros(2000, dtype=bool),
            block=np.arange(2000) // 50,
            weights=draws(40, resamples=300, seed=seed),
            threshold=None,
        )
        between = interval(found["brier"])
        assert between is not None
        covered += between[0] <= 0.21 <= between[1]
    assert covered >= 52


def test_one_class_has_no_interval_and_bad_blocks_are_refused() -> None:
    p, block = np.full(4, 0.5), np.array([0, 0, 1, 1])
    none, weights = np.zeros(4, dtype=bool), draws(2, resamples=50, seed=0)
    found = resample(np.zeros(4), p, already_out=none, block=block, weights=weights, threshold=0.5)
    assert interval(found["pr_auc"]) is None
    assert interval(found["brier"]) == (0.25, 0.25)
    with pytest.raises(GridError, match="weights for 2 blocks"):
        resample(p, p, already_out=none, block=block + 1, weights=weights, threshold=None)
    with pytest.raises(GridError, match="differ in length"):
        resample(p, p[:3], already_out=none, block=block, weights=weights, threshold=None)
