import json
import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.targets import HORIZONS_MIN
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows.backtest import backtest
from mlops_bikeshare.flows.backtesting import backtest_report
from mlops_bikeshare.sources.recorded import Recording, open_recording
from mlops_bikeshare.sources.simulator.simulate import simulate
from mlops_bikeshare.training.backtest import METHODS
from mlops_bikeshare.training.fit import FitParams
from mlops_bikeshare.training.split import Split
from mlops_bikeshare.training.table import Plan

PLAN = Plan(params=FitParams(rounds=40, leaves=15, threads=1))
CITY = City(name="nowhere", timezone="America/Toronto", country="CA")


def window(text: str) -> Window:
    return Window.parse(text, key="range")


SPLIT = Split(
    window("2025-06-02..2025-06-06"),
    window("2025-06-06..2025-06-07"),
    window("2025-06-07..2025-06-09"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("recording")
    simulate(stations=25, days=7, seed=3, start=date(2025, 6, 2), timezone=CITY.timezone).write(
        made
    )
    return made


@pytest.fixture(scope="module")
def recording(folder: Path) -> Recording:
    return open_recording(folder)


@pytest.fixture(scope="module")
def report(recording: Recording) -> dict[str, Any]:
    return backtest(recording, CITY, SPLIT, plan=PLAN)


def test_the_report_has_every_figure_of_every_method(report: dict[str, Any]) -> None:
    assert set(report["targets"]) == {"bikeout", "dockout"}
    for told in report["targets"].values():
        assert told["days"] == 2
        assert 0 < told["onset_base_rate"] < told["base_rate"] < 1
        assert 0 < told["onset_rows"] < told["rows"]
        for method in METHODS:
            for name in ("pr_auc", "brier", "ece", "log_loss", "onset_pr_auc", "f1"):
                low, high = told[method]["interval"][name]
                assert low <= high
                assert told[method][name] >= 0
        skill = 1 - told["model"]["brier"] / told["persistence"]["brier"]
        assert told["brier_skill"] == pytest.approx(skill)
        gain = told["model"]["onset_pr_auc"] - told["persistence"]["onset_pr_auc"]
        assert told["difference"]["persistence"]["onset_pr_auc"]["value"] == pytest.approx(gain)
    assert [part["horizon_min"] for part in report["horizons"]] == [
        h for h in HORIZONS_MIN if h != 30
    ]
    assert [b["stations_per_hour"] for b in report["dispatch"]["bikeout"]["model"]] == [5, 10, 20]
    for target, told in report["slices"].items():
        assert set(told["slices"]) == {"neighbourhood", "hour", "capacity", "day"}
        assert set(told["worst"]) <= set(told["slices"])
        counts = {sum(part["rows"] for part in parts) for parts in told["slices"].values()}
        assert counts == {report["targets"][target]["onset_rows"]}
        assert "10 alerts an hour: precision" in report["headline"][target]
    assert min(report[f"{n}_seconds"] for n in ("feature", "train", "score")) > 0
    assert report["peak_rss_mb"] > 50
    assert "no rows to learn from on 2025-06-02" in " ".join(report["warnings"])


def test_a_report_is_written_whole_and_shown_in_a_few_lines(
    report: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "out.json"
    backtest_report.write(report, path)
    assert json.loads(path.read_text()) == report
    assert [p.name for p in tmp_path.iterdir()] == ["out.json"]
    shown = backtest_report.table(report)
    assert "bikeout at 30 min" in shown
    assert "onset PR-AUC over persistence" in shown
    with pytest.raises(InputError, match="cannot be written"):
        backtest_report.write(report, tmp_path / "missing" / "out.json")


def test_what_happens_after_the_calibration_changes_no_model(
    folder: Path, report: dict[str, Any], tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    status = pd.read_parquet(folder / "station_status.parquet")
    late = status["observed_at"] >= pd.Timestamp(SPLIT.calibrate.end)
    for name in ("num_bikes_available", "num_docks_available"):
        status.loc[late, name] = status.loc[late, name].to_numpy()[::-1]
    status.to_parquet(tmp_path / "station_status.parquet")
    other = backtest(open_recording(tmp_path), CITY, SPLIT, plan=PLAN)
    assert other["trees"] == report["trees"]
    assert other["rows"] == report["rows"]
    for target, told in other["targets"].items():
        thresholds = [told[m]["threshold"] for m in METHODS]
        assert thresholds == [report["targets"][target][m]["threshold"] for m in METHODS]
        assert told["model"]["brier"] != report["targets"][target]["model"]["brier"]


def test_folds_move_the_test_back_and_are_pooled(recording: Recording) -> None:
    split = replace(SPLIT, test=window("2025-06-08..2025-06-09"))
    split = replace(split, calibrate=window("2025-06-07..2025-06-08"))
    split = replace(split, train=window("2025-06-02..2025-06-07"))
    plan = replace(PLAN, params=replace(PLAN.params, rounds=10))
    told = backtest(recording, CITY, split, plan=plan, folds=2, cadence_min=30)
    assert [fold["test"] for fold in told["folds"]] == [
        "2025-06-08..2025-06-09",
        "2025-06-07..2025-06-08",
    ]
    rows = [fold["targets"]["bikeout"]["rows"] for fold in told["folds"]]
    assert told["pooled"]["bikeout"]["rows"] == sum(rows)
    assert told["pooled"]["bikeout"]["days"] == 2


@pytest.mark.parametrize(
    ("split", "words", "options"),
    [
        (replace(SPLIT, test=window("2025-06-08..2025-06-20")), "outside the recording", {}),
        (replace(SPLIT, train=window("2025-05-02..2025-06-06")), "outside the recording", {}),
        (replace(SPLIT, test=None), "needs a test range", {}),
        (SPLIT, "expected one of 10, 20", {"horizon_min": 15}),
        (SPLIT, "expected one of 5, 10", {"cadence_min": 7}),
        (SPLIT, "ask for 2", {"folds": 3}),
    ],
)
def test_bad_ranges_are_refused_before_any_work(
    recording: Recording, split: Split, words: str, options: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match=words):
        backtest(recording, CITY, split, plan=PLAN, **options)


def test_docks_that_are_never_known_are_an_error_that_names_them(
    folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    status = pd.read_parquet(folder / "station_status.parquet")
    nothing = pd.array(np.full(len(status), np.nan), dtype="Int32")
    status.assign(num_docks_available=nothing).to_parquet(tmp_path / "station_status.parquet")
    with pytest.raises(InputError, match=r"dockout: of .* training rows 0 have a label"):
        backtest(open_recording(tmp_path), CITY, SPLIT, plan=PLAN)


def test_two_days_of_which_the_first_only_feeds_profiles_are_too_few(recording: Recording) -> None:
    split = Split(
        window("2025-06-02..2025-06-04"), SPLIT.calibrate, window("2025-06-07..2025-06-08")
    )
    with pytest.raises(InputError, match="only feeds profiles; give a longer range"):
        backtest(recording, CITY, split, plan=PLAN)


def _changed(folder: Path, into: Path, table: str, **columns: Any) -> Recording:
    shutil.copytree(folder, into, dirs_exist_ok=True)
    path = into / f"{table}.parquet"
    pd.read_parquet(path).assign(**columns).to_parquet(path)
    return open_recording(into)


def test_a_city_that_is_always_full_of_bikes_and_docks_is_an_error_that_says_so(
    folder: Path, tmp_path: Path
) -> None:
    plenty = _changed(folder, tmp_path, "station_status", num_docks_available=20)
    with pytest.raises(InputError, match=r"dockout: of .* 0 of those are out; expected both"):
        backtest(plenty, CITY, SPLIT, plan=PLAN, cadence_min=60)


def test_stations_without_position_or_capacity_are_scored_and_warned_of(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = {"lat": np.nan, "lon": np.nan, "capacity": pd.array([None] * 25, dtype="Int32")}
    plan = replace(PLAN, params=replace(PLAN.params, rounds=5))
    told = backtest(
        _changed(folder, tmp_path, "station_information", **nowhere),
        CITY,
        SPLIT,
        plan=plan,
        cadence_min=30,
    )
    assert "25 of 25 stations have no position" in " ".join(told["warnings"])
    found = told["slices"]["bikeout"]["slices"]
    assert [part["name"] for part in found["neighbourhood"]] == ["no position"]
    assert [part["name"] for part in found["capacity"]] == ["unknown"]
    assert "'capacity'" in caplog.text
