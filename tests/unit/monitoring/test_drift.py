"""Drift: loud on a shift, and silent (not zero) until there is enough."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_bikeshare.domain.errors import ModelError
from mlops_bikeshare.domain.reports import DriftReport
from mlops_bikeshare.domain.tables import MONITORING_DRIFT, pandera_schema
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.evaluation.psi import PsiReference
from mlops_bikeshare.monitoring import drift
from mlops_bikeshare.monitoring.drift import DriftRules, Seen

END = datetime(2021, 9, 2, tzinfo=UTC)
RULES = DriftRules()
NAMES = ("bikes", "delta_10", "age_min", "capacity")


def features(rows: int = 3000, *, seed: int = 1, shift: float = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({name: rng.normal(size=rows).astype("float32") for name in NAMES})
    return frame.assign(bikes=frame["bikes"] + shift, temp_c=rng.uniform(10, 20, rows))


def reference() -> dict[str, object]:
    then = features(20_000, seed=9)
    psi = {name: PsiReference.fit(then[name].to_numpy()).to_json() for name in NAMES}
    return {"psi": psi, "range": {"temp_c": [10.0, 20.0], "rain_mm": None}}


def judged(
    frame: pd.DataFrame,
    *,
    decision_times: int = 144,
    predicted_times: int = 144,
    predictions: dict[str, np.ndarray[Any, Any]] | None = None,
    stations: pd.DataFrame | None = None,
    known: dict[str, Any] | None = None,
    rules: DriftRules = RULES,
) -> DriftReport:
    seen = Seen(
        features=frame.assign(rain_mm=np.nan),
        decision_times=decision_times,
        predictions=predictions or {},
        predicted_times=predicted_times,
        stations=stations,
    )
    return drift.judge(
        seen, {**reference(), **(known or {})},
        endpoint="bikeshare-prod", city="boston", model_version="3",
        window=Window.before(END), rules=rules,
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
    assert report.level == "not enough"
    assert "of at least 2,000" in report.why or "of 144 decision times" in report.why
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


@pytest.mark.parametrize(("shift", "level"), [(0, "ok"), (0.48, "warn"), (1, "critical")])
def test_levels_are_those_of_the_settings(shift: float, level: str) -> None:
    report = judged(features(shift=shift))
    assert report.psi_max is not None
    assert report.level == level == RULES.level(report.psi_max)
    loose = DriftRules(min_rows=10, warn=9, critical=10)
    assert judged(features(50, shift=shift), rules=loose).level == "ok"


def test_answers_that_move_are_drift_though_no_feature_moves() -> None:
    rng = np.random.default_rng(4)
    then = {"bikeout": PsiReference.fit(rng.beta(1, 5, 20_000)).to_json()}
    said = {"bikeout": rng.beta(2, 2, 3000), "dockout": rng.beta(2, 2, 3000)}
    report = judged(features(), predictions=said, known={"predictions": then})
    assert set(report.predictions) == {"bikeout"}, "an older version has no reference for others"
    assert report.level == "critical"
    posted = {p.name: p.value for p in drift.points(report, at=END)}
    assert posted["PredictionPSI"] == report.predictions["bikeout"] > 0.3
    assert posted["PSI"] < 0.05
    few = {"bikeout": said["bikeout"][:100]}
    assert judged(features(), predictions=few, known={"predictions": then}).predictions == {}


def test_answers_of_a_few_hours_are_not_held_against_whole_days() -> None:
    rng = np.random.default_rng(5)
    then = {"bikeout": PsiReference.fit(rng.random(5000)).to_json()}
    said = {"bikeout": rng.random(3000) / 2}

    night = judged(features(), predictions=said, predicted_times=12, known={"predictions": then})

    assert (night.predictions, night.level) == ({}, "ok")


def test_stations_that_appear_vanish_or_move_are_named() -> None:
    then = {"1": [45.0, -73.0], "2": [45.1, -73.0], "3": [45.2, -73.0], "4": None}
    now = pd.DataFrame(
        {
            "station_id": ["1", "2", "4", "5"],
            "lat": [45.0, 45.101, 45.3, np.nan],
            "lon": [-73.0001, -73.0, -73.0, np.nan],
        }
    )
    report = judged(features(), stations=now, known={"stations": then})
    assert report.feed is not None
    assert report.feed.appeared == ("5",)
    assert report.feed.vanished == ("3",)
    ((station, metres),) = report.feed.moved
    assert (station, round(metres)) == ("2", 111)
    posted = {p.name: p.value for p in drift.points(report, at=END)}
    counts = {"StationsAppeared": 1, "StationsVanished": 1, "StationsMoved": 1}
    assert {name: posted[name] for name in counts} == counts
    pandera_schema(MONITORING_DRIFT).validate(drift.table(report))


def test_a_version_without_its_stations_says_nothing_of_them() -> None:
    stations = pd.DataFrame({"station_id": ["1"], "lat": [45.0], "lon": [-73.0]})
    report = judged(features(), stations=stations)
    assert report.feed is None
    assert {p.name for p in drift.points(report, at=END)} == {"PSI", "DriftShare"}


def test_a_shift_shows_where_the_values_went() -> None:
    seen = Seen(features=features(shift=1), decision_times=144, predictions={}, predicted_times=144)
    (shift,) = drift.shifts(seen, reference(), ["bikes"])
    assert sum(shift.then) == pytest.approx(1)
    assert sum(shift.now) == pytest.approx(1)
    assert shift.now[-2] > shift.then[-2] + 0.2, "the last bin of known values fills up"
    assert shift.psi == judged(features(shift=1)).psi["bikes"]
