"""What Prometheus is shown: everything that is known now, and nothing that is not."""

import re
import shutil
import threading
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.errors import SettingsError
from mlops_bikeshare.flows import alarms, exporter, serve
from mlops_bikeshare.monitoring.exposition import Sample, text
from tests import watched

ROOT = Path(__file__).resolve().parents[3]
RULES = (ROOT / "ops" / "prometheus" / "rules.yml").read_text()
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    shutil.copy(ROOT / "bikeshare.toml", tmp_path)
    return watched.a_day(tmp_path)[0]


def parsed(body: bytes) -> Series:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def value(found: Series, name: str, **labels: str) -> float | None:
    fits = [v for (n, of), v in found.items() if n == name and labels.items() <= dict(of).items()]
    assert len(fits) < 2
    return fits[0] if fits else None


def test_a_series_is_the_statistic_of_the_newest_period_that_is_over(ws: Workspace) -> None:
    ws.metrics.put(watched.batch("bikeshare-prod", watched.AT, PR=0.1))
    found = parsed(exporter.exposition(ws))

    prod = {"endpoint": "bikeshare-prod", "environment": "prod"}
    assert value(found, "bikeshare_pr_auc_24h", **prod, statistic="Minimum") == 0.9
    hour = {**prod, "variant": "AllTraffic", "statistic": "p95", "period_s": "3600"}
    assert value(found, "bikeshare_model_latency_microseconds", **hour) == 60_000
    assert value(found, "bikeshare_feed_age_seconds", city="boston", period_s="300") == 40
    detail = {**prod, "model_version": "1", "target": "bikeout"}
    assert value(found, "bikeshare_pr_auc_24h_detail", **detail) == 0.9
    assert value(found, "bikeshare_serving_share", **prod, version="1") == 1
    assert value(found, "bikeshare_releases", **prod, kind="deploy") == 1
    assert value(found, "bikeshare_clock_timestamp_seconds") == watched.AT.timestamp()


def test_what_ended_is_left_out_and_never_nought(ws: Workspace) -> None:
    ws.advance(watched.AT + timedelta(hours=3))
    found = parsed(exporter.exposition(ws))

    names = {name for name, _ in found}
    assert "bikeshare_endpoint_info" in names
    assert not {name for name in names if "24h" in name or "latency" in name or "feed" in name}


def test_alarms_that_cannot_know_are_left_out(ws: Workspace) -> None:
    alarms.tick(ws, ws.settings.city("boston"), at=ws.now)
    found = parsed(exporter.exposition(ws))

    firing = {dict(of)["alarm"]: v for (n, of), v in found.items() if n == "bikeshare_alarm_firing"}
    assert firing["bikeshare-prod-heartbeat-critical"] == 0
    assert "bikeshare-prod-pr-auc-warn" not in firing, "no reference was posted yet"


def test_every_series_that_a_rule_selects_has_its_labels(ws: Workspace) -> None:
    alarms.tick(ws, ws.settings.city("boston"), at=ws.now)
    for name in ("bikeshare-staging", "bikeshare-prod"):
        ws.metrics.put(watched.batch(name, watched.AT))
    shown: Series = {}
    for minutes in (0, 5, 10):  # a batch falls into every other period of five minutes
        ws.advance(watched.AT + timedelta(minutes=minutes))
        shown |= parsed(exporter.exposition(ws))
    selectors = set(re.findall(r"(bikeshare_\w+)\{([^}]+)\}", RULES))
    rare = {f"bikeshare_{what}_failures" for what in ("training", "retrain", "notification")}

    missing = []
    for name, labels in selectors:
        wanted = dict(yaml.safe_load(f"{{{labels.replace('=', ': ')}}}"))
        shows = any(n == name and wanted.items() <= dict(of).items() for n, of in shown)
        if name not in rare and not shows:
            missing.append((name, labels))
    assert missing == []


def test_a_label_may_hold_anything() -> None:
    awkward = 'a "quoted" \\ back\nslash'
    body = text([Sample(name="bikeshare_x", value=1, meaning="x", labels={"why": awkward})])

    assert parsed(body) == {("bikeshare_x", frozenset({("why", awkward)})): 1}


def test_it_is_served_on_loopback_and_follows_the_clock_of_others(ws: Workspace) -> None:
    stop, ready, urls = threading.Event(), threading.Event(), list[str]()

    def listens(url: str) -> None:
        urls.append(url)
        ready.set()

    thread = threading.Thread(
        target=lambda: exporter.run(ws, port=0, stop=stop, ready=listens), daemon=True
    )
    thread.start()
    try:
        assert ready.wait(30)
        other, _ = watched.empty(ws.settings.root)
        other.advance(watched.AT + timedelta(hours=3))
        with httpx.Client(trust_env=False, timeout=30) as client:
            answer = client.get(urls[0])
            assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
            now = value(parsed(answer.content), "bikeshare_clock_timestamp_seconds")
            assert now == other.now.timestamp()
            assert client.get(urls[0].replace("/metrics", "/")).status_code == 404
        port = int(urls[0].split(":")[2].partition("/")[0])
        with pytest.raises(SettingsError, match="--port"):
            exporter.run(ws, port=port, stop=stop, ready=listens)
    finally:
        stop.set()
        thread.join()


def test_the_host_shows_its_own_metrics_whatever_the_store_says(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> bytes:
        raise KeyError("at")

    monkeypatch.setattr(exporter, "exposition", broken)

    assert serve._shown(ws) == b""
