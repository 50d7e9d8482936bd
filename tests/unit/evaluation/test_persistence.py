"""Persistence: shares per count, and honest about what it never saw."""

import json

import numpy as np
import pytest

from mlops_bikeshare.domain.errors import GridError
from mlops_bikeshare.evaluation.persistence import Persistence


def test_each_count_has_its_own_share_with_one_pseudo_row() -> None:
    counts = np.repeat([0, 1, 2], 1000)
    out = np.concatenate([np.arange(1000) < n for n in (900, 400, 100)]).astype(float)
    known = Persistence.fit(counts, {30: out})
    expected = [(n + out.mean()) / 1001 for n in (900, 400, 100)]
    assert known.predict(np.array([0, 1, 2]), horizon_min=30) == pytest.approx(expected)


def test_a_rare_tail_shares_one_cell() -> None:
    counts = np.repeat([0, 1, 40], [500, 500, 30])
    known = Persistence.fit(counts, {30: (counts == 0).astype(float)})
    answer = known.predict(np.array([1, 17, 40, 99]), horizon_min=30)
    assert np.all(answer == answer[0])
    assert answer[0] < 0.01


def test_missing_counts_and_labels_are_left_out_and_a_missing_count_has_no_answer() -> None:
    counts = np.append(np.repeat([0, 1], 200), [-1, 0])
    out = np.append((counts[:-2] == 0).astype(float), [1.0, np.nan])
    known = Persistence.fit(counts, {10: out})
    assert known == Persistence.fit(counts[:-2], {10: out[:-2]})
    assert np.isnan(known.predict(np.array([-1]), horizon_min=10)).all()


def test_a_horizon_that_was_not_fitted_is_an_error() -> None:
    known = Persistence.fit(np.zeros(200, dtype=int), {10: np.ones(200)})
    with pytest.raises(GridError, match="knows horizons 10 min, asked for 30"):
        known.predict(np.array([1]), horizon_min=30)
    with pytest.raises(GridError, match="no labelled rows at 20"):
        Persistence.fit(np.zeros(5, dtype=int), {20: np.full(5, np.nan)})


def test_json_brings_it_back() -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(-1, 30, 5000)
    known = Persistence.fit(counts, {h: (rng.random(5000) < 0.2) * 1.0 for h in (10, 30)})
    assert Persistence.from_json(json.loads(json.dumps(known.to_json()))) == known
