"""The interval covers the truth as often as it says, and blocks matter."""

import numpy as np
import pytest

from mlops_bikeshare.domain.errors import GridError
from mlops_bikeshare.evaluation.bootstrap import paired_blocks, station_blocks


def test_the_interval_covers_the_truth_about_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(4)
    blocks, hits = np.repeat(np.arange(80), 12), 0
    for trial in range(200):
        values = np.repeat(rng.normal(0.1, 1, 80), 12) + rng.normal(0, 0.3, 960)
        _, low, high = paired_blocks(values, blocks, resamples=400, seed=trial)
        hits += low <= 0.1 <= high
    assert 180 <= hits <= 199


def test_rows_that_move_together_widen_the_interval() -> None:
    rng = np.random.default_rng(5)
    values = np.repeat(rng.normal(size=100), 12)
    widths = []
    for blocks in (np.arange(1200), np.repeat(np.arange(100), 12)):
        _, low, high = paired_blocks(values, blocks, resamples=500, seed=1)
        widths.append(high - low)
    assert widths[1] > 2.5 * widths[0]


def test_the_seed_decides_and_row_order_does_not() -> None:
    rng = np.random.default_rng(6)
    values, blocks, order = rng.normal(size=500), rng.integers(40, size=500), rng.permutation(500)
    first = paired_blocks(values, blocks, seed=7)
    assert paired_blocks(values[order], blocks[order], seed=7) == pytest.approx(first)
    assert paired_blocks(values, blocks, seed=8) != first
    assert first[0] == pytest.approx(values.mean())
    assert first[1] <= first[0] <= first[2]


def test_a_block_is_a_station_and_two_hours() -> None:
    at_s = np.array([0, 7199, 7200, 0, 7200])
    blocks = station_blocks(np.array([0, 0, 0, 1, 1]), at_s)
    assert blocks[0] == blocks[1]
    assert len(set(blocks.tolist())) == 4


def test_what_cannot_be_judged_is_an_error() -> None:
    with pytest.raises(GridError, match="two blocks"):
        paired_blocks(np.ones(5), np.zeros(5, dtype=int), seed=1)
    with pytest.raises(GridError, match="missing"):
        paired_blocks(np.array([1.0, np.nan]), np.arange(2), seed=1)
    with pytest.raises(GridError, match="block ids"):
        paired_blocks(np.ones(5), np.arange(4), seed=1)
