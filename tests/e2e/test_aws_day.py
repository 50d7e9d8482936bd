"""A whole day with profile aws, job by job as schedules start them; every service on the wire."""

import os
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from dashboards.readings import choosing, model_health
from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.domain.windows import CADENCE_S, SLOT_S, Window
from mlops_bikeshare.flows import (
    deploy,
    features,
    gate,
    ingest,
    production,
    promote,
    retrain,
    watch,
)
from mlops_bikeshare.flows import train as training
from mlops_bikeshare.flows.releasing import planned
from mlops_bikeshare.jobs.job import Asked
from mlops_bikeshare.jobs.work import work
from mlops_bikeshare.settings import load
from mlops_bikeshare.sources.recorded import Recording, open_recording
from mlops_bikeshare.sources.simulator.simulate import simulate
from tests.aws_account import TOPIC, Account, Working, account
from tests.e2e.conftest import ROOT
from tests.e2e.test_lifecycle import SMALL

START, DAYS = date(2025, 6, 1), 13
DAY = Window.day(START + timedelta(days=DAYS - 1))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("aws")
    text = (ROOT / "bikeshare.toml").read_text()
    for old, new in SMALL.items():
        text = text.replace(old, new)
    (folder / "bikeshare.toml").write_text(text)
    return folder


@pytest.fixture(scope="module")
def stands(home: Path) -> Iterator[Account]:
    with (
        pytest.MonkeyPatch.context() as patch,
        account(home, now=DAY.end + timedelta(hours=1), monkeypatch=patch) as found,
    ):
        patch.setenv("BIKESHARE_HOME", str(home))
        patch.setenv("BIKESHARE_DEFAULT_CITY", "demo")
        patch.setenv("BIKESHARE_NOTIFY__SNS_TOPIC", TOPIC)
        patch.setenv("BIKESHARE_REGISTRY__SAGEMAKER", "yes")
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home / 'mlflow.db'}")
        yield found


def opened(disk: Path) -> Workspace:
    return open_workspace(load(Path.cwd(), os.environ, {"state_dir": str(disk)}), simulated=True)


def _never(seconds: float) -> None:
    pytest.fail(f"a job waited for {seconds} s")


def lived(ws: Workspace, home: Path, feed: Recording, calls: Working) -> int:
    """Every poll, batch and judgement of the day, each by its job in its role; lost batches."""
    lost, machines, city = 0, {}, ws.settings.city("demo")
    for job in ("ingest", "infer", "monitor", "drift", "compact"):
        with calls.doing(job):
            machines[job] = opened(home / job)

    def did(job: str, at: datetime | None) -> bool:
        with calls.doing(job):
            machines[job].follow()
            asked = Asked(job=job, city=city.name, at=at)
            outcome: str = work(machines[job], asked, pause=_never)["outcome"]
            return outcome == "done"

    for at in DAY.steps(step_s=SLOT_S):
        ws.advance(at)
        with calls.doing("ingest"):
            machines["ingest"].follow()
            ingest.poll(machines["ingest"], city, feed, at)
        if at.timestamp() % CADENCE_S:
            continue
        for job in ("infer", "monitor", *(["drift"] if at.minute == 0 else [])):
            lost += not did(job, at)
    ws.advance(DAY.end)
    for job in ("monitor", "drift", "compact"):
        lost += not did(job, None)
    return lost


def approvals(there: Account) -> dict[str, str]:
    """Version → what SageMaker's registry says of it, by the facts of its package."""
    return {
        told["CustomerMetadataProperties"]["mlflow_version"]: told["ModelApprovalStatus"]
        for told in there.packages.packages.values()
    }


def requests_of_the_day(calls: Working) -> str:
    """A line for each job: how often it asked for what."""
    asked = calls.roles.asked
    return "\n".join(
        f"{job}: " + ", ".join(f"{n} {action}" for (who, action), n in asked.items() if who == job)
        for job in ("ingest", "infer", "monitor", "drift", "compact")
    )


@pytest.mark.long
def test_a_day_of_jobs_earns_a_pass_which_is_promoted_and_rolled_back(
    home: Path, stands: Account, calls: Working
) -> None:
    ws = opened(home / "first")
    city = ws.settings.city("demo")
    made = simulate(stations=60, days=DAYS, seed=7, start=START, timezone=city.timezone)
    made.write(home / "recording")
    feed = open_recording(home / "recording")
    history = Window(Window.day(START).start, DAY.start)
    ingest.import_recording(ws, city, feed.folder, window=history)
    with calls.doing("deployer"):
        runner = opened(home / "runner")
        features.build(runner, city, window=history)
        older = Window(history.start, history.start + timedelta(days=6))
        champion = training.train(runner, city, training.by_shares(older), label="champion")
        challenger = training.train(runner, city, training.by_shares(history))
        deploy.deploy(runner, city, version=champion.version, initial=True)
        deploy.deploy(runner, city, version=challenger.version)
    assert approvals(stands) == {"1": "Approved", "2": "PendingManualApproval"}
    for package in stands.packages.packages.values():
        assert set(package["ModelMetrics"]) == {"ModelDataQuality", "ModelQuality"}

    assert lived(ws, home, feed, calls) == 0
    print(requests_of_the_day(calls))  # noqa: T201 - ops/prices.toml says what they come to

    with calls.doing("gate"):  # what the workflows do before people are asked
        judging = opened(home / "gate")
        looked = retrain.retrain(judging, city, check=True)
        planned.promotion(judging, city)
        verdict = gate.gate(judging, city)
    assert looked.choice.row
    assert verdict.verdict == "pass", gate.summary(verdict)
    with calls.doing("deployer"):
        runner = opened(home / "runner")
        assert gate.gate(runner, city).verdict == "pass"
        promote.promote(runner, city)
        assert approvals(stands) == {"1": "PendingManualApproval", "2": "Approved"}
        assert watch.watch(runner, city).moved is None
        promote.rollback(opened(home / "person"), city, reason="test")
    assert approvals(stands) == {"1": "Approved", "2": "Rejected"}
    with calls.doing("dashboard"):
        chosen = {**os.environ, "BIKESHARE_CITY": city.name}
        choice = choosing.choose(home, chosen, workspace=None)
        assert len(model_health.reliability(choice, DAY.end))
    told = production.tell(opened(home / "anyone"), city)
    assert [reign.version for reign in told.reigns] == ["1", "2", "1"]
    assert sorted(set(calls.roles.refused)) == []
