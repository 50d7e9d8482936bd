"""A candidate against the champion on onset rows."""

import numpy as np
import pytest

from mlops_bikeshare.evaluation.gain import Gain, onset_gain

DAY = 86_400


def gain(*, days: int = 10, noise: float = 0.3, swap: bool = False) -> Gain:
    rng = np.random.default_rng(4)
    n = 400 * days
    p = rng.random(n) ** 2
    worse = np.clip(p + rng.normal(0, noise, n), 0, 1)
    ours, theirs = (worse, p) if swap else (p, worse)
    return onset_gain(
        "bikeout",
        (rng.random(n) < p).astype(np.float32),
        ours,
        theirs,
        already_out=p > 0.9,
        dt=np.sort(rng.integers(0, days * DAY, n)),
        seed=1,
    )


def test_a_better_candidate_has_an_interval_clear_of_zero_and_the_mirror_is_its_negative() -> None:
    better, mirrored = gain(), gain(swap=True)
    assert better.gain is not None
    assert better.low is not None
    assert 0 < better.low < better.gain
    assert mirrored.gain == pytest.approx(-better.gain)
    assert mirrored.high == pytest.approx(-better.low)


def test_equal_answers_gain_nothing() -> None:
    same = gain(noise=0)
    assert (same.gain, same.low, same.high) == (0, 0, 0)


def test_rows_that_are_out_already_or_that_one_side_left_unanswered_do_not_count() -> None:
    y = np.array([1.0, 0, 1, 0, np.nan])
    p = np.array([0.9, 0.1, np.nan, 0.2, 0.5])
    out = np.array([False, False, False, True, False])
    found = onset_gain("dockout", y, p, p, already_out=out, dt=np.arange(5), seed=1)
    assert (found.rows, found.candidate, found.gain) == (2, 1.0, 0.0)
    assert found.low is None


def test_one_class_has_no_gain() -> None:
    y, p, out = np.zeros(4), np.full(4, 0.5), np.zeros(4, dtype=bool)
    found = onset_gain("dockout", y, p, p, already_out=out, dt=np.arange(4) * DAY, seed=1)
    assert (found.candidate, found.gain, found.low) == (None, None, None)
