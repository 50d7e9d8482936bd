"""Quality: the worse target, the same rows for both, unknown is neither negative nor posted."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from mlops_bikeshare.domain.contract import to_frame
from mlops_bikeshare.domain.errors import TableError
from mlops_bikeshare.domain.reports import QualityReport
from mlops_bikeshare.domain.tables import MONITORING_QUALITY, check_columns, pandera_schema
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.evaluation import scores
from mlops_bikeshare.evaluation.persistence import Persistence
from mlops_bikeshare.monitoring import quality
from mlops_bikeshare.monitoring.quality import Yardstick

END = datetime(2021, 9, 2, tzinfo=UTC)
WINDOW = Window.before(END)
TARGETS = ("bikeout", "dockout")


def predictions(*, stations: int = 20, seed: int = 1, noise: float = 0.02) -> pd.DataFrame:
    """A day of predictions; `noise` is how far probabilities are from the truth."""
    rng = np.random.default_rng(seed)
    times = pd.DatetimeIndex(list(WINDOW.steps())).as_unit("ms")
    rows = len(times) * stations
    frame = pd.DataFrame({"dt": np.tile(times, stations), "horizon_min": 30})
    for target in TARGETS:
        count = rng.integers(0, 15, rows)
        p = np.clip(0.9 - count * 0.12 + rng.normal(0, 0.2, rows), 0.02, 0.98)
        y = (rng.random(rows) < p).astype(float)
        frame[f"count_{target}"], frame[f"label_{target}"] = count, y
        frame[f"p_{target}"] = np.clip(p + rng.normal(0, noise, rows), 0, 1)
    return frame


def yardsticks(frame: pd.DataFrame) -> dict[str, Yardstick]:
    return {
        target: Yardstick(
            persistence=Persistence.fit(
                frame[f"count_{target}"].to_numpy(), {30: frame[f"label_{target}"].to_numpy()}
            ),
            threshold=0.5,
        )
        for target in TARGETS
    }


def judged(frame: pd.DataFrame) -> QualityReport:
    return quality.judge(
        frame, yardsticks(predictions()),
        endpoint="bikeshare-prod", city="boston", model_version="3", window=WINDOW,
    )  # fmt: skip


def plain(report: QualityReport) -> dict[str, float]:
    return {p.name: p.value for p in quality.points(report, at=END) if len(p.dimensions) == 2}


def test_scores_are_those_of_the_rows_and_onset_rows_are_not_out_now() -> None:
    frame = predictions()
    found = judged(frame).targets[0]
    y, p = frame["label_bikeout"].to_numpy(), frame["p_bikeout"].to_numpy()
    onset = frame["count_bikeout"].to_numpy() > 2
    assert (found.target, found.horizon_min, found.decision_times) == ("bikeout", 30, 144)
    assert found.model.pr_auc == scores.pr_auc(y, p)
    assert found.model.onset_rows == onset.sum()
    assert found.model.onset_brier == scores.brier(y[onset], p[onset])
    assert found.persistence.rows == found.model.rows
    assert found.onset_brier_skill is not None
    assert found.onset_brier_skill > 0.02


def test_a_missing_label_or_count_is_censored_not_negative() -> None:
    frame = predictions()
    censored = frame.copy()
    gone = frame["label_bikeout"] == 1
    censored["label_bikeout"] = censored["label_bikeout"].mask(gone & (frame.index % 2 == 0))
    censored.loc[:9, "count_bikeout"] = -1
    keep = censored["label_bikeout"].notna() & (censored["count_bikeout"] >= 0)
    whole, part = judged(censored).targets[0], judged(frame[keep]).targets[0]
    assert whole.model == part.model
    assert whole.persistence == part.persistence


def test_rows_outside_the_window_other_horizons_and_fallback_rows_are_not_judged() -> None:
    frame = predictions().assign(source="model")
    late = frame.assign(dt=frame["dt"] + pd.Timedelta(days=1))
    strange = pd.concat(
        [frame, late, frame.assign(horizon_min=60), frame.assign(source="fallback")]
    )
    assert judged(strange) == judged(frame)


def test_the_plain_names_are_the_worse_of_the_two_targets() -> None:
    frame = predictions()
    frame["p_dockout"] = predictions(noise=0.5, seed=1)["p_dockout"]
    frame.loc[:99, "label_bikeout"] = np.nan
    report = judged(frame)
    bike, dock = report.targets
    found = plain(report)
    assert found["PR-AUC-24h"] == dock.model.pr_auc
    assert found["Brier-24h"] == dock.model.brier
    assert found["Onset-Brier-Skill-24h"] == dock.onset_brier_skill
    assert found["QualitySamples-24h"] == bike.model.rows == len(frame) - 100
    assert set(found) == set(quality.VALUES)


def test_detail_series_name_version_and_target() -> None:
    points = quality.points(judged(predictions()), at=END)
    detail = [p for p in points if p.name == "F1-24h" and "Target" in p.dimensions]
    assert [p.dimensions["Target"] for p in detail] == list(TARGETS)
    assert {p.dimensions["ModelVersion"] for p in detail} == {"3"}
    assert {p.at for p in points} == {END}


def test_what_is_undefined_for_one_target_is_not_posted_and_never_zero() -> None:
    frame = predictions()
    frame["label_dockout"] = 0.0
    report = judged(frame)
    found = plain(report)
    assert "PR-AUC-24h" not in found
    assert "F1-24h" not in found
    assert found["QualitySamples-24h"] == len(frame)
    assert {
        p.dimensions["Target"] for p in quality.points(report, at=END)
        if p.name == "PR-AUC-24h"
    } == {"bikeout"}  # fmt: skip


def test_no_matured_label_at_all_posts_only_that_there_are_no_samples() -> None:
    frame = predictions()
    frame[["label_bikeout", "label_dockout"]] = np.nan
    report = judged(frame)
    assert plain(report) == {"QualitySamples-24h": 0}
    assert report.targets[0].decision_times == 0
    pandera_schema(MONITORING_QUALITY).validate(to_frame(quality.table(report)))


def test_a_persistence_model_has_no_onset_skill() -> None:
    frame = predictions()
    for target, yardstick in yardsticks(frame).items():
        count = frame[f"count_{target}"].to_numpy()
        frame[f"p_{target}"] = yardstick.persistence.predict(count, horizon_min=30)
    assert plain(judged(frame))["Onset-Brier-Skill-24h"] == pytest.approx(0, abs=1e-12)


def test_rows_meet_the_tables_contract() -> None:
    rows = to_frame(quality.table(judged(predictions())))
    check_columns(MONITORING_QUALITY, rows)
    pandera_schema(MONITORING_QUALITY).validate(rows)
    assert rows["window_end"].dtype == "datetime64[ms, UTC]"
    assert rows["window_end"].iloc[0] == END
    assert rows["samples"].tolist() == [2880, 2880]
    assert rows["decision_times"].dtype == "int32"


def test_missing_columns_are_named() -> None:
    with pytest.raises(TableError, match="label_dockout"):
        judged(predictions().drop(columns="label_dockout"))


def test_the_frame_is_not_changed() -> None:
    frame = predictions()
    before = frame.copy()
    judged(frame)
    pd.testing.assert_frame_equal(frame, before)
