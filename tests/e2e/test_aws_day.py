"""A whole day with profile aws, job by job as schedules start them; every service on the wire."""

import os
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.windows import CADENCE_S, SLOT_S, Window
from mlops_bikeshare.flows import deploy, features, gate, ingest, production, promote
from mlops_bikeshare.flows import train as training
from mlops_bikeshare.jobs.job import Asked
from mlops_bikeshare.jobs.work import work
from mlops_bikeshare.settings import load
from mlops_bikeshare.sources.recorded import Recording, open_recording
from mlops_bikeshare.sources.simulator.simulate import simulate
from tests.aws_account import TOPIC, Account, account
from tests.e2e.conftest import ROOT
from tests.e2e.test_lifecycle import SMALL
from tests.recorded_calls import Recorder, recording

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
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home / 'mlflow.db'}")
        yield found


def opened(disk: Path) -> Workspace:
    return open_workspace(load(Path.cwd(), os.environ, {"state_dir": str(disk)}), simulated=True)


def _never(seconds: float) -> None:
    pytest.fail(f"a job waited for {seconds} s")


def lived(ws: Workspace, city: City, feed: Recording, calls: Recorder) -> int:
    """Every poll, batch and judgement of the day, each as the job that does it; lost batches."""
    lost = 0
    for at in DAY.steps(step_s=SLOT_S):
        ws.advance(at)
        with calls.doing("ingest"):
            ingest.poll(ws, city, feed, at)
        if at.timestamp() % CADENCE_S:
            continue
        for job in ("infer", "monitor", *(["drift"] if at.minute == 0 else [])):
            with calls.doing(job):
                done = work(ws, Asked(job=job, city=city.name, at=at), pause=_never)
                lost += done["outcome"] != "done"
    ws.advance(DAY.end)
    for job in ("monitor", "drift", "compact"):
        with calls.doing(job):
            work(ws, Asked(job=job, city=city.name, at=None), pause=_never)
    return lost


@pytest.mark.long
@pytest.mark.usefixtures("stands")
def test_a_day_of_jobs_earns_a_pass_which_is_promoted_and_rolled_back(home: Path) -> None:
    with recording() as calls:
        ws = opened(home / "first")
        city = ws.settings.city("demo")
        made = simulate(stations=60, days=DAYS, seed=7, start=START, timezone=city.timezone)
        made.write(home / "recording")
        feed = open_recording(home / "recording")
        history = Window(Window.day(START).start, DAY.start)
        with calls.doing("deployer"):
            ingest.import_recording(ws, city, feed.folder, window=history)
            features.build(ws, city, window=history)
            older = Window(history.start, history.start + timedelta(days=6))
            champion = training.train(ws, city, training.by_shares(older), label="champion")
            challenger = training.train(ws, city, training.by_shares(history))
            deploy.deploy(ws, city, version=champion.version, initial=True)
            deploy.deploy(ws, city, version=challenger.version)

        assert lived(ws, city, feed, calls) == 0

        with calls.doing("gate"):
            verdict = gate.gate(opened(home / "gate"), city)
        assert verdict.verdict == "pass", gate.summary(verdict)
        with calls.doing("deployer"):
            promote.promote(opened(home / "runner"), city)
            promote.rollback(opened(home / "person"), city, reason="test")
    told = production.tell(opened(home / "anyone"), city)
    assert [reign.version for reign in told.reigns] == ["1", "2", "1"]
