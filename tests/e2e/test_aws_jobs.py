"""Profile aws on the wire: jobs as Lambda runs them, releases, and what AWS refuses."""

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dashboards import readings
from dashboards.readings import (
    choosing,
    clients,
    freshness,
    model_health,
    moves,
    releases,
    station,
    system_health,
)
from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import BikeshareError, LakeError, Refused
from mlops_bikeshare.domain.reports import GateReport
from mlops_bikeshare.domain.tables import INFERENCE, MONITORING_QUALITY
from mlops_bikeshare.domain.targets import HORIZONS_MIN
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.features.definition import FEATURE_NAMES
from mlops_bikeshare.flows import (
    catalog,
    deploy,
    features,
    gate,
    ingest,
    notify,
    production,
    promote,
    records,
    split,
    tracking,
)
from mlops_bikeshare.jobs.job import Asked
from mlops_bikeshare.jobs.work import work
from mlops_bikeshare.lake import s3_state
from mlops_bikeshare.monitoring.metrics import MODEL
from mlops_bikeshare.registry import versions
from mlops_bikeshare.registry.register import register
from mlops_bikeshare.serving import endpoints
from mlops_bikeshare.serving.deploy import undo
from mlops_bikeshare.serving.session import Created
from mlops_bikeshare.settings import load
from mlops_bikeshare.sources.gbfs.server import ReplayedCity
from mlops_bikeshare.sources.gbfs.server import serving as served_feed
from mlops_bikeshare.sources.recorded import open_recording
from mlops_bikeshare.sources.simulator.simulate import simulate
from tests import lambda_runtime
from tests.aws_account import LAKE, MODELS, TOPIC, Account, Working, account
from tests.e2e.conftest import ROOT
from tests.e2e.test_release_faults import TAGS
from tests.e2e.versions import artifacts, rows

START = date(2025, 6, 1)
NOON = datetime(2025, 6, 2, 4, tzinfo=UTC)

HANDLER = "mlops_bikeshare.jobs.handler.handler"


@pytest.fixture(scope="module")
def patched() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        # botocore waits for seconds between its attempts
        patch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
        yield patch


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("aws")
    (folder / "bikeshare.toml").write_text((ROOT / "bikeshare.toml").read_text())
    return folder


@pytest.fixture(scope="module")
def stands(home: Path, patched: pytest.MonkeyPatch) -> Iterator[Account]:
    with account(home, now=NOON + timedelta(hours=1), monkeypatch=patched) as found:
        patched.setenv("BIKESHARE_HOME", str(home))
        patched.setenv("BIKESHARE_DEFAULT_CITY", "demo")
        patched.setenv("BIKESHARE_NOTIFY__SNS_TOPIC", TOPIC)
        patched.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home / 'mlflow.db'}")
        yield found


def opened(disk: Path) -> Workspace:
    """The workspace as one more machine opens it, with a disk of its own."""
    return open_workspace(load(Path.cwd(), os.environ, {"state_dir": str(disk)}), simulated=True)


@pytest.fixture(scope="module")
def ws(home: Path, calls: Working) -> Workspace:  # noqa: ARG001 - listens from the start
    """Two cities, one with a day and some hours behind it, and versions of both."""
    ws = opened(home / "disk")
    city = ws.settings.city("demo")
    made = simulate(stations=10, days=2, seed=7, start=START, timezone=city.timezone)
    made.write(home / "recording")
    before = Window(Window.day(START).start, NOON)
    ingest.import_recording(ws, city, home / "recording", window=before)
    features.build(ws, city)
    ws.advance(NOON)
    _versions(ws, home)
    return ws


def _versions(ws: Workspace, home: Path) -> None:
    """Versions 1 and 2 of both cities, the same files; their artefacts lie on S3."""
    from mlflow import MlflowClient

    demo, boston = ws.settings.city("demo"), ws.settings.city("boston")
    with tracking.run(ws, demo, "versions", {}):
        for seed in (1, 2):
            made = artifacts(
                home / f"v{seed}", seed=seed, features=FEATURE_NAMES, horizons_min=HORIZONS_MIN
            )
            name = demo.registered_model
            version = register(made, name=name, tags=TAGS, probe=rows(FEATURE_NAMES))
            if seed == 1:
                client = MlflowClient()
                client.create_registered_model(boston.registered_model)
                source = client.get_model_version(name, version.version).source
                tags = {**TAGS, versions.DIGEST_TAG: version.digest}
                client.create_model_version(
                    boston.registered_model, source, tags=tags, await_creation_for=0
                )
    versions.move_alias(demo.registered_model, "challenger", "2", expected=None)


