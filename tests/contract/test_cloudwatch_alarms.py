"""The catalogue put into CloudWatch, on the wire."""

from dataclasses import replace
from pathlib import Path

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.clock import RealClock
from mlops_bikeshare.flows import alarms
from mlops_bikeshare.monitoring import cloudwatch, cloudwatch_alarms
from mlops_bikeshare.settings import load
from tests.aws_wire import aws_on_the_wire

ROOT = Path(__file__).resolve().parents[2]


def test_alarms_are_put_changed_and_deleted_with_the_catalogue(tmp_path: Path) -> None:
    (tmp_path / "bikeshare.toml").write_text((ROOT / "bikeshare.toml").read_text())
    topic = "arn:aws:sns:ca-central-1:000000000000:bikeshare"
    settings = load(tmp_path, {}, {"notify.sns_topic": topic, "gate.psi": 0.25})
    ws = Workspace(replace(settings, profile="aws"), RealClock())
    city = settings.city("boston")
    with aws_on_the_wire() as wire:
        client = cloudwatch.client("ca-central-1", attempts=1, url=wire.url)
        ws.__dict__["cloudwatch"] = client
        wanted = alarms.definitions(ws.settings, city)
        old = {**wanted[0], "AlarmName": "bikeshare-prod-of-yesterday-warn"}
        others = {**wanted[0], "AlarmName": "bikeshare-paris-prod-latency-warn"}
        byhand = {**wanted[0], "AlarmName": "bikeshare-prod-of-an-operator", "Tags": []}
        cloudwatch_alarms.put(client, [old, others, byhand], prefixes=["nothing-"])

        done = alarms.apply(ws, city)

        assert done.pop("bikeshare-prod-of-yesterday-warn") == "deleted"
        assert set(done) == {one["AlarmName"] for one in wanted}
        assert set(done.values()) == {"created"}
        assert set(alarms.apply(ws, city).values()) == {"put again"}
        pages = client.get_paginator("describe_alarms").paginate()
        there = {one["AlarmName"]: one for page in pages for one in page["MetricAlarms"]}
        byhand_too = {"bikeshare-paris-prod-latency-warn", "bikeshare-prod-of-an-operator"}
        assert set(there) == {*done, *byhand_too}
        p95 = there["bikeshare-prod-latency-warn"]
        assert (p95["ExtendedStatistic"], p95["Threshold"]) == ("p95", 200_000.0)
        assert p95["AlarmActions"] == p95["OKActions"] == [topic]
        rate = there["bikeshare-prod-error-rate-critical"]["Metrics"]
        (math,) = [query["Expression"] for query in rate if "Expression" in query]
        assert math == "IF(m2_0 > 0, (m0_0 + m1_0) / m2_0)"
        client.close()


def test_an_alarm_that_was_put_before_it_was_marked_is_ours_once_it_is_put_again() -> None:
    with aws_on_the_wire() as wire:
        client = cloudwatch.client("ca-central-1", attempts=1, url=wire.url)
        settings = load(ROOT, {}, {})
        (first, *_) = alarms.definitions(settings, settings.city("boston"))
        client.put_metric_alarm(**{**first, "Tags": [{"Key": "severity", "Value": "warn"}]})

        cloudwatch_alarms.put(client, [first], prefixes=["bikeshare-"])

        name = first["AlarmName"]
        assert cloudwatch_alarms.put(client, [], prefixes=["bikeshare-"]) == {name: "deleted"}
        client.close()
