"""The readers of the other pages on a small lake and a real metric store."""

import dataclasses
import json
import math
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from dashboards.readings import (
    CityReading,
    Empty,
    choose,
    connect,
    freshness,
    model_health,
    read,
    releases,
    system_health,
)
from dashboards.readings import station as of_station
from dashboards.screens.model_health import _worse
from dashboards.screens.releases import _cell, _number
from dashboards.screens.system_health import _in_unit, _mean
from dashboards.screens.top import csv, ranked
from mlops_bikeshare.domain.errors import LakeError, ModelError, SettingsError
from mlops_bikeshare.domain.tables import (
    MONITORING_AUDIT,
    MONITORING_QUALITY,
    QUARANTINED_ROWS,
    STATION_INFORMATION_RAW,
    STATION_STATUS,
)
from mlops_bikeshare.monitoring.metrics import MODEL, point
from mlops_bikeshare.monitoring.sqlite import SqliteMetricStore
from mlops_bikeshare.release import audit as chain

DT = pd.Timestamp("2021-09-01T12:10", tz="UTC").as_unit("ms")
VARIANT = {"EndpointName": "bikeshare-prod", "VariantName": "AllTraffic"}
Write = Callable[..., None]
Build = Callable[..., pd.DataFrame]


def city(home: Path) -> CityReading:
    found = read(choose(home, {}, workspace=None))
    assert isinstance(found, CityReading)
    return found


@pytest.fixture
def measured(workspace: Path) -> None:
    """Two requests of production, one of which failed, and one batch."""
    with SqliteMetricStore(workspace / "metrics.db") as store:
        for minute, failed in ((1, 0), (6, 1)):
            at = DT.to_pydatetime() + timedelta(minutes=minute)
            values = {"Invocations": 1, "Invocation5XXErrors": failed, "ModelLatency": 50_000}
            store.put([point(n, v, at=at, dimensions=VARIANT) for n, v in values.items()])
        of = {"EndpointName": "bikeshare-prod", "City": "boston"}
        store.put([point("PredictionHeartbeat", 1, at=DT.to_pydatetime(), dimensions=of)])


@pytest.mark.usefixtures("full")
def test_a_neighbourhood_is_named_after_a_station_in_it_and_nobody_gets_a_made_up_one(
    home: Path,
) -> None:
    places = city(home).stations["neighbourhood"]
    assert places["001"] == "around Quay"
    assert places["003"] == "around station 003"
    assert places["004"] == "no position"


@pytest.mark.usefixtures("full")
def test_the_ranking_is_by_risk_and_leaves_out_what_nobody_predicted(home: Path) -> None:
    rows = ranked(city(home), count=10, horizon_min=30, moves={"001": "from Gate: 3 bikes"})
    assert rows["station_id"].tolist() == ["001", "002"]
    assert rows["likelier"].tolist() == ["out of bikes", "out of docks"]
    assert rows["suggest move"].fillna("").tolist() == ["from Gate: 3 bikes", ""]
    assert len(ranked(city(home), count=1, horizon_min=30, moves={})) == 1


@pytest.mark.usefixtures("full")
def test_the_csv_says_its_time_and_runs_no_formula_in_a_spreadsheet(home: Path) -> None:
    rows = ranked(city(home), count=1, horizon_min=30, moves={}).assign(station="=1+1")
    head, line = csv(rows, city(home), horizon_min=30).decode().splitlines()
    assert head.startswith("rank,station,likelier,risk,bikes")
    assert ",'=1+1," in f",{line.split(',', 1)[1]}"
    assert line.endswith("2021-09-01T12:10:00+00:00,30")


@pytest.mark.usefixtures("full")
def test_the_past_of_a_station_is_at_the_time_the_prediction_spoke_of(home: Path) -> None:
    clients = connect(choose(home, {}, workspace=None))
    found = of_station.past(clients, city(home), "001", horizon_min=30)
    assert found.said["at"].tolist() == [DT + timedelta(minutes=30)]
    assert found.said["p_bikeout"].tolist() == [0.9]
    assert found.seen["num_bikes_available"].tolist() == [4]


@pytest.mark.usefixtures("full")
def test_without_a_registry_persistence_is_refused_and_no_store_is_made(home: Path) -> None:
    with pytest.raises(ModelError, match="no MLflow store"):
        of_station.persistence(choose(home, {}, workspace=None), city(home))
    assert not list(home.rglob("mlflow.db"))


