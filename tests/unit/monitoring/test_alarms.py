"""Alarms: CloudWatch's arithmetic of missing and breaching periods, and the catalogue itself."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mlops_bikeshare.domain.errors import SettingsError
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.monitoring import alarms
from mlops_bikeshare.monitoring.alarm_catalogue import catalogue
from mlops_bikeshare.monitoring.alarms import Alarm, Missing
from mlops_bikeshare.monitoring.metrics import point
from mlops_bikeshare.monitoring.sqlite import SqliteMetricStore
from mlops_bikeshare.settings import (
    GateSettings,
    GuardSettings,
    MonitoringSettings,
    RetrainSettings,
)

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "ops" / "alarms.toml").read_text()
AT = datetime(2021, 9, 2, 8, 5, tzinfo=UTC)
OF = {"EndpointName": "bikeshare-prod", "City": "boston"}
SECTIONS = {
    "gate": GateSettings(),
    "guard": GuardSettings(),
    "monitoring": MonitoringSettings(),
    "retrain": RetrainSettings(),
}


def setting(key: str) -> float:
    section, _, name = key.partition(".")
    return float(getattr(SECTIONS[section], name))


def alarm(missing: Missing = "missing", *, periods: int = 3, breaching: int = 2) -> Alarm:
    return Alarm(
        name="low", stage="prod", metric="PR-AUC-24h", statistic="Minimum", period_s=600,
        periods=periods, breaching=breaching, relation="<", threshold=0.7, missing=missing,
        meaning="worse", severity="warn", runbook="quality",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("missing", "values", "state"),
    [
        ("missing", [0.9, 0.9, 0.9], "OK"),
        ("missing", [0.6, 0.9, 0.9], "OK"),
        ("missing", [0.6, 0.9, 0.6], "ALARM"),
        ("missing", [0.6, 0.6, 0.6, 0.9, 0.9, 0.9], "OK"),
        ("missing", [None, None, None], "INSUFFICIENT_DATA"),
        ("missing", [], "INSUFFICIENT_DATA"),
        ("missing", [None, None, 0.6], "OK"),
        ("missing", [0.6, None, 0.6], "ALARM"),
        ("breaching", [None, None, 0.9], "ALARM"),
        ("breaching", [None, 0.9, 0.9], "OK"),
        ("breaching", [], "ALARM"),
        ("notBreaching", [None, None, None], "OK"),
        ("notBreaching", [0.6, None, 0.6], "ALARM"),
    ],
)
def test_missing_periods_count_as_the_alarm_says(
    missing: Missing, values: list[float | None], state: str
) -> None:
    assert alarms.state(alarm(missing), values) == state


def test_a_period_that_is_not_over_does_not_count(tmp_path: Path) -> None:
    store = SqliteMetricStore(tmp_path / "metrics.db")
    times = [AT - timedelta(minutes=5 + 10 * i) for i in range(3)]
    store.put([point("PR-AUC-24h", 0.9, at=at, dimensions=OF) for at in times])
    store.put([point("PR-AUC-24h", 0.1, at=AT, dimensions=OF)])

    seen = alarms.look(store, alarm(breaching=1), [OF], endpoint="bikeshare-prod", at=AT)

    assert (seen.state, seen.value) == ("OK", 0.9)


def test_an_alarm_on_a_window_alone_leaves_out_what_came_before_and_counts_what_is_not_over(
    tmp_path: Path,
) -> None:
    store = SqliteMetricStore(tmp_path / "metrics.db")
    store.put([point("PR-AUC-24h", 0.1, at=AT - timedelta(minutes=1), dimensions=OF)])
    since = Window(AT, AT + timedelta(minutes=3))
    one = alarm("breaching", breaching=1)
    assert within(store, one, OF, since) == "INSUFFICIENT_DATA"

    store.put([point("PR-AUC-24h", 0.1, at=AT + timedelta(minutes=2), dimensions=OF)])

    assert within(store, one, OF, since) == "ALARM"


def test_an_hours_percentile_counts_only_where_the_whole_hour_came_after(tmp_path: Path) -> None:
    store = SqliteMetricStore(tmp_path / "metrics.db")
    of = {"EndpointName": "bikeshare-prod", "VariantName": "AllTraffic"}
    found = catalogue(TEXT, setting=setting).alarms
    (latency,) = [a for a in found if a.called(a.stage) == "prod-latency-warn"]
    slow = [point("ModelLatency", 9e5, at=AT + timedelta(hours=h), dimensions=of) for h in (0, 1)]
    store.put(slow)

    states = [
        within(store, latency, of, Window(AT, AT + timedelta(hours=h))) for h in (0.5, 1.5, 2)
    ]

    assert states == ["INSUFFICIENT_DATA"] * 2 + ["ALARM"]


def within(store: SqliteMetricStore, of: Alarm, series: dict[str, str], window: Window) -> str:
    seen = alarms.look_within(store, of, [series], endpoint="bikeshare-prod", window=window)
    return seen.state


def errors(
    store: SqliteMetricStore, variant: str, *, refused: int, failed: int, asked: int
) -> None:
    """The counts of the ten minutes before AT's."""
    at = AT - timedelta(minutes=10)
    of = {"EndpointName": "bikeshare-prod", "VariantName": variant}
    counts = {
        "Invocation4XXErrors": refused,
        "Invocation5XXErrors": failed,
        "Invocations": asked,
    }
    store.put([point(name, value, at=at, dimensions=of) for name, value in counts.items()])


def rate(**more: Any) -> Alarm:
    return replace(
        alarm(periods=1, breaching=1), metric="Invocation4XXErrors", plus="Invocation5XXErrors",
        per="Invocations", statistic="Sum", relation=">", threshold=0.1, **more,
    )  # fmt: skip


