import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_bikeshare.evaluation.curves import POINTS, curve, target_curves
from mlops_bikeshare.evaluation.scores import pr_auc


def made(rows: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    p = rng.random(rows)
    y = (rng.random(rows) < p).astype(np.float64)
    y[:2] = 0, 1
    return y, p


@given(st.integers(2, 3000), st.integers(0, 50))
def test_a_thinned_curve_rises_in_recall_to_one_and_keeps_the_exact_area(
    rows: int, seed: int
) -> None:
    y, p = made(rows, seed=seed)
    found = curve(y, p)
    assert found is not None
    assert len(found.recall) == len(found.precision) <= POINTS
    assert found.recall[-1] == 1
    assert list(found.recall) == sorted(found.recall)
    assert found.pr_auc == pr_auc(y, p)
    assert sum(found.bin_rows) == rows == found.rows


def test_one_class_alone_has_no_curve() -> None:
    assert curve(np.zeros(5), np.linspace(0, 1, 5)) is None


def test_onset_curves_leave_out_stations_that_are_out_already() -> None:
    y, p = made(400)
    out = p > 0.7
    found = target_curves(y, p, np.full(400, 0.5), already_out=out)
    assert found.model is not None
    assert found.onset_model is not None
    assert found.model.rows == 400
    assert found.onset_model.rows == int((~out).sum())


def test_model_and_persistence_are_drawn_on_the_same_rows() -> None:
    y, p = made(100)
    y[10], baseline = np.nan, np.full(100, 0.3)
    baseline[20] = np.nan
    found = target_curves(y, p, baseline, already_out=np.zeros(100, dtype=np.bool_))
    assert found.model is not None
    assert found.persistence is not None
    assert found.model.rows == found.persistence.rows == 98
    assert found.persistence.base_rate == pytest.approx(np.nanmean(np.delete(y, [10, 20])))
