"""What an environment costs: every price counted, every knob by itself, no price made up."""

import dataclasses
import json
from pathlib import Path

import pytest
from botocore.session import get_session
from hypothesis import given
from hypothesis import strategies as st

from mlops_bikeshare.cloud import cost
from mlops_bikeshare.cloud.cost import Latency, Size
from mlops_bikeshare.domain.errors import CloudError
from mlops_bikeshare.flows import aws
from mlops_bikeshare.flows import cost as flow
from mlops_bikeshare.settings import load

ROOT = Path(__file__).resolve().parents[3]
SETTINGS = load(ROOT, {}, {})
TEXT = (ROOT / "ops" / "prices.toml").read_text()
PRICES = cost.read_prices(TEXT, "prices.toml")
SIZE = Size(
    cities=1,
    instance_type="ml.m5.large",
    memory_mb=2048,
    metrics_per_city=80,
    alarm_metrics_per_city=50,
    waking_metrics_per_city=10,
)


def paid(size: Size) -> dict[str, float]:
    return {line.what: line.usd for line in cost.lines(PRICES, size)}


def test_an_endpoint_is_paid_for_by_the_hour_and_staging_for_its_share() -> None:
    found = paid(dataclasses.replace(SIZE, staging_share=0.5))

    assert found["production endpoint, ml.m5.large"] == pytest.approx(730 * 0.115)
    assert found["staging endpoint, ml.m5.large"] == pytest.approx(365 * 0.115)


def test_a_lambda_is_paid_for_by_memory_and_time_and_call() -> None:
    runs, seconds = 144 * 365 / 12, PRICES.of("usage", "infer_s")

    wanted = runs * 2e-7 + runs * seconds * 2 * 0.00001667

    assert paid(SIZE)["Lambda infer"] == pytest.approx(wanted)


def test_every_price_in_the_file_is_part_of_a_bill() -> None:
    """A price that changes no line is a line that was forgotten."""
    now = cost.total(cost.lines(PRICES, SIZE))
    for table, entries in PRICES.tables.items():
        for key, value in entries.items():
            if key == "least_mb" or (table == "endpoint_hour" and key != SIZE.instance_type):
                continue
            dearer = {**PRICES.tables, table: {**entries, key: value * 2}}
            other = dataclasses.replace(PRICES, tables=dearer)
            assert cost.total(cost.lines(other, SIZE)) > now, f"{table}.{key}"


def test_athena_is_paid_for_its_least_scan_at_least() -> None:
    small = {**PRICES.tables["usage"], "athena_mb_per_query": 0.001}
    other = dataclasses.replace(PRICES, tables={**PRICES.tables, "usage": small})

    assert cost.lines(other, SIZE) == cost.lines(PRICES, SIZE)


@given(cities=st.integers(1, 20))
def test_cities_cost_the_same_each_but_for_the_key_and_the_dashboard_queries(cities: int) -> None:
    one = cost.total(cost.lines(PRICES, SIZE))
    many = cost.total(cost.lines(PRICES, dataclasses.replace(SIZE, cities=cities)))
    shared = paid(SIZE)["KMS key"] + paid(SIZE)["Athena scans"]

    assert many == pytest.approx(cities * (one - shared) + shared)


def test_a_knob_saves_what_the_bill_is_smaller_by() -> None:
    saved = {knob.what: knob.saves_usd for knob in cost.knobs(PRICES, SIZE)}

    assert saved["stop staging but for two days a week"] == pytest.approx(5 / 7 * 730 * 0.115)
    assert saved["no alarm but those that wake people"] == pytest.approx(40 * 0.10)
    assert saved["endpoints on ml.m5.xlarge (serving.instance_type)"] == pytest.approx(
        -1460 * 0.115
    )
    assert list(saved.values()) == sorted(saved.values(), reverse=True)


def test_the_smallest_machine_is_the_cheapest_that_was_measured_fast_enough() -> None:
    measured = [
        Latency("ml.t2.medium", 210.0, "c"),
        Latency("ml.c5.large", 120.0, "c"),
        Latency("ml.m5.large", 90.0, "c"),
    ]

    found = cost.smallest(PRICES, measured, slo_ms=200)

    assert found == measured[1]
    assert cost.smallest(PRICES, measured, slo_ms=50) is None
    assert cost.smallest(PRICES, [], slo_ms=200) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = [", "expected date, region"),
        ('date = "d"\nregion = "r"\n[s3]\nput = -1\n', r"s3\.put: expected a number from 0"),
        ('date = "d"\nregion = "r"\n[s3]\nput = nan\n', r"s3\.put"),
        ('date = "d"\nregion = "r"\n[s3]\nput = true\n', r"s3\.put"),
    ],
)
def test_a_price_file_that_is_wrong_is_named(text: str, said: str) -> None:
    with pytest.raises(CloudError, match=said):
        cost.read_prices(text, "mine.toml")


def test_a_price_that_is_missing_is_no_zero() -> None:
    size = dataclasses.replace(SIZE, instance_type="ml.p4d.24xlarge")

    with pytest.raises(CloudError, match=r"no endpoint_hour\.ml\.p4d\.24xlarge; there are: ml\."):
        cost.lines(PRICES, size)


def test_priced_machines_are_ones_that_sagemaker_hosts_on() -> None:
    shape = get_session().get_service_model("sagemaker").shape_for("ProductionVariantInstanceType")

    assert set(PRICES.tables["endpoint_hour"]) <= set(shape.enum)


@pytest.mark.parametrize("name", ["dev", "staging", "prod"])
def test_an_environment_has_an_estimate(name: str, tmp_path: Path) -> None:
    latency = tmp_path / "latency.json"
    row = {"instance_type": "ml.c5.large", "p95_ms": 120.0, "command": "make bench"}
    latency.write_text(json.dumps([row]))

    found = flow.estimate(SETTINGS, aws.load(SETTINGS, name), prices=None, latencies=latency)
    text = flow.summary(found)

    assert found.usd == pytest.approx(sum(line.usd for line in found.lines))
    assert f"{name}: about " in text
    assert "smallest machine that meets a p95 of 200 ms" in text
    assert "ml.c5.large, 120 ms (make bench)" in text


@pytest.mark.parametrize("rows", ["[1]", '[{"instance_type": "a", "p95_ms": null}]', "no"])
def test_latencies_that_cannot_be_read_are_refused(rows: str, tmp_path: Path) -> None:
    path = tmp_path / "latency.json"
    path.write_text(rows)

    with pytest.raises(CloudError, match=r"latency\.json"):
        flow.estimate(SETTINGS, aws.load(SETTINGS, "dev"), prices=None, latencies=path)
