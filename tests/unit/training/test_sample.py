import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.targets import HORIZONS_MIN, PROMISE_MIN
from mlops_bikeshare.training.sample import Sample, default_weights, sample_once

IDS = [f"{i:03}" for i in range(40)]
STATION = np.tile(np.arange(40), 500)
DT = np.repeat(np.arange(500, dtype=np.int64) * 600, 40)
EVERY = np.ones(len(DT), dtype=bool)


def draw(
    *,
    order: NDArray[np.intp] | None = None,
    among: NDArray[np.bool_] = EVERY,
    max_rows: int = 3000,
    seed: int = 1,
) -> Sample:
    order = np.arange(len(DT)) if order is None else order
    return sample_once(
        IDS, STATION[order], DT[order], among=among[order], max_rows=max_rows, seed=seed
    )


def keyed(sample: Sample, order: NDArray[np.intp]) -> set[tuple[int, int, int]]:
    rows = order[sample.rows]
    return set(
        zip(STATION[rows].tolist(), DT[rows].tolist(), sample.horizon_min.tolist(), strict=True)
    )


@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_rows_changes_nothing(seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(DT))
    assert keyed(draw(order=order), order) == keyed(draw(), np.arange(len(DT)))


def test_unrelated_stations_change_no_horizon() -> None:
    fewer = draw(among=STATION < 20, max_rows=10**6)
    every = draw(max_rows=10**6)
    same = STATION[every.rows] < 20
    np.testing.assert_array_equal(fewer.rows, every.rows[same])
    np.testing.assert_array_equal(fewer.horizon_min, every.horizon_min[same])


def test_another_seed_is_another_choice() -> None:
    assert set(draw(seed=1).rows) != set(draw(seed=2).rows)


def test_rows_are_chosen_evenly_over_stations_and_time() -> None:
    rows = draw(max_rows=4000).rows
    assert len(rows) == 4000
    per_station = np.bincount(STATION[rows], minlength=40)
    assert 65 < per_station.min() <= per_station.max() < 140
    assert abs(DT[rows].mean() / DT.mean() - 1) < 0.03


def test_half_of_the_rows_teach_the_promised_horizon() -> None:
    sample = draw(max_rows=10**6)
    share = {h: np.mean(sample.horizon_min == h) for h in HORIZONS_MIN}
    for horizon, weight in default_weights().items():
        assert share[horizon] == pytest.approx(weight / 22, abs=0.01)
    assert share[PROMISE_MIN] == pytest.approx(0.5, abs=0.01)


def test_the_horizon_is_the_last_column_of_the_matrix() -> None:
    features = np.arange(len(DT) * 2, dtype=np.float32).reshape(-1, 2)
    sample = draw(max_rows=100)
    matrix = sample.matrix(features)
    np.testing.assert_array_equal(matrix[:, :2], features[sample.rows])
    np.testing.assert_array_equal(matrix[:, 2], sample.horizon_min)
    assert matrix.dtype == np.float32


def test_no_rows_give_an_empty_sample() -> None:
    assert draw(among=np.zeros(len(DT), dtype=bool)).rows.size == 0


def test_a_sample_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="max_rows=0"):
        draw(max_rows=0)


def test_a_station_that_is_not_listed_is_not_taken_for_another() -> None:
    with pytest.raises(InputError, match="not among the 40 listed"):
        sample_once(IDS, STATION - 1, DT, among=EVERY, max_rows=9, seed=1)


def test_parts_of_a_sample_are_its_rows_in_order() -> None:
    sample = Sample(np.arange(7), np.arange(10, 17, dtype=np.int16))
    parts = list(sample.parts(most=3))
    assert [len(part.rows) for part in parts] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate([part.rows for part in parts]), sample.rows)
    horizons = np.concatenate([part.horizon_min for part in parts])
    np.testing.assert_array_equal(horizons, sample.horizon_min)