@pytest.mark.usefixtures("full", "measured")
def test_system_health_has_latency_in_ms_errors_and_the_alarms_of_production(home: Path) -> None:
    choice = choose(home, {}, workspace=None)
    found = system_health.read(choice, connect(choice), hours=2)
    assert isinstance(found, system_health.SystemHealth)
    assert found.endpoints == ("bikeshare-prod",)
    assert set(found.latency.loc[found.latency["what"] == "model, p95", "value"]) == {50.0}
    errors = found.counts[found.counts["what"] == "5xx"]
    assert errors["value"].sum() == 1
    states = {(alarm.name, alarm.state) for alarm in found.alarms}
    assert any("errors-5xx" in name and state == "ALARM" for name, state in states)
    slow = next(alarm for alarm in found.alarms if "latency-critical" in alarm.name)
    assert _in_unit(slow.threshold, slow.unit) == "300 ms"
    assert any("latency" in name and state == "INSUFFICIENT_DATA" for name, state in states)


@pytest.mark.usefixtures("full", "measured")
def test_an_average_is_over_requests_and_the_worst_percentile_is_not_hidden(
    home: Path, workspace: Path
) -> None:
    with SqliteMetricStore(workspace / "metrics.db") as store:
        at = DT.to_pydatetime() + timedelta(minutes=3)  # in the period of the first request
        values = {"Invocations": 1, "ModelLatency": 350_000}
        store.put([point(n, v, at=at, dimensions=VARIANT) for n, v in values.items()])
    choice = choose(home, {}, workspace=None)
    found = system_health.read(choice, connect(choice), hours=2)
    assert isinstance(found, system_health.SystemHealth)
    assert _mean(found.latency, found.counts, "model, average") == pytest.approx(450 / 3)
    assert _mean(found.latency, found.counts, "overhead, average") is None


@pytest.mark.usefixtures("full", "measured")
def test_alarms_look_where_the_page_looks(home: Path, workspace: Path) -> None:
    choice = choose(home, {}, workspace=None)
    clients = connect(choice)
    assert clients.metrics is not None
    elsewhere = workspace / "metrics.db"
    elsewhere.rename(workspace / "moved.db")
    found = system_health.read(choice, clients, hours=2)
    assert isinstance(found, system_health.SystemHealth)
    assert any(alarm.state == "ALARM" for alarm in found.alarms)
    assert not elsewhere.exists()


@pytest.mark.usefixtures("full", "measured")
def test_metrics_in_another_namespace_are_found_and_a_wrong_one_is_named(
    home: Path, workspace: Path
) -> None:
    own = choose(home, {"BIKESHARE_CW_CUSTOM_NS": "Bikes/Own"}, workspace=None)
    with pytest.raises(SettingsError, match=r"cw_custom_ns: .* namespace 'Bikes/Own'"):
        system_health.read(own, connect(own), hours=2)
    of = {"EndpointName": "bikeshare-prod", "City": "boston"}
    silent = point("PredictionHeartbeat", 1, at=DT.to_pydatetime(), dimensions=of)
    with SqliteMetricStore(workspace / "metrics.db") as store:
        store.put([dataclasses.replace(silent, namespace="Bikes/Own")])
    found = system_health.read(own, connect(own), hours=2)
    assert isinstance(found, system_health.SystemHealth)
    assert found.batches["value"].tolist() == [1]
    clients = connect(own)
    assert clients.metrics is not None
    assert [name for name, _ in clients.metrics.names(MODEL)] == ["PredictionHeartbeat"]


@pytest.mark.usefixtures("full")
def test_nothing_measured_is_said_and_no_file_is_made(home: Path, workspace: Path) -> None:
    choice = choose(home, {}, workspace=None)
    found = system_health.read(choice, connect(choice), hours=2)
    assert isinstance(found, Empty)
    assert not (workspace / "metrics.db").exists()


def test_a_broken_metric_store_is_named(home: Path, workspace: Path) -> None:
    (workspace / "metrics.db").write_bytes(b"no database at all" * 99)
    with pytest.raises(LakeError, match=r"metrics\.db"):
        _ = connect(choose(home, {}, workspace=None)).metrics


def test_a_view_that_is_not_there_is_named(home: Path, full: None) -> None:
    _ = full
    with pytest.raises(LakeError, match="v_elsewhere"):
        read(choose(home, {"BIKESHARE_VIEW_PREDICTIONS": "v_elsewhere"}, workspace=None))


