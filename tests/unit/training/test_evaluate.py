import numpy as np
import pytest

from mlops_bikeshare.domain.errors import ModelError
from mlops_bikeshare.domain.reports import TargetQuality
from mlops_bikeshare.training.evaluate import evaluate

N = 4000
RNG = np.random.default_rng(2)
TRUE_P = RNG.random(N)
Y = (RNG.random(N) < TRUE_P).astype(np.float32)
DT = np.repeat(np.arange(40, dtype=np.int64) * 600, 100)
OUT = RNG.random(N) < 0.2


def judge(**given: object) -> TargetQuality:
    arguments = {
        "y": Y,
        "model": TRUE_P,
        "persistence": np.full(N, Y.mean(), dtype=np.float64),
        "already_out": OUT,
        "dt": DT,
    }
    return evaluate("bikeout", horizon_min=30, threshold=0.5, **(arguments | given))  # type: ignore[arg-type]


def test_skill_is_the_share_of_persistence_s_brier_score_that_is_removed() -> None:
    quality = judge()
    assert quality.model.brier is not None
    assert quality.persistence.brier is not None
    assert quality.brier_skill == pytest.approx(1 - quality.model.brier / quality.persistence.brier)
    assert quality.brier_skill == pytest.approx(1 / 3, abs=0.05)


def test_persistence_has_no_skill_over_itself() -> None:
    constant = np.full(N, 0.4)
    quality = judge(model=constant, persistence=constant)
    assert quality.brier_skill == 0
    assert quality.onset_brier_skill == 0


def test_both_are_judged_on_the_rows_both_can_answer() -> None:
    persistence = np.where(DT == 0, np.nan, 0.4)
    y = np.where(DT == 600, np.nan, Y)
    quality = judge(persistence=persistence, y=y)
    assert quality.model.rows == quality.persistence.rows == N - 200
    assert quality.decision_times == 38


def test_onset_rows_are_those_not_already_out() -> None:
    assert judge().model.onset_rows == int((~OUT).sum())


def test_a_model_that_does_not_answer_is_an_error_not_a_row_less() -> None:
    with pytest.raises(ModelError):
        judge(model=np.where(DT == 0, np.nan, TRUE_P))
