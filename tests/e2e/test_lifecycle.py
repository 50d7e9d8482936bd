"""The whole loop on a tiny seeded city: real processes, real sockets, real files."""

import json
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.clock import SimulatedClock
from mlops_bikeshare.domain.errors import EndpointError, Refused
from mlops_bikeshare.domain.tables import INFERENCE, MONITORING_QUALITY
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows import (
    alarms,
    deploy,
    exporter,
    gate,
    infer,
    promote,
    records,
    serve,
    split,
    tracking,
)
from mlops_bikeshare.flows.releasing import execute
from mlops_bikeshare.flows.runs import outcome
from mlops_bikeshare.monitoring.metrics import MODEL, point
from mlops_bikeshare.registry import versions
from mlops_bikeshare.serving import endpoints, launch
from mlops_bikeshare.settings import load
from tests.e2e.canary import through_a_canary
from tests.e2e.conftest import ROOT, Ended, Home

# A city this small says less in a day than a real one, so the bars are lower; they stay bars.
SMALL = {
    "pr_auc_24h = 0.70": "pr_auc_24h = 0.30",
    "f1_24h = 0.55": "f1_24h = 0.30",
    "psi = 0.20": "psi = 0.60",
    "onset_brier_skill = 0.02": "onset_brier_skill = -0.20",
    "non_inferiority_delta = 0.002": "non_inferiority_delta = 0.03",
    "persistence_delta = 0.0 ": "persistence_delta = 0.03 ",
    "latency_p95_ms = 200.0": "latency_p95_ms = 2000.0",
    "latency_p95_ms = 300.0": "latency_p95_ms = 30000.0",
    "hold_batches = 6": "hold_batches = 2",
    "min_samples = 2000          # before": "min_samples = 60            # before",
    "rounds = 400": "rounds = 40",
    "threads = 2": "threads = 1",
}


@pytest.fixture(scope="session")
def home(new_home: Callable[..., Home]) -> Home:
    return new_home(SMALL)


@pytest.fixture(scope="session")
def demo(home: Home) -> Ended:
    # The day after the replayed one is left for a canary.
    return home.run("demo", "--stations", "60", "--days", "13", "--day", "2025-06-13")


@pytest.fixture(scope="session")
def city(home: Home) -> City:
    return load(home.path, {"BIKESHARE_HOME": str(home.path)}, {}).city("demo")


def opened(home: Path) -> Workspace:
    settings = load(home, {"BIKESHARE_HOME": str(home)}, {"serving.port": 0})
    return open_workspace(settings.with_workspace("demo", default_city="demo"))


@pytest.fixture
def ws(home: Home, demo: Ended) -> Workspace:
    assert demo.code == 0, demo.err
    return opened(home.path)


@pytest.fixture(scope="module")
def restarted(home: Home, demo: Ended) -> Iterator[None]:
    """A host over what the demo's left; the tests before the first that asks for it have none."""
    assert demo.code == 0, demo.err
    with serve.hosting(opened(home.path)):
        yield


@pytest.fixture
def hosted(restarted: None, ws: Workspace) -> Workspace:  # noqa: ARG001 - it runs
    tracking.connect(ws)
    return ws


def heartbeats(ws: Workspace) -> float:
    of = {"EndpointName": "bikeshare-prod", "City": "demo"}
    window = Window.before(ws.now)
    found = ws.metrics.series(
        MODEL, "PredictionHeartbeat", of, window=window, statistic="Sum", period_s=86_400
    )
    return sum(value for _, value in found)


def test_the_demo_ends_with_a_promotion_and_a_rollback(home: Home, demo: Ended) -> None:
    assert demo.code == 0, demo.err
    report = home.report()

    assert report["gate"]["verdict"] == "pass"
    assert report["promotion"]["from_version"] == "1"
    assert report["promotion"]["to_version"] == "2"
    assert report["rollback"]["to_version"] == "1"
    assert report["rollback"]["seconds"] < 10