@pytest.mark.usefixtures("full")
def test_freshness_has_delays_gaps_and_quarantine_by_the_workspaces_clock(
    home: Path, write: Write, status: Build
) -> None:
    write(STATION_STATUS, status(DT - pd.Timedelta(minutes=20).as_unit("ms")))
    bad = {
        "feed": ["station_status"],
        "position": pd.array([0], dtype="int32"),
        "station_id": ["001"],
        "reason": ["num_bikes_available: expected a number, got 'x'"],
        "row": ["{}"],
        "fetched_at": [DT],
    }
    write(QUARANTINED_ROWS, pd.DataFrame(bad))
    choice = choose(home, {}, workspace=None)
    found = freshness.read(choice, connect(choice))
    assert isinstance(found, freshness.Freshness)
    delays = found.newest.set_index("table")["delay_min"]
    assert (delays["station_status"], delays["inference"]) == (10, 10)
    assert math.isnan(delays["monitoring_quality"])
    assert found.gaps["minutes"].tolist() == [15.0, 5.0]
    assert found.quarantine["rows"].tolist() == [1]
    assert (found.feed_age_s, found.poll_failures) == (None, None)


def freshly(home: Path) -> freshness.Freshness:
    choice = choose(home, {}, workspace=None)
    found = freshness.read(choice, connect(choice))
    assert isinstance(found, freshness.Freshness)
    return found


@pytest.mark.usefixtures("full")
def test_a_day_without_a_poll_is_a_day_missing_and_not_none(home: Path, workspace: Path) -> None:
    later = (DT + timedelta(days=3)).isoformat()
    (workspace / "workspace.json").write_text(json.dumps({"clock": "simulated", "now": later}))
    found = freshly(home)
    assert found.slots.empty
    assert found.missing_min == 24 * 60 - 5  # the slot that ends now may still come


def test_where_nothing_was_ever_polled_nobody_knows_what_is_missing(
    home: Path, write: Write, information: Build
) -> None:
    write(STATION_INFORMATION_RAW, information())
    assert freshly(home).missing_min is None


@pytest.mark.usefixtures("full")
def test_an_outage_that_began_before_the_day_counts_from_the_days_start(
    home: Path, workspace: Path, write: Write, status: Build
) -> None:
    later = (DT + timedelta(days=3)).as_unit("ms")
    write(STATION_STATUS, status(later - pd.Timedelta(minutes=5).as_unit("ms")))
    state = {"clock": "simulated", "now": later.isoformat()}
    (workspace / "workspace.json").write_text(json.dumps(state))
    assert freshly(home).gaps["minutes"].tolist() == [24 * 60 - 10]


@pytest.mark.usefixtures("full")
def test_what_was_put_aside_before_the_day_and_a_feeds_age_of_hours_ago_are_not_of_now(
    home: Path, workspace: Path, write: Write
) -> None:
    bad = {
        "feed": ["station_status"],
        "position": pd.array([0], dtype="int32"),
        "station_id": ["001"],
        "reason": ["num_bikes_available: expected a number, got 'x'"],
        "row": ["{}"],
        "fetched_at": [DT - pd.Timedelta(hours=25).as_unit("ms")],
    }
    write(QUARANTINED_ROWS, pd.DataFrame(bad))
    with SqliteMetricStore(workspace / "metrics.db") as store:
        at = (DT - timedelta(hours=2)).to_pydatetime()
        store.put([point("FeedAge_s", 42, at=at, dimensions={"City": "boston"})])
    found = freshly(home)
    assert found.quarantine.empty
    assert found.feed_age_s is None


@pytest.mark.usefixtures("full")
def test_releases_are_told_from_the_audit_with_who_and_why(
    home: Path, workspace: Path, write: Write
) -> None:
    previous, lines = None, []
    for number, kind in enumerate(("deploy", "promotion"), start=1):
        facts = {"city": "boston", "endpoint": "bikeshare-prod", "version": str(number)}
        entry = chain.entry(
            previous, kind=kind, at=DT.to_pydatetime(), who="ada", why="because", facts=facts
        )
        write(MONITORING_AUDIT, chain.table(entry, number=number))
        lines.append(chain.line(entry))
        previous = entry["digest"]
    (workspace / "audit.jsonl").write_text("\n".join(lines) + "\n")
    found = releases.read(choose(home, {}, workspace=None))
    assert isinstance(found, releases.Releases)
    assert found.decisions["kind"].tolist() == ["promotion", "deploy"]
    assert [reign.version for reign in found.reigns] == ["2", "1"]
    assert found.proven == 2
    assert found.version_link("2") == ("http://127.0.0.1:5000/#/models/bikeshare-boston/versions/2")


