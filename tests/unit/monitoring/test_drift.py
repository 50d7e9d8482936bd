"""Drift: loud on a shift, and silent (not zero) until there is enough."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from mlops_bikeshare.domain.errors import ModelError
from mlops_bikeshare.domain.reports import DriftReport
from mlops_bikeshare.domain.tables import MONITORING_DRIFT, pandera_schema
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.evaluation.psi import PsiReference
from mlops_bikeshare.monitoring import drift

END = datetime(2021, 9, 2, tzinfo=UTC)
NAMES = ("bikes", "delta_10", "age_min", "capacity")


def features(rows: int = 3000, *, seed: int = 1, shift: float = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({name: rng.normal(size=rows).astype("float32") for name in NAMES})
    return frame.assign(bikes=frame["bikes"] + shift, temp_c=rng.uniform(10, 20, rows))


def reference() -> dict[str, object]:
    then = features(20_000, seed=9)
    psi = {name: PsiReference.fit(then[name].to_numpy()).to_json() for name in NAMES}
    return {"psi": psi, "range": {"temp_c": [10.0, 20.0], "rain_mm": None}}


def judged(frame: pd.DataFrame, *, decision_times: int = 144) -> DriftReport:
    return drift.judge(
        frame.assign(rain_mm=np.nan), reference(),
        endpoint="bikeshare-prod", city="boston", model_version="3",
        window=Window.before(END), decision_times=decision_times,
    )  # fmt: skip


def test_a_quiet_day_is_quiet() -> None:
    report = judged(features())
    assert report.enough
    assert report.psi_max is not None
    assert report.psi_max < 0.05
    assert report.drift_share == 0
    assert report.out_of_range == {"temp_c": 0}


def test_one_feature_that_moves_sets_the_maximum_and_its_share() -> None:
    report = judged(features(shift=1))
    posted = {p.name: p.value for p in drift.points(report, at=END)}
    assert posted == {"PSI": report.psi["bikes"], "DriftShare": 0.25}
    assert posted["PSI"] > 0.5


def test_a_feature_that_goes_missing_drifts() -> None:
    assert judged(features().assign(age_min=np.float32("nan"))).psi["age_min"] > 5


def test_a_scalar_beyond_its_training_range_is_counted() -> None:
    frame = features()
    frame.loc[: len(frame) // 2 - 1, "temp_c"] = 31
    assert judged(frame).out_of_range["temp_c"] == 0.5
    unknown = judged(frame.assign(temp_c=np.nan))
    assert unknown.out_of_range == {}


@pytest.mark.parametrize(("rows", "times"), [(1999, 144), (3000, 129), (0, 0)])
def test_not_enough_says_so_and_posts_nothing(rows: int, times: int) -> None:
    report = judged(features(rows, shift=3), decision_times=times)
    assert not report.enough
    assert report.psi_max is None
    assert report.drift_share is None
    assert drift.points(report, at=END) == []
    assert drift.table(report).empty


def test_rows_meet_the_tables_contract() -> None:
    rows = drift.table(judged(features()))
    pandera_schema(MONITORING_DRIFT).validate(rows)
    assert rows["kind"].tolist() == ["psi"] * 4 + ["range"]
    pandera_schema(MONITORING_DRIFT).validate(drift.table(judged(features(5))))


def test_a_feature_that_the_lake_lacks_is_an_error_not_left_out() -> None:
    with pytest.raises(ModelError, match="capacity"):
        judged(features().drop(columns="capacity"))
