import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.flows.backtesting import cold_start_report
from mlops_bikeshare.flows.backtesting.recorded_days import RecordedCity
from mlops_bikeshare.flows.cold_start import cold_start
from mlops_bikeshare.flows.process.progress import silent
from mlops_bikeshare.sources.recorded import open_recording
from mlops_bikeshare.sources.simulator.simulate import simulate
from mlops_bikeshare.training.fit import FitParams
from mlops_bikeshare.training.table import Plan

PLAN = Plan(params=FitParams(rounds=30, leaves=15, threads=1), max_rows=6000)
FIRST_DAY = {"east": date(2025, 6, 2), "west": date(2023, 9, 4), "new": date(2024, 3, 4)}


def city(name: str) -> City:
    return City(name=name, timezone="America/Toronto", country="CA")


def opened(folder: Path, name: str) -> RecordedCity:
    return RecordedCity(open_recording(folder), city(name), 30)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {}
    for seed, (name, start) in enumerate(FIRST_DAY.items()):
        made[name] = tmp_path_factory.mktemp(name)
        days = 3 if name == "new" else 5
        zone = city(name).timezone
        simulate(stations=20, days=days, seed=seed, start=start, timezone=zone).write(made[name])
    return made


@pytest.fixture(scope="module")
def others(folders: dict[str, Path]) -> list[RecordedCity]:
    return [opened(folders[name], name) for name in ("east", "west")]


Judge = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def judge(others: list[RecordedCity]) -> Judge:
    def judged(folder: Path, **options: Any) -> dict[str, Any]:
        given = {"plan": PLAN, "learn_days": 5, **options}
        return cold_start(opened(folder, "new"), others, **given)

    return judged


@pytest.fixture(scope="module")
def report(judge: Judge, folders: dict[str, Path]) -> dict[str, Any]:
    return judge(folders["new"])


def test_the_report_compares_with_persistence_of_others_and_of_the_city_itself(
    report: dict[str, Any],
) -> None:
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["test"] == "2024-03-04..2024-03-06"
    assert [e["city"] for e in report["learned_from"]] == ["east", "west"]
    for told in report["targets"].values():
        assert told["days"] == 2
        assert told["interval_blocks"] == "6 h"
        assert set(told["difference"]) == {"persistence", "own_persistence"}
        skill = 1 - told["model"]["brier"] / told["persistence"]["brier"]
        assert told["brier_skill"] == pytest.approx(skill)
        # A table fitted on the rows it answers is the best a table of counts can be.
        assert told["own_persistence"]["brier"] <= told["persistence"]["brier"] + 1e-4
        assert told["own_persistence"]["ece"] < 0.01
    shown = cold_start_report.table(report)
    assert "never seen; learned from east" in shown
    assert "over own persistence: onset PR-AUC" in shown


def test_the_new_city_is_in_no_training_row(
    judge: Judge, report: dict[str, Any], folders: dict[str, Path], tmp_path: Path
) -> None:
    assert set(FIRST_DAY) - {e["city"] for e in report["learned_from"]} == {"new"}
    shutil.copytree(folders["new"], tmp_path, dirs_exist_ok=True)
    path = tmp_path / "station_status.parquet"
    status = pd.read_parquet(path)
    for name in ("num_bikes_available", "num_docks_available"):
        status[name] = status[name].to_numpy()[::-1]
    status.to_parquet(path)
    other = judge(tmp_path)
    assert (other["trees"], other["learned_from"]) == (report["trees"], report["learned_from"])
    for target, told in other["targets"].items():
        before = report["targets"][target]
        for method in ("model", "persistence"):
            assert told[method]["threshold"] == before[method]["threshold"]
        assert told["model"]["brier"] != before["model"]["brier"]


def test_the_days_after_the_first_change_no_answer_to_them(
    judge: Judge, report: dict[str, Any], folders: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(folders["new"], tmp_path, dirs_exist_ok=True)
    path = tmp_path / "station_status.parquet"
    status = pd.read_parquet(path)
    later = status["observed_at"] >= pd.Timestamp("2024-03-05 02:00", tz="UTC")
    status[~later | (status["observed_at"] >= pd.Timestamp("2024-03-06", tz="UTC"))].to_parquet(
        path
    )
    first = judge(tmp_path, days=1)["targets"]
    assert first == judge(folders["new"], days=1)["targets"]
    assert first != report["targets"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"horizon_min": 15}, "expected one of 10, 20"),
        ({"learn_days": 4}, "--learn-days 4: expected at least 5"),
        ({"learn_days": 9}, "first 9 days of east.* lies outside the recording"),
        ({"days": 9}, "first 9 days of new.* lies outside the recording"),
    ],
)
def test_days_that_are_not_there_are_refused_before_any_work(
    judge: Judge, folders: dict[str, Path], options: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        judge(folders["new"], track=_no_work, **options)


def _no_work(items: Any, *, label: str, total: int) -> Any:  # noqa: ARG001 - as a Track
    raise AssertionError(f"{label}: {total} days were read before the check")


def test_a_cadence_that_there_is_not_is_refused(folders: dict[str, Path]) -> None:
    odd = [RecordedCity(open_recording(folders[name]), city(name), 7) for name in ("new", "east")]
    with pytest.raises(InputError, match="--cadence 7: expected one of 5, 10"):
        cold_start(odd[0], odd[1:], plan=PLAN, learn_days=5, track=_no_work)


@pytest.mark.parametrize(
    ("taught_by", "words"),
    [
        ([], "no city to learn from"),
        ([("east", "east"), ("new", "elsewhere")], "new is to be new, but is among"),
        ([("east", "east"), ("west", "new")], "new is to be new, but is among"),
        ([("east", "east"), ("east", "again")], "names a recording twice"),
    ],
)
def test_a_city_that_would_teach_what_it_is_judged_by_is_refused(
    folders: dict[str, Path], taught_by: Sequence[tuple[str, str]], words: str
) -> None:
    cities = [opened(folders[folder], name) for folder, name in taught_by]
    with pytest.raises(InputError, match=words):
        cold_start(opened(folders["new"], "new"), cities, plan=PLAN, track=_no_work)


def test_a_new_city_whose_docks_are_never_known_is_an_error_that_names_them(
    judge: Judge, folders: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(folders["new"], tmp_path, dirs_exist_ok=True)
    path = tmp_path / "station_status.parquet"
    status = pd.read_parquet(path)
    nothing = pd.array([None] * len(status), dtype="Int32")
    status.assign(num_docks_available=nothing).to_parquet(path)
    plan = replace(PLAN, params=replace(PLAN.params, rounds=3))
    with pytest.raises(InputError, match=r"dockout: no row of the new city's first days"):
        judge(tmp_path, plan=plan, track=silent)