@pytest.mark.usefixtures("full")
def test_what_was_not_judged_nor_decided_says_what_to_type(home: Path) -> None:
    choice = choose(home, {}, workspace=None)
    quality = model_health.read(choice, connect(choice))
    decided = releases.read(choice)
    assert isinstance(quality, Empty)
    assert quality.command == "bikeshare --workspace main monitor --city boston"
    assert isinstance(decided, Empty)
    assert "Nothing was deployed" in decided.what


def test_what_people_wrote_in_the_audit_draws_nothing(home: Path) -> None:
    _ = home
    assert _cell("a|b [x](y) <b>") == r"a\|b \[x\](y) \<b\>"
    assert json.dumps(_cell(None)) == '""'


def test_a_digest_leaves_room_for_the_verdict_and_a_count_is_no_power_of_ten() -> None:
    assert _number("51e9986d533b8cf4041c8845074c0b19df01a458d5") == "51e9986d533b…"
    assert [_number(v) for v in (39_716, 0.06919, None)] == ["39,716", "0.06919", "missing"]


def judged(home: Path) -> model_health.ModelHealth:
    choice = choose(home, {}, workspace=None)
    found = model_health.read(choice, connect(choice))
    assert isinstance(found, model_health.ModelHealth)
    return found


def windows(version: str, *, dockout: float = 0.8) -> pd.DataFrame:
    """The newest window of a version of production, a row for each target."""
    kinds: dict[str, object] = {"timestamp": DT, "string": "", "float64": 0.5}
    row = {c.name: kinds.get(c.kind, 1) for c in MONITORING_QUALITY.columns}
    row |= {"endpoint": "bikeshare-prod", "model_version": version, "horizon_min": 30}
    rows = [row | {"target": "bikeout", "pr_auc": 0.9}, row | {"target": "dockout"}]
    frame = pd.DataFrame(rows).assign(pr_auc=[0.9, dockout])
    whole = {c.name: c.kind for c in MONITORING_QUALITY.columns if c.kind.startswith("int")}
    return frame.astype({**whole, "pr_auc": "float64"})[MONITORING_QUALITY.names]


def decided(write: Write, *served: str) -> None:
    """The audit of deploys of production, one after the other."""
    previous = None
    for number, version in enumerate(served, start=1):
        facts = {"city": "boston", "endpoint": "bikeshare-prod", "version": version}
        entry = chain.entry(
            previous, kind="deploy", at=DT.to_pydatetime(), who="ada", why="", facts=facts
        )
        write(MONITORING_AUDIT, chain.table(entry, number=number))
        previous = entry["digest"]


@pytest.mark.usefixtures("full")
def test_the_worse_of_two_targets_is_unknown_where_one_of_them_is(home: Path, write: Write) -> None:
    write(MONITORING_QUALITY, windows("3", dockout=math.nan))
    (row,) = _worse(judged(home)).to_dict("records")
    assert math.isnan(row["pr_auc"])
    assert row["f1"] == 0.5


@pytest.mark.usefixtures("full")
def test_a_version_that_serves_no_more_is_not_called_the_champion(home: Path, write: Write) -> None:
    for version in ("3", "4"):
        write(MONITORING_QUALITY, windows(version))
    assert _worse(judged(home))["who"].tolist() == ["champion: version 3", "champion: version 4"]
    decided(write, "3", "4")
    named = _worse(judged(home))["who"].tolist()
    assert named == ["former champion: version 3", "champion: version 4"]


@pytest.mark.usefixtures("full")
def test_a_psi_of_long_ago_is_not_the_psi_of_now(home: Path, workspace: Path, write: Write) -> None:
    write(MONITORING_QUALITY, windows("3"))
    of = {"EndpointName": "bikeshare-prod", "City": "boston"}
    hour = DT.floor("h").to_pydatetime()
    with SqliteMetricStore(workspace / "metrics.db") as store:
        store.put([point("PSI", 0.4, at=hour - timedelta(hours=5), dimensions=of)])
    assert judged(home).worst_psi("bikeshare-prod") is None
    with SqliteMetricStore(workspace / "metrics.db") as store:
        store.put([point("PSI", 0.1, at=hour - timedelta(hours=1), dimensions=of)])
    assert judged(home).worst_psi("bikeshare-prod") == 0.4


@pytest.mark.usefixtures("full")
def test_quality_is_stale_when_nobody_judged_for_two_cadences(
    home: Path, workspace: Path, write: Write
) -> None:
    write(MONITORING_QUALITY, windows("3"))
    assert not judged(home).stale
    later = (DT + timedelta(minutes=21)).isoformat()
    (workspace / "workspace.json").write_text(json.dumps({"clock": "simulated", "now": later}))
    assert judged(home).stale
