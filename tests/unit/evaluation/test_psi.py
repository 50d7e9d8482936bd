"""PSI: zero on itself, large on a shift, never silent about missing values or constants."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import GridError
from mlops_bikeshare.evaluation.psi import PsiReference

VALUES = hnp.arrays(
    np.float32, st.integers(1, 80), elements=st.floats(-5, 5, width=32) | st.just(np.nan)
)


@given(VALUES, VALUES)
def test_psi_is_never_negative_and_zero_on_the_reference_itself(
    then: NDArray[np.float32], now: NDArray[np.float32]
) -> None:
    reference = PsiReference.fit(then)
    assert reference.psi(then) == 0
    assert reference.psi(now) >= 0
    assert PsiReference.from_json(json.loads(json.dumps(reference.to_json()))) == reference


@given(VALUES)
def test_row_order_changes_nothing(values: NDArray[np.float32]) -> None:
    assert PsiReference.fit(values[::-1]) == PsiReference.fit(values)


def test_bins_hold_the_counts_numpy_would_put_there() -> None:
    rng = np.random.default_rng(1)
    then, now = rng.normal(size=5000), rng.normal(0.5, size=3000)
    reference = PsiReference.fit(then)
    inner = np.asarray(reference.edges)
    p, q = (np.bincount(np.digitize(v, inner), minlength=10) / v.size for v in (then, now))
    assert reference.shares[-1] == 0
    assert reference.psi(now) == pytest.approx(np.sum((q - p) * np.log(q / p)))
    assert 0.2 < reference.psi(now) < 0.3


def test_same_distribution_is_quiet_and_a_shift_is_loud() -> None:
    rng = np.random.default_rng(2)
    reference = PsiReference.fit(rng.normal(size=50_000))
    assert reference.psi(rng.normal(size=20_000)) < 0.01
    assert reference.psi(rng.normal(1, size=20_000)) > 0.8


@pytest.mark.parametrize("now", [-0.001, 0.001, np.nan])
def test_a_constant_that_moves_or_goes_missing_drifts(now: float) -> None:
    reference = PsiReference.fit(np.zeros(1000, dtype=np.float32))
    assert reference.psi(np.zeros(10)) == 0
    assert reference.psi(np.full(10, now, dtype=np.float32)) > 5


def test_no_rows_is_an_error_not_zero() -> None:
    with pytest.raises(GridError):
        PsiReference.fit(np.empty(0))
    with pytest.raises(GridError):
        PsiReference.fit(np.ones(5)).psi(np.empty(0))


def test_an_outage_of_three_hours_is_no_drift_but_a_feature_that_goes_missing_is() -> None:
    values = np.random.default_rng(3).normal(size=10_000)
    reference = PsiReference.fit(values)

    def with_missing(share: float) -> float:
        now = values.copy()
        now[: int(share * len(now))] = np.nan
        return reference.psi(now)

    assert with_missing(1 / 21) < 0.1
    assert with_missing(0.1) > 0.2
    assert with_missing(1 / 3) > 1
