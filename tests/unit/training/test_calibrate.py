import numpy as np
import pytest
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.targets import HORIZONS_MIN
from mlops_bikeshare.evaluation.scores import ece, f1_at, pr_auc
from mlops_bikeshare.training.calibrate import GROUPS_MIN, calibrate

RNG = np.random.default_rng(11)
HORIZON_MIN = RNG.choice(HORIZONS_MIN, 30_000)
TRUE_P = RNG.beta(0.4, 1.6, 30_000)
Y = (RNG.random(30_000) < TRUE_P).astype(np.float32)
# Overconfident, and more so for far horizons, as uncalibrated trees are.
RAW: NDArray[np.float64] = 1 / (1 + (1 / TRUE_P - 1) ** (1.5 + HORIZON_MIN / 120))


def test_every_horizon_belongs_to_one_group() -> None:
    assert sorted(h for group in GROUPS_MIN for h in group) == list(HORIZONS_MIN)


def test_each_group_of_horizons_becomes_calibrated() -> None:
    calibrated = calibrate("bikeout", Y, RAW, HORIZON_MIN).apply(RAW, HORIZON_MIN)
    for group in GROUPS_MIN:
        rows = np.isin(HORIZON_MIN, group)
        assert (ece(Y[rows], RAW[rows]) or 0) > 0.04
        assert (ece(Y[rows], calibrated[rows]) or 1) < 0.015


def test_calibration_keeps_the_ranking_within_a_horizon() -> None:
    calibrated = calibrate("bikeout", Y, RAW, HORIZON_MIN).apply(RAW, HORIZON_MIN)
    rows = HORIZON_MIN == 30
    assert pr_auc(Y[rows], calibrated[rows]) == pytest.approx(pr_auc(Y[rows], RAW[rows]))


def test_no_threshold_is_better_on_the_slice_at_the_promise() -> None:
    made = calibrate("bikeout", Y, RAW, HORIZON_MIN)
    rows = HORIZON_MIN == 30
    p = made.apply(RAW, HORIZON_MIN)[rows]
    best = f1_at(Y[rows], p, threshold=made.threshold)
    assert best is not None
    others = [f1_at(Y[rows], p, threshold=t) for t in np.linspace(0.01, 0.99, 99)]
    assert all(other is not None and other <= best for other in others)


def test_unknown_labels_are_left_out() -> None:
    unknown = np.arange(len(Y)) % 3 == 0
    known = calibrate("bikeout", Y[~unknown], RAW[~unknown], HORIZON_MIN[~unknown])
    y = np.where(unknown, np.nan, Y).astype(np.float32)
    assert calibrate("bikeout", y, RAW, HORIZON_MIN) == known


def test_a_group_without_stockouts_is_named() -> None:
    y = np.where(HORIZON_MIN >= 90, 0, Y).astype(np.float32)
    with pytest.raises(InputError, match=r"dockout, horizons 90 to 120 min: .*give a longer"):
        calibrate("dockout", y, RAW, HORIZON_MIN)


def test_no_stockout_at_the_promise_leaves_no_threshold() -> None:
    y = np.where(HORIZON_MIN == 30, 0, Y).astype(np.float32)
    with pytest.raises(InputError, match="calibration rows at 30 min is out"):
        calibrate("dockout", y, RAW, HORIZON_MIN, groups_min=[HORIZONS_MIN])
    with pytest.raises(InputError, match=r"dockout, horizons 30 min: .*of one kind"):
        calibrate("dockout", y, RAW, HORIZON_MIN)


def test_the_alarm_threshold_follows_the_costs_and_leaves_f1_alone() -> None:
    out = np.zeros(len(Y), dtype=np.bool_)
    cheap, dear = (
        calibrate("bikeout", Y, RAW, HORIZON_MIN, already_out=out, cost_ratio=r) for r in (1, 9)
    )
    assert cheap.alarm_threshold == pytest.approx(0.5, abs=0.1)
    assert dear.alarm_threshold == pytest.approx(0.1, abs=0.05)
    assert cheap.threshold == dear.threshold
