"""`mlflow run` of features and train as jobs of SageMaker, whose containers really run."""

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.cloud import sagemaker_jobs
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows import features, ingest, tracking
from mlops_bikeshare.flows import train as training
from mlops_bikeshare.flows.features import OFFLINE
from mlops_bikeshare.registry import versions
from mlops_bikeshare.settings import load
from mlops_bikeshare.sources.simulator.simulate import simulate
from tests.aws_account import Account, Working, account
from tests.e2e.conftest import ROOT
from tests.e2e.shown import shown
from tests.sagemaker_jobs_wire import SageMakerJobs, image, jobs_on_the_wire

START, NOW = date(2025, 6, 2), datetime(2025, 6, 7, tzinfo=UTC)
SPLIT = {
    "train": "2025-06-03..2025-06-05",
    "calibrate": "2025-06-05..2025-06-06",
    "test": "2025-06-06..2025-06-07",
}
ROLE = "arn:aws:iam::123456789012:role/bikeshare-dev-sagemaker_jobs"
IMAGE = "123456789012.dkr.ecr.ca-central-1.amazonaws.com/bikeshare-dev-jobs:0.1.0"


@pytest.fixture(scope="module")
def patched() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sagemaker_jobs, "POLL_S", 0.1)
        yield patch


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sagemaker")
    text = (ROOT / "bikeshare.toml").read_text()
    (folder / "bikeshare.toml").write_text(text.replace("rounds = 400", "rounds = 3"))
    return folder


@pytest.fixture(scope="module")
def stands(home: Path, patched: pytest.MonkeyPatch) -> Iterator[Account]:
    with account(home, now=NOW, monkeypatch=patched) as found:
        patched.setenv("BIKESHARE_HOME", str(home))
        patched.setenv("BIKESHARE_DEFAULT_CITY", "demo")
        patched.setenv("BIKESHARE_JOBS__IMAGE_URL", IMAGE)
        patched.setenv("BIKESHARE_JOBS__ROLE_ARN", ROLE)
        patched.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home / 'mlflow.db'}")
        yield found


@pytest.fixture(scope="module")
def ws(home: Path, calls: Working) -> Workspace:  # noqa: ARG001 - listens from the start
    """Five days of a small city in the lake on S3, without features."""
    ws = opened(home / "disk")
    city = ws.settings.city("demo")
    made = simulate(stations=20, days=5, seed=3, start=START, timezone=city.timezone)
    made.write(home / "recording")
    ingest.import_recording(ws, city, home / "recording")
    ws.advance(NOW)
    tracking.connect(ws)
    return ws


@pytest.fixture(scope="module")
def jobs(
    home: Path,
    stands: Account,
    ws: Workspace,  # noqa: ARG001 - jobs need a lake
    patched: pytest.MonkeyPatch,
) -> Iterator[SageMakerJobs]:
    its_role = {**stands.environment, "AWS_ACCESS_KEY_ID": "sagemaker_jobs"}
    guard = stands.roles.guard
    with jobs_on_the_wire(home / "ml", image(home, its_role), guarded=guard) as found:
        patched.setenv("AWS_ENDPOINT_URL_SAGEMAKER", found.url)
        yield found


def opened(disk: Path) -> Workspace:
    return open_workspace(load(Path.cwd(), os.environ, {"state_dir": str(disk)}), simulated=True)


def submitted(command: str, calls: Working, *, wait: bool = True, **given: str) -> Any:
    """An entry point that ran as a job, as `mlflow run` asks; ExecutionException if it failed."""
    import mlflow

    with calls.doing("job_starter"):
        return mlflow.projects.run(
            str(ROOT),
            command,
            parameters=given,
            experiment_id="0",
            backend="bikeshare-sagemaker",
            backend_config={"wait": wait},
            synchronous=False,
        )


def test_features_run_as_a_processing_job_on_the_lake(
    jobs: SageMakerJobs, ws: Workspace, calls: Working
) -> None:
    from mlflow import MlflowClient

    done = submitted("features", calls, city="demo", window="2025-06-02..2025-06-04")
    run_id = done.run_id

    assert ws.lake.days(OFFLINE, city="demo") == [date(2025, 6, 3)]  # the first day makes profiles
    (job,) = (one for one in jobs.jobs.values() if one.kind == "Processing")
    run = MlflowClient().get_run(run_id)
    assert run.data.tags["sagemaker_job"] == f"bikeshare-features-{run_id}"
    assert run.info.status == "FINISHED"
    assert job.asked["AppSpecification"]["ImageUri"] == IMAGE
    assert job.asked["RoleArn"] == ROLE


