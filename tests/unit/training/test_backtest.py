from dataclasses import replace

import numpy as np
import pytest

from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.evaluation.climatology import Climatology
from mlops_bikeshare.evaluation.persistence import Persistence
from mlops_bikeshare.evaluation.resampled import blocks
from mlops_bikeshare.evaluation.scores import best_f1_threshold, f1_at
from mlops_bikeshare.training.backtest import (
    METHODS,
    Answers,
    Slice,
    check_rows,
    fit_baselines,
    report,
    scores,
)

DAY = 86_400


def answers(*, days: int = 8, seed: int = 0) -> Answers:
    """Outcomes that the model knows, persistence half knows, and climatology does not."""
    rng = np.random.default_rng(seed)
    n = 400 * days
    p = rng.random(n) ** 2
    y = (rng.random(n) < p).astype(np.float32)
    return Answers(
        horizon_min=np.full(n, 30, dtype=np.int16),
        dt=np.sort(rng.integers(0, days * 144, n)) * 600,
        station=rng.integers(0, 9, n),
        already_out=p > 0.8,
        y=y,
        model=p.astype(np.float32),
        persistence=np.clip(p + rng.normal(0, 0.2, n), 0.01, 0.99).astype(np.float32),
        climatology=np.full(n, y.mean(), dtype=np.float32),
        blend=np.clip(p + rng.normal(0, 0.1, n), 0.01, 0.99).astype(np.float32),
    )


def test_a_better_model_is_better_beyond_its_interval() -> None:
    told = report(answers(), dict.fromkeys(METHODS, 0.5), seed=1)
    gain = told["difference"]["persistence"]["onset_pr_auc"]
    assert gain["interval"][0] > 0
    assert gain["interval"][0] <= gain["value"] <= gain["interval"][1]
    assert told["difference"]["persistence"]["brier"]["interval"][1] < 0
    assert told["interval"]["brier_skill"][0] > 0
    assert told["interval_blocks"] == "day"


def test_the_same_method_twice_differs_by_nothing() -> None:
    same = answers()
    twins = replace(same, blend=same.model)
    told = report(twins, dict.fromkeys(METHODS, 0.5), seed=1)["difference"]["blend"]
    for name, difference in told.items():
        assert difference == {"value": 0, "interval": [0, 0]}, name


def test_one_class_gives_null_scores_and_no_error() -> None:
    calm = answers()
    calm.y[:] = 0
    told = scores(calm, dict.fromkeys(METHODS, 0.5))
    assert told["model"]["pr_auc"] is None
    assert told["model"]["brier"] > 0
    full = report(calm, dict.fromkeys(METHODS, 0.5), seed=1)
    assert full["model"]["interval"]["pr_auc"] is None
    assert full["difference"]["persistence"]["pr_auc"] == {"value": None, "interval": None}


@pytest.mark.parametrize(
    ("hours", "kind", "count"), [(8 * 24, "day", 8), (48, "6 h", 8), (6, None, 1)]
)
def test_short_tests_resample_shorter_blocks(hours: int, kind: str | None, count: int) -> None:
    block, found = blocks(np.arange(0, hours * 3600, 600, dtype=np.int64))
    assert found == kind
    assert len(np.unique(block)) == count


def test_no_row_to_judge_is_an_error() -> None:
    none = answers().only(np.zeros(3200, dtype=np.bool_))
    with pytest.raises(InputError, match="bikeout: no row of test"):
        check_rows("bikeout", none, what="test")


def test_baselines_blend_and_choose_their_thresholds_on_the_calibration_slice() -> None:
    rng = np.random.default_rng(0)
    counts, station = rng.integers(0, 20, 4000), rng.integers(0, 5, 4000)
    cell = rng.integers(0, 2, 4000)
    y = (rng.random(4000) < np.where(counts <= 4, 0.8, 0.1) * (0.3 + 0.7 * cell)).astype(np.float32)
    usual = Climatology.fit(
        (rng.random((500, 5)) < 0.3).astype(np.int8), np.arange(500) % 2, cells=2
    )
    held = Persistence.fit(counts, {30: y})
    slices = {30: Slice(y=y, counts=counts, station=station, cell=cell)}
    fitted = fit_baselines("bikeout", held, usual, slices)
    p = held.predict(counts, horizon_min=30).astype(np.float32)
    threshold = fitted.thresholds[30]["persistence"]
    assert threshold is not None
    assert f1_at(y, p, threshold=threshold) == f1_at(
        y, p, threshold=best_f1_threshold(y, p) or np.nan
    )
    calm = {30: Slice(y=np.zeros_like(y), counts=counts, station=station, cell=cell)}
    with pytest.raises(InputError, match="bikeout: a blend needs rows of both classes"):
        fit_baselines("bikeout", held, usual, calm)