def look(store: SqliteMetricStore, of: Alarm, *variants: str) -> alarms.Seen:
    series = alarms.dimensions(of, endpoint="bikeshare-prod", city="boston", variants=variants)
    return alarms.look(store, of, series, endpoint="bikeshare-prod", at=AT)


def test_a_rate_is_the_ratio_of_sums_and_as_bad_as_its_worst_variant(tmp_path: Path) -> None:
    store = SqliteMetricStore(tmp_path / "metrics.db")
    errors(store, "Baseline", refused=0, failed=0, asked=90)
    errors(store, "Candidate", refused=1, failed=2, asked=10)

    assert look(store, rate(), "Baseline").state == "OK"
    seen = look(store, rate(), "Baseline", "Candidate")
    assert seen.state == "ALARM"
    assert seen.value == pytest.approx(0.3)
    assert seen.name == "bikeshare-prod-low-warn"


def test_nothing_asked_is_no_rate_of_errors(tmp_path: Path) -> None:
    store = SqliteMetricStore(tmp_path / "metrics.db")
    errors(store, "AllTraffic", refused=0, failed=0, asked=0)

    assert look(store, rate(), "AllTraffic").state == "INSUFFICIENT_DATA"
    assert look(store, rate(missing="notBreaching"), "AllTraffic").value is None


def test_variants_together_are_their_sum(tmp_path: Path) -> None:
    store = SqliteMetricStore(tmp_path / "metrics.db")
    errors(store, "Baseline", refused=0, failed=0, asked=2)
    errors(store, "Candidate", refused=0, failed=0, asked=1)
    traffic = replace(
        alarm("breaching", periods=1, breaching=1),
        metric="Invocations", statistic="Sum", threshold=3, variants="together",
    )  # fmt: skip

    assert look(store, traffic, "Baseline", "Candidate", "AllTraffic").value == 3
    assert look(store, traffic, "Baseline").state == "ALARM"
    assert look(store, traffic, "AllTraffic").state == "ALARM", "silence"


def test_a_difference_needs_both_sides(tmp_path: Path) -> None:
    store = SqliteMetricStore(tmp_path / "metrics.db")
    below = replace(
        alarm(periods=1, breaching=1),
        metric="PR-AUC-Reference", minus="PR-AUC-24h", relation=">", threshold=0.05,
    )  # fmt: skip
    at = AT - timedelta(minutes=10)
    store.put([point("PR-AUC-Reference", 0.9, at=at, dimensions=OF)])
    assert look(store, below).state == "INSUFFICIENT_DATA"

    store.put([point("PR-AUC-24h", 0.8, at=at, dimensions=OF)])
    assert look(store, below).state == "ALARM"


def test_the_catalogue_speaks_of_metrics_that_exist_with_the_limits_of_the_settings() -> None:
    found = {a.called(a.stage): a for a in catalogue(TEXT, setting=setting).alarms}
    gate, guard, limits = GateSettings(), GuardSettings(), MonitoringSettings()
    thresholds = {
        "prod-pr-auc-critical": gate.pr_auc_24h,
        "prod-f1-critical": gate.f1_24h,
        "prod-pr-auc-warn": limits.champion_margin,
        "prod-psi-warn": limits.psi_warn,
        "prod-psi-critical": limits.psi_critical,
        "prod-latency-warn": gate.latency_p95_ms * 1000,
        "prod-latency-critical": guard.latency_p95_ms * 1000,
        "prod-errors-5xx-critical": gate.errors_5xx,
        "prod-success-rate-warn": 0.99,
        "prod-rate-4xx-warn": 0.01,
        "prod-error-rate-critical": 0.10,
        "prod-drift-share-warn": 0.5,
        "prod-drift-share-critical": 0.7,
        "prod-feed-age-warn": 900,
    }
    assert {name: found[name].threshold for name in thresholds} == thresholds
    beat = found["prod-heartbeat-critical"]
    assert (beat.period_s * beat.periods, beat.missing) == (20 * 60, "breaching")


def test_a_limit_in_milliseconds_follows_its_setting_in_the_unit_of_the_metric() -> None:
    faster = {"gate.latency_p95_ms": 150.0}
    found = catalogue(TEXT, setting=lambda key: faster.get(key) or setting(key)).alarms
    (latency,) = [a for a in found if a.called(a.stage) == "prod-latency-warn"]
    assert latency.threshold == 150_000


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('metric = "PSI"', 'metric = "PIS"', "PIS"),
        ('stages = ["prod"]', 'stages = ["live"]', "expected one of staging, prod"),
        ('relation = ">="', 'relation = "="', "relation"),
        ("periods = 1\n", "periods = 0\n", "breaching is 1"),
        ("periods = 144", "periods = 145", "longer than CloudWatch looks back"),
        ("breaching = 1", "breachng = 1", "missing ['breaching'], unknown ['breachng']"),
        ('name = "f1"', 'name = "pr-auc"', "names must differ"),
        ('per = "Invocations"', 'per = "PSI"', "different dimensions"),
        ('variants = "together"', 'variants = "each"', "no breach"),
        ("[[alarm]]", "[[alarms]]", "expected tables"),
        ('kinds = ["deploy"]', 'kind = ["deploy"]', "event deployed: missing ['kinds']"),
    ],
)
def test_a_mistake_in_the_catalogue_is_named(old: str, new: str, said: str) -> None:
    assert old in TEXT
    with pytest.raises(SettingsError) as raised:
        catalogue(TEXT.replace(old, new), setting=setting)
    assert said in str(raised.value)