def test_the_report_keeps_its_contract(home: Home, demo: Ended) -> None:
    assert demo.code == 0, demo.err
    report = home.report()

    assert {"city", "stations", "window", "train", "quality", "replay", "gate"} <= set(report)
    assert {"promotion", "rollback", "seconds_total"} <= set(report)
    assert set(report["train"]) >= {"rows", "seconds"}
    assert report["replay"].items() >= {"batches": 144, "polls": 288, "failed_batches": 0}.items()
    for target in ("bikeout", "dockout"):
        names = {"pr_auc", "brier", "brier_skill", "onset_pr_auc", "onset_brier_skill"}
        assert set(report["quality"][target]) >= names | {"persistence"}
    for check in report["gate"]["checks"]:
        assert set(check) >= {"name", "value", "threshold", "passed"}
    assert set(report["promotion"]) >= {"artefact_digest", "endpoint_config"}


def test_the_page_needs_nothing_outside_itself(home: Home, demo: Ended) -> None:
    assert demo.code == 0, demo.err
    page = (home.path / "var" / "demo" / "report.html").read_text()

    assert re.findall(r"""src=["']?(?!data:)[^"'>\s]+""", page) == []
    assert re.findall(r"""href=["']?(?:[a-z]+:|/)[^"'>\s]+""", page) == []
    assert "<link" not in page


def test_on_a_good_day_no_alarm_wakes_anyone(ws: Workspace) -> None:
    kept = {name: one["state"] for name, one in alarms.read(ws).items()}

    # So small a city drifts by chance, which is a warning and right.
    loud = {name for name, state in kept.items() if state == "ALARM"}
    assert not [name for name in loud if name.endswith("-critical") and "psi" not in name]
    assert kept["bikeshare-prod-heartbeat-critical"] == "OK"


def test_no_process_is_left_behind(ws: Workspace) -> None:
    assert not (ws.path / "host.json").exists()
    with pytest.raises(EndpointError, match="no endpoint host runs"):
        _ = ws.clients


def test_every_batch_wrote_every_station_and_horizon_once(ws: Workspace) -> None:
    rows = ws.lake.read(INFERENCE, city="demo")

    assert not rows.duplicated(list(INFERENCE.key)).any()
    batches = rows.groupby(["endpoint", "dt"]).size()
    assert batches.groupby("endpoint").size().to_dict() == {
        "bikeshare-prod": 144,
        "bikeshare-staging": 144,
    }
    assert (batches % 12 == 0).all()
    assert set(rows["model_version"]) == {"1", "2"}


def test_quality_never_judges_a_label_that_was_not_known_yet(ws: Workspace) -> None:
    rows = ws.lake.read(MONITORING_QUALITY, city="demo")

    # Of 144 decision times the last three have no label yet, nor have those before a missed poll.
    assert rows["decision_times"].max() > 100
    assert (rows["decision_times"] + rows["feed_down"]).max() <= 141
    assert (rows["window_end"] - rows["window_start"] == timedelta(hours=24)).all()


def test_drift_leaves_a_report_of_every_hour_and_a_page_of_the_day(ws: Workspace) -> None:
    keys = ws.lake.store.keys("monitoring/drift_reports")

    for endpoint in ("bikeshare-staging", "bikeshare-prod"):
        mine = [key for key in keys if f"/{endpoint}_" in key]
        assert sum(key.endswith(".json") for key in mine) == 25, "midnight to midnight"
        assert any(key.endswith("T000000Z.html") for key in mine)


def test_a_verdict_is_kept_as_json_table_and_junit(ws: Workspace) -> None:
    kept = {path.suffix for path in (ws.path / "gate").iterdir()}

    assert kept == {".json", ".txt", ".xml"}


def test_after_the_drill_the_aliases_stand_as_before(ws: Workspace, city: City) -> None:
    tracking.connect(ws)
    champion = versions.find(city.registered_model, versions.CHAMPION)
    challenger = versions.find(city.registered_model, versions.CHALLENGER)

    assert (champion.version, challenger.version) == ("1", "2")
    assert versions.find_if_any(city.registered_model, versions.PREVIOUS) is None


def test_the_audit_tells_the_whole_story_and_its_chain_holds(ws: Workspace) -> None:
    kinds = [entry["kind"] for entry in records.audited(ws)]

    promoted = ["alarms", "promotion", "dashboard", "staging"]
    assert kinds[:8] == ["deploy", "deploy", "gate", *promoted, "rollback"]


OF_STAGING = """metric_id = (SELECT id FROM metric WHERE name = 'PR-AUC-24h'
    AND dimensions = '{"City": "demo", "EndpointName": "bikeshare-staging"}')"""
