"""Folds beside each other on a cluster: the same figures, and a worker that dies costs nothing."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.cli import main
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import InputError, SourceError
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows import backtest_on_dask, features, ingest
from mlops_bikeshare.flows.backtest import backtest
from mlops_bikeshare.flows.scaling import cluster
from mlops_bikeshare.flows.train import plan_of
from mlops_bikeshare.flows.tune import tune
from mlops_bikeshare.settings import load
from mlops_bikeshare.sources.recorded import open_recording
from mlops_bikeshare.sources.simulator.simulate import simulate
from mlops_bikeshare.training.fit import FitParams
from mlops_bikeshare.training.split import Split
from mlops_bikeshare.training.table import Plan

CITY = City(name="small", timezone="America/Toronto", country="CA")
TOML = """
default_city = "small"
[training]
rounds = 8
threads = 2
max_rows = 4000
[cities.small]
timezone = "America/Toronto"
country = "CA"
"""


def window(text: str) -> Window:
    return Window.parse(text, key="window")


SPLIT = Split(
    window("2025-06-02..2025-06-06"),
    window("2025-06-06..2025-06-07"),
    window("2025-06-07..2025-06-08"),
)
PLAN = Plan(params=FitParams(rounds=10, leaves=15, threads=2))
ASKED: dict[str, Any] = {"plan": PLAN, "folds": 2, "cadence_min": 30}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("recording")
    simulate(stations=25, days=6, seed=3, start=date(2025, 6, 2), timezone=CITY.timezone).write(
        made
    )
    return made


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    pytest.importorskip("distributed", reason="Dask is not installed: `make dask`")
    with cluster.client(None, workers=2) as found:
        yield found


@pytest.fixture
def scheduler(client: Any) -> str:
    return str(client.scheduler.address)


def told(report: dict[str, Any]) -> dict[str, Any]:
    """What a report says of the model."""
    return {n: v for n, v in report.items() if not n.endswith(("_seconds", "_rss_mb"))}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "bikeshare.toml").write_text(TOML)
    monkeypatch.setenv("BIKESHARE_HOME", str(tmp_path))
    return tmp_path


def test_folds_beside_each_other_give_the_report_of_one_after_the_other(
    folder: Path, scheduler: str, home: Path
) -> None:
    settings = load(home, {}, {})
    city, plan = settings.city("small"), plan_of(settings)
    alone = backtest(open_recording(folder), city, SPLIT, **{**ASKED, "plan": plan})
    ranges = [f"--{n}={getattr(SPLIT, n)}" for n in ("train", "calibrate", "test")]
    given = ["--recording", str(folder), "--city", "small", "--folds", "2", "--cadence", "30"]
    there = ["--engine", "dask", "--scheduler", scheduler, "--report", str(home / "report.json")]
    assert main(["backtest", *given, *ranges, *there]) == 0
    beside = json.loads((home / "report.json").read_text())
    assert len(beside["folds"]) == 2
    assert told(beside) == told(json.loads(json.dumps(alone)))
    assert beside["train_seconds"] > 0


def test_what_a_worker_cannot_read_is_told_in_its_words(
    folder: Path, scheduler: str, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / "gone")
    recording = open_recording(tmp_path / "gone")
    shutil.rmtree(tmp_path / "gone")
    with pytest.raises(SourceError, match=r"no recording at .*gone"):
        backtest_on_dask.backtest(recording, CITY, SPLIT, scheduler=scheduler, **ASKED)


def test_the_same_candidates_are_tried_and_pruned(folder: Path, scheduler: str, home: Path) -> None:
    ws = open_workspace(load(home, {}, {}), simulated=True)
    city = ws.settings.city(None)
    ingest.import_recording(ws, city, folder)
    features.build(ws, city)
    asked: dict[str, Any] = {"window": window("2025-06-03..2025-06-08"), "trials": 7, "folds": 2}
    alone = tune(ws, city, **asked)
    tried = trials(ws)
    assert {state for *_, state in tried} == {"COMPLETE", "PRUNED"}
    shutil.move(ws.path / "tune.journal", home / "tune.journal")
    given = ["--window", str(asked["window"]), "--trials", "7", "--folds", "2"]
    assert main(["tune", *given, "--engine", "dask", "--scheduler", scheduler]) == 0
    assert trials(ws) == tried
    again = tune(ws, city, **asked)  # it is the study that either engine goes on with
    assert (again.best, again.pruned) == (alone.best, alone.pruned)


def trials(ws: Workspace) -> list[tuple[Any, ...]]:
    import optuna
    from optuna.storages.journal import JournalFileBackend

    kept = optuna.storages.JournalStorage(JournalFileBackend(str(ws.path / "tune.journal")))
    study = optuna.load_study(study_name=None, storage=kept)
    return [(t.params, t.value, t.intermediate_values, t.state.name) for t in study.trials]


def test_a_task_whose_worker_dies_is_done_again(client: Any, tmp_path: Path) -> None:
    def once(number: int) -> int:
        began = tmp_path / str(number)
        if number == 1 and not began.exists():
            began.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    tasks = [client.submit(once, number, pure=False) for number in range(3)]
    assert list(cluster.in_order(client, tasks)) == [0, 1, 2]
    assert (tmp_path / "1").exists()


def test_a_task_that_kills_its_workers_is_an_error_that_says_what_to_do(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client.cluster.scheduler, "allowed_failures", 0)
    tasks = [client.submit(lambda: os.kill(os.getpid(), signal.SIGKILL), pure=False)]
    with pytest.raises(InputError, match="start fewer --workers"):
        list(cluster.in_order(client, tasks))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--scheduler", "tcp://127.0.0.1:1"], "--scheduler is of a Dask cluster"),
        (["--workers", "3"], "add --engine dask, or leave --workers out"),
        (
            ["--engine", "dask", "--workers", "3", "--scheduler", "tcp://127.0.0.1:1"],
            "give one of the two",
        ),
    ],
)
def test_options_of_a_cluster_that_contradict_each_other_are_refused(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["features", *options]) == 2
    assert words in capsys.readouterr().err
