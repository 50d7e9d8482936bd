"""Alarms: CloudWatch's arithmetic of missing and breaching periods, and the catalogue itself."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlops_bikeshare.domain.errors import SettingsError
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.monitoring import alarms
from mlops_bikeshare.monitoring.alarms import Alarm, Missing
from mlops_bikeshare.monitoring.metrics import point
from mlops_bikeshare.monitoring.sqlite import SqliteMetricStore
from mlops_bikeshare.settings import GateSettings, GuardSettings

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "ops" / "alarms.toml").read_text()
AT = datetime(2021, 9, 2, 8, 5, tzinfo=UTC)
OF = {"EndpointName": "bikeshare-prod", "City": "boston"}
SECTIONS = {"gate": GateSettings(), "guard": GuardSettings()}


def setting(key: str) -> float:
    section, _, name = key.partition(".")
    return float(getattr(SECTIONS[section], name))


def alarm(missing: Missing = "missing", *, periods: int = 3, breaching: int = 2) -> Alarm:
    return Alarm(
        name="low", stage="prod", metric="PR-AUC-24h", statistic="Minimum", period_s=600,
        periods=periods, breaching=breaching, relation="<", threshold=0.7, missing=missing,
        meaning="worse",
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

    seen = alarms.look(store, alarm(breaching=1), OF, at=AT)

    assert (seen.state, seen.value) == ("OK", 0.9)


def test_an_alarm_on_a_window_alone_leaves_out_what_came_before_and_counts_what_is_not_over(
    tmp_path: Path,
) -> None:
    store = SqliteMetricStore(tmp_path / "metrics.db")
    store.put([point("PR-AUC-24h", 0.1, at=AT - timedelta(minutes=1), dimensions=OF)])
    since = Window(AT, AT + timedelta(minutes=3))
    one = alarm("breaching", breaching=1)
    assert alarms.look_within(store, one, OF, window=since).state == "INSUFFICIENT_DATA"

    store.put([point("PR-AUC-24h", 0.1, at=AT + timedelta(minutes=2), dimensions=OF)])

    assert alarms.look_within(store, one, OF, window=since).state == "ALARM"


def test_an_hours_percentile_counts_only_where_the_whole_hour_came_after(tmp_path: Path) -> None:
    store = SqliteMetricStore(tmp_path / "metrics.db")
    of = {"EndpointName": "bikeshare-prod", "VariantName": "AllTraffic"}
    (latency,) = [a for a in alarms.catalogue(TEXT, setting=setting) if a.name == "prod-latency"]
    slow = [point("ModelLatency", 9e5, at=AT + timedelta(hours=h), dimensions=of) for h in (0, 1)]
    store.put(slow)

    def state(hours: float) -> str:
        window = Window(AT, AT + timedelta(hours=hours))
        return alarms.look_within(store, latency, of, window=window).state

    assert [state(h) for h in (0.5, 1.5, 2)] == ["INSUFFICIENT_DATA"] * 2 + ["ALARM"]


def test_the_catalogue_speaks_of_metrics_that_exist_with_the_limits_of_the_gate() -> None:
    found = {a.name: a for a in alarms.catalogue(TEXT, setting=setting)}
    gate = GateSettings()
    assert found["prod-pr-auc"].threshold == gate.pr_auc_24h
    assert found["prod-f1"].threshold == gate.f1_24h
    assert found["prod-psi"].threshold == gate.psi
    assert found["prod-latency"].threshold == gate.latency_p95_ms * 1000
    assert found["prod-errors"].threshold == gate.errors_5xx
    assert all(a.stage == "prod" and a.meaning for a in found.values())


def test_a_limit_in_milliseconds_follows_its_setting_in_the_unit_of_the_metric() -> None:
    faster = {"gate.latency_p95_ms": 150.0}
    found = alarms.catalogue(TEXT, setting=lambda key: faster.get(key) or setting(key))
    (latency,) = [alarm for alarm in found if alarm.name == "prod-latency"]
    assert latency.threshold == 150_000


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('metric = "PSI"', 'metric = "PIS"', "PIS"),
        ('stage = "prod"', 'stage = "live"', "expected one of staging, prod"),
        ('relation = ">="', 'relation = "="', "relation"),
        ("periods = 1", "periods = 0", "breaching is 1"),
        ("breaching = 1", "breachng = 1", "missing ['breaching'], unknown ['breachng']"),
        ('name = "prod-f1"', 'name = "prod-psi"', "names must differ"),
        ("[[alarm]]", "[[alarms]]", "expected tables"),
    ],
)
def test_a_mistake_in_the_catalogue_is_named(old: str, new: str, said: str) -> None:
    with pytest.raises(SettingsError) as raised:
        alarms.catalogue(TEXT.replace(old, new), setting=setting)
    assert said in str(raised.value)