NEWEST = f"at_ms = (SELECT max(at_ms) FROM datum WHERE {OF_STAGING})"
METRIC_FAULTS = {
    "missing": f"DELETE FROM datum WHERE {OF_STAGING}",
    "late": f"UPDATE datum SET at_ms = at_ms - 3600000 WHERE {OF_STAGING}",
    "double": f"INSERT INTO datum SELECT metric_id, at_ms, value + 0.01 FROM datum"
    f" WHERE {OF_STAGING} AND {NEWEST}",
}


def test_a_metric_that_is_missing_late_or_double_keeps_a_good_version_from_production(
    home: Home, ws: Workspace, city: City, tmp_path: Path
) -> None:
    assert ws.now
    copy = shutil.copytree(home.path, tmp_path / "home")
    ws = opened(copy)
    with serve.hosting(ws), sqlite3.connect(ws.path / "metrics.db") as db:
        good = db.execute(f"SELECT * FROM datum WHERE {OF_STAGING}").fetchall()
        for fault in METRIC_FAULTS.values():
            assert db.execute(fault).rowcount
            db.commit()

            report = gate.judge(ws, city)  # the verdict alone: the demo's gate drew its pictures

            assert report.verdict != "pass"
            assert {"PR-AUC-24h"} <= {c.name for c in report.failed}
            assert {c.name for c in report.failed} <= {"PR-AUC-24h", "quality of record"}
            with pytest.raises(Refused):
                promote.promote(ws, city)
            db.execute(f"DELETE FROM datum WHERE {OF_STAGING}")
            db.executemany("INSERT INTO datum VALUES (?, ?, ?)", good)
            db.commit()
        assert endpoints.describe(ws.clients, "bikeshare-prod").leading.version == "1"
        assert gate.judge(ws, city).verdict == "pass"


def test_what_the_audit_says_of_a_version_is_in_its_tags(ws: Workspace, city: City) -> None:
    tracking.connect(ws)
    told = {entry["kind"]: entry for entry in records.audited(ws)}
    challenger = versions.find(city.registered_model, "2").tags
    champion = versions.find(city.registered_model, "1").tags

    of = {
        "deploy": challenger, "gate": challenger, "promotion": challenger, "rollback": champion
    }  # fmt: skip
    for kind, tags in of.items():
        entry = told[kind]
        assert tags[f"{kind}_audit"] == entry["digest"]
        assert tags[f"{kind}_at"] == entry["at"]
        assert (tags[f"{kind}_by"], tags[f"{kind}_why"]) == (entry["who"], entry["why"])
        assert tags[f"{kind}_endpoint"] == entry["facts"]["endpoint"]
    assert challenger["gate_verdict"] == "pass"
    assert challenger["gate_artefact_digest"] == challenger["artefact_digest"]
    assert challenger["rolled_back_audit"] == told["rollback"]["digest"]


@pytest.mark.long
def test_a_day_through_a_canary_shows_which_version_answered_what(
    home: Home, ws: Workspace, tmp_path: Path
) -> None:
    assert ws.sm_endpoint == "bikeshare-prod"
    through_a_canary(home, tmp_path / "home", name="demo", hours=8)


def test_an_altered_audit_is_found(ws: Workspace) -> None:
    path = ws.path / "audit.jsonl"
    text = path.read_text()
    path.write_text(text.replace('"kind":"gate"', '"kind":"note"', 1))
    try:
        with pytest.raises(Exception, match="audit line 3 was altered"):
            records.audited(ws)
    finally:
        path.write_text(text)


def test_a_gate_report_reads_back_as_it_was_kept(ws: Workspace) -> None:
    kept = sorted((ws.path / "gate").glob("*.json"))
    first = json.loads(kept[0].read_text())

    assert first["verdict"] == "pass"
    assert records.newest_gate(ws, "bikeshare-staging") is not None


def test_a_restarted_host_serves_the_same_versions(hosted: Workspace, city: City) -> None:
    assert gate.evidence(hosted, city, "bikeshare-staging").model_version == "2"
    assert gate.evidence(hosted, city, "bikeshare-prod").model_version == "1"