@pytest.fixture(scope="module")
def served(ws: Workspace, home: Path, calls: Working) -> Workspace:
    with calls.doing("deployer"):
        runner = opened(home / "runner")
        for name in ("demo", "boston"):
            deploy.deploy(runner, ws.settings.city(name), version="1", initial=True)
    return ws


def batch(ws: Workspace, at: datetime, city: str = "demo") -> dict[str, Any]:
    waited: list[float] = []
    return work(ws, Asked(job="infer", city=city, at=at), pause=waited.append)


def heartbeats(ws: Workspace, at: datetime) -> float:
    of = {"EndpointName": "bikeshare-prod", "City": "demo"}
    window = Window(at, at + timedelta(minutes=10))
    found = ws.metrics.series(
        MODEL, "PredictionHeartbeat", of, window=window, statistic="Sum", period_s=600
    )
    return sum(value for _, value in found)


def test_each_city_has_an_endpoint_whose_archive_came_from_s3(served: Workspace) -> None:
    names = [served.settings.endpoint("prod", name) for name in ("demo", "boston")]

    assert names == ["bikeshare-prod", "bikeshare-boston-prod"]
    for name in names:
        state = endpoints.describe(served.clients, name)
        assert (state.leading.version, state.status) == ("1", "InService")
        assert state.leading.model_data_url.startswith(f"s3://{MODELS}/")


def test_an_event_delivered_twice_at_once_makes_exactly_one_batch(
    served: Workspace, home: Path, calls: Working
) -> None:
    with calls.doing("infer"), ThreadPoolExecutor(2) as pool:
        machines = [opened(home / f"lambda{n}") for n in range(3)]
        done = list(pool.map(lambda ws: batch(ws, NOON), machines[:2]))
        again = batch(machines[2], NOON)

    assert {one["outcome"] for one in done} <= {"done", "busy"}
    assert [b["already_there"] for b in again["told"]] == [True]
    rows = served.lake.read(INFERENCE, city="demo")
    assert len(rows) == 10 * len(HORIZONS_MIN)
    assert set(rows["source"]) == {"model"}
    assert heartbeats(served, NOON) == 1