def test_a_training_that_fails_says_why_where_sagemaker_and_mlflow_show_it(
    jobs: SageMakerJobs, calls: Working
) -> None:
    from mlflow import MlflowClient
    from mlflow.exceptions import ExecutionException

    with pytest.raises(ExecutionException, match=r"is Failed: .*'atlantis' is not in"):
        submitted("train", calls, city="atlantis")

    (job,) = (one for one in jobs.jobs.values() if one.kind == "Training")
    said = (job.base / "output" / "failure").read_text()
    assert "city 'atlantis' is not in bikeshare.toml" in said
    run = MlflowClient().get_run(job.asked["Environment"]["MLFLOW_RUN_ID"])
    assert run.data.tags["sagemaker_job_reason"] == said
    assert run.info.status == "FAILED"
    assert list((job.base / "model").iterdir()) == []


def test_cancelling_stops_the_job(jobs: SageMakerJobs, calls: Working) -> None:
    going = submitted("features", calls, wait=False, city="demo")
    assert going.get_status() == "RUNNING"

    with calls.doing("job_starter"):
        going.cancel()

    assert jobs.jobs[going.job.name].status == "Stopped"
    assert going.get_status() == "KILLED"
    assert not going.wait()


@pytest.mark.parametrize(
    ("command", "variable", "said"),
    [
        ("gate", {}, "no job of SageMaker; expected one of features, train"),
        ("train", {"BIKESHARE_PROFILE": "local"}, "set BIKESHARE_PROFILE=aws"),
        ("train", {"BIKESHARE_JOBS__IMAGE_URL": None}, "jobs.image_url is not set"),
    ],
)
def test_what_cannot_be_a_job_is_refused_before_anything_starts(
    jobs: SageMakerJobs,
    calls: Working,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    variable: dict[str, str | None],
    said: str,
) -> None:
    from mlflow import MlflowClient
    from mlflow.exceptions import ExecutionException

    before = len(jobs.jobs)
    for name, value in variable.items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)

    with pytest.raises(ExecutionException, match=said):
        submitted(command, calls)

    assert len(jobs.jobs) == before
    assert MlflowClient().search_runs(["0"], "attributes.status = 'RUNNING'") == []


@pytest.mark.long
def test_a_job_asks_nothing_that_its_role_may_not(
    home: Path,
    ws: Workspace,  # noqa: ARG001 - the lake
    calls: Working,
) -> None:
    with calls.doing("sagemaker_jobs"):
        job = opened(home / "job")
        city = job.settings.city("demo")
        features.build(job, city)
        split = {name: Window.parse(value, key=name) for name, value in SPLIT.items()}
        trained = training.train(job, city, training.choose_split(job, city, **split))

    assert trained.version


@pytest.mark.long
def test_the_page_shows_it_and_the_pipelines_evaluation_knows_the_version_by_its_archive(
    home: Path, jobs: SageMakerJobs, ws: Workspace
) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", shown("SageMaker jobs", "bash")],
        cwd=ROOT,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    version = versions.find("bikeshare-demo", "challenger")
    job = [one for one in jobs.jobs.values() if one.kind == "Training"][-1]
    assert job.asked["HyperParameters"] == {"city": "demo", "rounds": "3"}
    assert version.run_id == job.asked["Environment"]["MLFLOW_RUN_ID"]
    assert (job.base / "model" / "MLmodel").is_file()
    assert ws.lake.days(OFFLINE, city="demo")[-1] == date(2025, 6, 6)

    base = home / "ml" / "evaluate"
    told = evaluated(base, job.base / "model", jobs)
    assert told["version"] == version.version
    assert told["worst"]["f1"] == min(told["scores"][t]["f1"] for t in ("bikeout", "dockout"))
    assert set(told["worst"]) == set(ws.settings.gate.of_its_own_test)


def evaluated(base: Path, model: Path, jobs: SageMakerJobs) -> dict[str, Any]:
    """What the step `evaluate` writes of a model that SageMaker has archived."""
    archive = base / "processing" / "model" / "model.tar.gz"
    archive.parent.mkdir(parents=True)
    with tarfile.open(archive, "w:gz") as files:
        files.add(model, arcname=".")
    asked = [job.asked for job in jobs.jobs.values() if job.kind == "Training"][-1]
    subprocess.run(
        ["python3", "-m", "projects.sagemaker", "evaluate", "--city", "demo"],
        cwd=jobs.image["BIKESHARE_HOME"],
        env={**jobs.image, **asked["Environment"], "SAGEMAKER_BASE_DIR": str(base)},
        check=True,
    )
    found: dict[str, Any] = json.loads(
        (base / "processing" / "evaluation" / "evaluation.json").read_text()
    )
    return found