def test_every_metric_of_a_dashboard_is_shown_and_the_host_shows_the_store(
    hosted: Workspace, city: City
) -> None:
    with outcome.posted(hosted, city, "training"), outcome.posted(hosted, city, "retrain"):
        pass
    of = {"City": city.name}
    hosted.metrics.put([point("NotificationFailures", 1, at=hosted.now, dimensions=of)])
    later = Workspace(hosted.settings, SimulatedClock(hosted.now + timedelta(minutes=10)))
    host = launch.running(hosted.path)
    assert host is not None
    answer = httpx.get(f"{host.url}/metrics", trust_env=False).raise_for_status().text
    shown = set(re.findall(r"^# TYPE (\S+)", answer, flags=re.MULTILINE))
    shown |= {sample.name for sample in exporter.samples(later)}
    boards = (ROOT / "ops" / "grafana" / "dashboards").glob("*.json")
    asked = {
        name
        for board in boards
        for panel in json.loads(board.read_text())["panels"]
        for target in panel["targets"]
        for name in re.findall(r"bikeshare_\w+", target["expr"])
    }

    assert asked - shown == set()
    assert {"bikeshare_invocations_total", "bikeshare_endpoint_info"} <= shown


def test_a_batch_that_is_there_is_not_asked_for_again(hosted: Workspace, city: City) -> None:
    last = hosted.now - timedelta(minutes=10)
    before = heartbeats(hosted)

    again = infer.infer(hosted, city, at=last)

    assert all(batch.already_there for batch in again)
    assert heartbeats(hosted) == before == 144


def test_an_endpoint_beside_production_is_split_and_merged_again(
    hosted: Workspace, city: City
) -> None:
    before = deploy.deploy(hosted, city, version="champion", endpoint="trial")

    done = split.split(hosted, city, candidate="challenger", share=0.25, endpoint="trial")
    assert done.shares == {"1": 0.75, "2": 0.25}
    wider = split.split(hosted, city, candidate="challenger", share=0.5, endpoint="trial")
    assert (wider.shares, wider.endpoint_config) == ({"1": 0.5, "2": 0.5}, done.endpoint_config)
    with execute.alone(hosted), pytest.raises(Refused, match="another promotion or rollback"):
        split.merge(hosted, city, endpoint="trial")
    merged = split.merge(hosted, city, endpoint="trial")

    assert (merged.shares, merged.endpoint_config) == ({"1": 1.0}, before.endpoint_config)
    assert [e["kind"] for e in records.audited(hosted)][-3:] == ["split", "split", "merge"]
    with pytest.raises(Refused, match="not on staging"):
        split.split(hosted, city, candidate="champion", share=0.1, endpoint="trial")


def test_production_is_not_split_behind_the_back_of_its_releases(
    hosted: Workspace, city: City
) -> None:
    told = len(records.audited(hosted))
    state = endpoints.describe(hosted.clients, "bikeshare-prod")

    with pytest.raises(Refused, match="`bikeshare promote --canary`"):
        split.split(hosted, city, candidate="challenger", share=0.1, endpoint="bikeshare-prod")
    with pytest.raises(Refused, match="is production of demo"):
        split.merge(hosted, city, endpoint="bikeshare-prod")

    assert endpoints.describe(hosted.clients, "bikeshare-prod") == state
    assert len(records.audited(hosted)) == told


def test_a_promotion_without_a_fresh_pass_is_refused(hosted: Workspace, city: City) -> None:
    hosted.advance(hosted.now + timedelta(hours=2))

    with pytest.raises(Refused, match="it holds for 60 min"):
        promote.promote(hosted, city)

    champion = versions.find(city.registered_model, versions.CHAMPION)
    assert champion.version == "1"
    assert records.audited(hosted)[-1]["kind"] == "promotion failed"


def test_a_gate_without_fresh_evidence_is_unknown_never_a_pass(
    hosted: Workspace, city: City
) -> None:
    hosted.advance(hosted.now + timedelta(hours=26))

    report = gate.judge(hosted, city)

    assert report.verdict != "pass"
    assert {"PR-AUC-24h", "PSI", "PredictionHeartbeat"} <= {c.name for c in report.failed}


def test_nothing_to_roll_back_to_is_refused(hosted: Workspace, city: City) -> None:
    with pytest.raises(Refused, match="no earlier version to go back to"):
        promote.rollback(hosted, city, reason="test")