def test_a_function_that_is_ended_in_the_middle_of_a_batch_leaves_nothing_out_and_nothing_twice(
    served: Workspace,
    home: Path,
    calls: Working,
    stands: Account,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at = NOON + timedelta(minutes=10)
    served.advance(at)
    event = {"job": "infer", "city": "demo", "time": at.isoformat()}
    program = f"from mlops_bikeshare.jobs.handler import handler; handler({event}, None)"
    dying = {"AWS_ACCESS_KEY_ID": "infer", "BIKESHARE_STATE_DIR": str(home / "dying")}
    with subprocess.Popen([sys.executable, "-c", program], env={**os.environ, **dying}) as function:

        def ended(operation: str, asked: dict[str, Any]) -> None:
            """Lambda's time-out: the rows are written, the heartbeat is about to be posted."""
            named = [one["MetricName"] for one in asked.get("MetricData", [])]
            if operation == "PutMetricData" and "PredictionHeartbeat" in named:
                function.kill()
                raise ConnectionAbortedError

        monkeypatch.setattr(stands.cloudwatch, "before", ended)
        assert function.wait(timeout=120) == -signal.SIGKILL
        monkeypatch.undo()
    assert heartbeats(served, at) == 0

    with calls.doing("infer"):
        at_once = batch(opened(home / "at-once"), at)
        monkeypatch.setattr(s3_state, "SILENT_S", 0)  # what Lambda's minute of waiting comes to
        with pytest.raises(LakeError, match="was begun 0 s ago and not finished"):
            batch(opened(home / "again"), at)  # CloudWatch may have it, and shows it later
    served.advance(at + timedelta(minutes=10))
    with calls.doing("infer"):
        done = batch(opened(home / "next"), at + timedelta(minutes=10))

    assert at_once["outcome"] == "busy", "nobody can know yet that the other is dead"
    assert done["outcome"] == "done"
    for minutes in (0, 10):
        dt = at + timedelta(minutes=minutes)
        made = Window(dt, dt + timedelta(minutes=1))
        assert len(served.lake.read(INFERENCE, city="demo", window=made)) == 10 * len(HORIZONS_MIN)
        assert heartbeats(served, dt) == 1


def test_a_lock_lapses_before_lambda_sends_an_event_again() -> None:
    assert s3_state.SILENT_S < 60


def test_an_event_far_ahead_of_the_clock_stops_and_one_that_is_over_is_left(
    served: Workspace,
) -> None:
    with pytest.raises(BikeshareError, match="this machine's clock says"):
        batch(served, served.now + timedelta(minutes=10))
    late = batch(served, served.now - timedelta(minutes=10))
    assert late["outcome"] == "late"


@pytest.mark.parametrize("job", ["monitor", "drift", "compact"])
def test_the_other_jobs_run_on_a_disk_of_their_own(
    served: Workspace, home: Path, calls: Working, job: str
) -> None:
    asked = Asked(job=job, city="demo", at=served.now)
    with calls.doing(job):
        done = work(opened(home / job), asked, pause=_never)

    assert done["outcome"] == "done"


def _never(seconds: float) -> None:
    raise AssertionError(seconds)


def test_a_poll_of_a_live_feed_is_stored_once(
    served: Workspace, home: Path, calls: Working
) -> None:
    recording = open_recording(home / "recording")
    with served_feed(ReplayedCity(recording, served.clock)) as url:
        boston = dataclasses.replace(served.settings.city("boston"), gbfs_url=url)
        with calls.doing("ingest"):
            lambda_ = opened(home / "ingest")
            cities = {**lambda_.settings.cities, "boston": boston}
            own = Workspace(dataclasses.replace(lambda_.settings, cities=cities), lambda_.clock)
            asked = Asked(job="ingest", city="boston", at=None)
            done = [work(own, asked, pause=_never) for _ in range(2)]

    assert [one["told"]["already_there"] for one in done] == [False, True]


@pytest.mark.long
def test_from_a_pass_to_a_rollback_every_decision_lies_on_s3(
    served: Workspace, home: Path, calls: Working, stands: Account
) -> None:
    city = served.settings.city("demo")
    with calls.doing("deployer"):
        runner = opened(home / "runner")
        deploy.deploy(runner, city)
        _passes(runner, city)
        moved = promote.promote(opened(home / "runner"), city)
        with runner.state.alone("release.lock"), pytest.raises(Refused, match="another promotion"):
            promote.rollback(opened(home / "person"), city, reason="test")
        back = promote.rollback(opened(home / "person"), city, reason="test")

    assert (moved.to_version, back.to_version) == ("2", "1")
    told = production.tell(opened(home / "anyone"), city)
    assert [reign.version for reign in told.reigns] == ["1", "2", "1"]
    assert "rollback" in [entry["kind"] for entry in records.proven(opened(home / "anyone"))[0]]
    assert opened(home / "anyone").sm_endpoint == "bikeshare-prod"
    kept = stands.clients["s3"].list_objects_v2(Bucket=LAKE, Prefix="w/state/incidents")
    assert any(item["Key"].endswith("incident.json") for item in kept["Contents"])
    assert not list(home.glob("*/w/audit.jsonl"))


def _passes(ws: Workspace, city: City) -> None:
    """A pass of what staging serves, as a day of batches would have earned it."""
    found = versions.find(city.registered_model, "2")
    report = GateReport(
        verdict="pass",
        city=city.name,
        endpoint=ws.settings.endpoint("staging", city.name),
        model_version=found.version,
        artefact_digest=found.digest,
        window=Window.before(ws.now),
        judged_at=ws.now,
        checks=(),
        pinned={"champion_version": "1"},
    )
    records.keep_gate(ws, report, table="", junit="")
    records.audit(ws, "gate", why="verdict pass", facts=records.facts(report))


@pytest.mark.long
def test_a_gate_reads_all_it_judges_from_aws_and_does_not_pass_on_a_few_batches(
    served: Workspace, home: Path, calls: Working
) -> None:
    city = served.settings.city("demo")
    with calls.doing("gate"):
        report = gate.gate(opened(home / "gate"), city, endpoint="bikeshare-prod")

    assert report.verdict != "pass"


@pytest.mark.long
def test_every_page_of_the_dashboard_reads_with_the_dashboards_role(
    served: Workspace, calls: Working, home: Path
) -> None:
    catalog.apply(served)  # by people, as the stacks are
    with calls.doing("dashboard"):
        chosen = {"BIKESHARE_CITY": "demo", "BIKESHARE_SM_ENDPOINT": "bikeshare-prod"}
        choice = choosing.choose(home, {**os.environ, **chosen}, workspace=None)
        asked = clients.connect(choice)
        reading = readings.read(choice, asked)
        assert isinstance(reading, readings.CityReading), reading
        pages: list[Any] = [
            model_health.read(choice, asked),
            system_health.read(choice, asked, hours=24),
            freshness.read(choice, asked),
            releases.read(choice),
        ]
        station.past(asked, reading, reading.stations.index[0], horizon_min=30)
        station.persistence(choice, reading)
        station.drivers(choice, reading, reading.stations.index[0], horizon_min=30)
        moves.suggested(choice, reading)

    assert len(reading.stations) == 10
    assert [page.what for page in pages if isinstance(page, readings.Empty)] == [
        "No window of predictions for demo was judged yet."
    ]


def test_a_topic_that_is_gone_is_counted_and_stops_nothing(
    served: Workspace, calls: Working, stands: Account, home: Path
) -> None:
    stands.clients["sns"].delete_topic(TopicArn=TOPIC)
    with calls.doing("monitor"):
        told = notify.test(opened(home / "monitor"), served.settings.city("demo"))

    assert {one.channel: one.failure for one in told} == {"log": None, "sns": "NotFound"}
    stands.clients["sns"].create_topic(Name=TOPIC.rpartition(":")[2])


@pytest.mark.long
def test_traffic_is_shared_out_staging_is_stopped_and_what_failed_is_cleared_away(
    served: Workspace, home: Path, calls: Working
) -> None:
    city = served.settings.city("demo")
    with calls.doing("deployer"):
        runner = opened(home / "runner")
        deploy.deploy(runner, city, version="1", endpoint="bikeshare-trial")
        done = split.split(runner, city, candidate="2", share=0.5, endpoint="bikeshare-trial")
        endpoints.delete_endpoint(runner.clients, "bikeshare-trial", timeout_s=30)
        undo(runner.clients, Created(["bikeshare-x"], ["bikeshare-x"], [(MODELS, "x")]))

    assert done.shares == {"1": 0.5, "2": 0.5}
    assert endpoints.find(served.clients, "bikeshare-trial") is None


def test_lambda_runs_the_handler_once_for_an_event_it_was_sent_twice(
    served: Workspace, home: Path
) -> None:
    at = served.now + timedelta(minutes=10)
    served.advance(at)
    event = {"job": "infer", "city": "demo", "time": at.isoformat()}
    environ = {**os.environ, "BIKESHARE_STATE_DIR": str(home / "lambda"), "OMP_NUM_THREADS": "1"}
    client = lambda_runtime.installed(home / "client")
    environ["AWS_ACCESS_KEY_ID"] = "infer"

    with lambda_runtime.function(HANDLER, client=client, environ=environ) as deployed:
        first = deployed.send(event)
        cold_s = deployed.cpu_s()
        again = deployed.send(event)
        print(f"cold start {cold_s:.1f} CPU-s, then {deployed.cpu_s() - cold_s:.2f}")  # noqa: T201
        wrong = deployed.send({"job": "bake"})

    assert first[0] == again[0] == "response", (first, again)
    assert (first[1]["outcome"], first[1]["told"][0]["stations"]) == ("done", 10)
    assert [b["already_there"] for b in again[1]["told"]] == [True] * len(again[1]["told"])
    assert heartbeats(served, at) == 1
    assert (wrong[0], wrong[1]["errorType"]) == ("error", "InputError")
    assert "expected one of ingest, infer, monitor, drift, compact" in wrong[1]["errorMessage"]


@pytest.mark.long
def test_a_day_later_labels_are_judged_and_what_lies_in_pieces_is_merged(
    served: Workspace, home: Path, calls: Working
) -> None:
    city = served.settings.city("demo")
    morning = Window(NOON, NOON + timedelta(hours=2))
    ingest.import_recording(served, city, home / "recording", window=morning)
    told = {}
    for job, at in (
        ("monitor", NOON + timedelta(hours=2)),
        ("drift", NOON + timedelta(hours=21)),
        ("compact", NOON + timedelta(hours=21)),
    ):
        served.advance(at)
        with calls.doing(job):
            told[job] = work(opened(home / job), Asked(job=job, city="demo", at=at), pause=_never)

    assert {one["outcome"] for one in told.values()} == {"done"}
    judged = served.lake.read(MONITORING_QUALITY, city="demo")
    assert set(judged["endpoint"]) >= {"bikeshare-prod"}
    names = Workspace(served.settings, served.clock).lake.store.keys("inference/city=demo")
    assert [name.rpartition("/")[2] for name in names] == ["whole-000001.parquet"]
