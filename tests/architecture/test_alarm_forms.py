"""One catalogue, four forms: the evaluator's, CloudWatch's, Prometheus' and the table."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.session import get_session
from botocore.validate import validate_parameters

from mlops_bikeshare.flows import alarms as ticking
from mlops_bikeshare.flows.releasing import alarms
from mlops_bikeshare.monitoring.alarm_table import tables
from mlops_bikeshare.monitoring.alarms import Alarm
from mlops_bikeshare.monitoring.cloudwatch_alarms import COMPARISONS
from mlops_bikeshare.monitoring.exposition import name_of
from mlops_bikeshare.monitoring.metrics import CATALOGUE
from mlops_bikeshare.settings import load

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = load(ROOT, {}, {})
FOUND = alarms.load(SETTINGS)
RULES = yaml.safe_load((ROOT / "ops" / "prometheus" / "rules.yml").read_text())["groups"]
PAGE = (ROOT / "docs" / "ops_sla.md").read_text()
NAMES = {name_of(metric): metric.name for metric in CATALOGUE}
INVERSE = {">": "<=", ">=": "<", "<": ">=", "<=": ">"}
RELATIONS = {words: relation for relation, words in COMPARISONS.items()}


@dataclass(frozen=True)
class Form:
    """What every form of an alarm says, each in its own words."""

    metrics: frozenset[str]
    statistic: str
    period_s: int
    periods: int
    breaching: int
    relation: str
    threshold: float
    silence_breaches: bool
    severity: str
    runbook: str


def of_catalogue(alarm: Alarm) -> Form:
    return Form(
        metrics=frozenset(alarm.inputs),
        statistic=alarm.statistic,
        period_s=alarm.period_s,
        periods=alarm.periods,
        breaching=alarm.breaching,
        relation=alarm.relation,
        threshold=alarm.threshold,
        silence_breaches=alarm.missing == "breaching",
        severity=alarm.severity,
        runbook=alarm.runbook,
    )


def of_cloudwatch(put: dict[str, Any]) -> Form:
    stats = [query["MetricStat"] for query in put.get("Metrics", []) if "MetricStat" in query]
    names = {stat["Metric"]["MetricName"] for stat in stats} or {put["MetricName"]}
    statistics = {stat["Stat"] for stat in stats} or {
        put.get("Statistic") or put["ExtendedStatistic"]
    }
    (period_s,) = {stat["Period"] for stat in stats} or {put["Period"]}
    (statistic,) = statistics
    return Form(
        metrics=frozenset(names),
        statistic=statistic,
        period_s=period_s,
        periods=put["EvaluationPeriods"],
        breaching=put["DatapointsToAlarm"],
        relation=RELATIONS[put["ComparisonOperator"]],
        threshold=put["Threshold"],
        silence_breaches=put["TreatMissingData"] == "breaching",
        severity=put["Tags"][0]["Value"],
        runbook=put["AlarmDescription"].rpartition("#")[2],
    )


def of_prometheus(rule: dict[str, Any]) -> Form:
    expr = rule["expr"]
    silence = " unless on " in expr
    (statistic,) = set(re.findall(r'statistic="(\w+)"', expr))
    (period,) = set(re.findall(r'period_s="(\d+)"', expr))
    minutes = int(period) / 60
    counted = re.search(r"([<>]=?) bool (\S+)\)\[(\d+)s:60s\]\) >=? (\S+)$", expr)
    if counted is None:
        whole = re.search(r"} ([<>]=?) (\S+)$", expr)
        assert whole is not None, expr
        relation, threshold, periods, breaching = whole[1], whole[2], 1, 1
    else:
        relation, threshold = counted[1], counted[2]
        periods = int(counted[3]) // int(period)
        full = float(counted[4]) / minutes
        breaching = round(periods - full + 0.5) if silence else round(full + 0.5)
    names = set(re.findall(r"(bikeshare_\w+)\{", expr)) - {"bikeshare_endpoint_info"}
    return Form(
        metrics=frozenset(NAMES[name] for name in names),
        statistic=statistic,
        period_s=int(period),
        periods=periods,
        breaching=breaching,
        relation=INVERSE[relation] if silence else relation,
        threshold=float(threshold),
        silence_breaches=silence,
        severity=rule["labels"]["severity"],
        runbook=rule["annotations"]["runbook"].rpartition("#")[2],
    )


def of_table(cells: list[str]) -> Form:
    link, _, severity, value, fires, missing, _ = cells
    measured = re.fullmatch(r"(\w+) of (.+?)(?:, variants together)?, (\d+) (min|h)", value)
    limit = re.fullmatch(r"([<>]=?) (\S+)(?: µs| s)? in (\d+) of (\d+)", fires)
    assert measured is not None
    assert limit is not None
    return Form(
        metrics=frozenset(re.split(r" [+/-] ", measured[2].replace("(", "").replace(")", ""))),
        statistic=measured[1],
        period_s=int(measured[3]) * {"min": 60, "h": 3600}[measured[4]],
        periods=int(limit[4]),
        breaching=int(limit[3]),
        relation=limit[1],
        threshold=float(limit[2]),
        silence_breaches=missing == "breaching",
        severity=severity,
        runbook=link.rpartition("#")[2].rstrip(")"),
    )


CATALOGUED = {alarm.called(alarm.stage): of_catalogue(alarm) for alarm in FOUND.alarms}


def test_cloudwatch_has_the_alarms_of_the_catalogue() -> None:
    put = ticking.definitions(SETTINGS, SETTINGS.city("boston"))
    main = [one for one in put if not one["AlarmName"].endswith(("-Baseline", "-Candidate"))]

    of = {one["AlarmName"].removeprefix("bikeshare-"): of_cloudwatch(one) for one in main}
    assert of == CATALOGUED
    others = [of_cloudwatch(one) for one in put if one not in main]
    assert others, "the variants of a canary"
    assert set(others) <= set(CATALOGUED.values())


def test_prometheus_has_the_alarms_of_the_catalogue() -> None:
    rules = [rule for group in RULES if group["name"] != "scraping" for rule in group["rules"]]

    assert {rule["alert"]: of_prometheus(rule) for rule in rules} == CATALOGUED


def test_the_page_has_the_alarms_and_events_of_the_catalogue() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in tables(FOUND).splitlines()
        if line.startswith("| [`")
    ]
    told: dict[str, Form | None] = {}
    for cells in rows:
        name = re.match(r"\[`([\w-]+)`\]", cells[0])
        assert name is not None
        if len(cells) == 7:
            told[f"{cells[1]}-{name[1]}"] = of_table(cells)
        else:
            told[name[1]] = None
    events = {f"{event.name}-info": None for event in FOUND.events}

    assert told == {**CATALOGUED, **events}
    assert tables(FOUND) in PAGE, "run `make docs`"


def test_cloudwatch_would_take_every_definition() -> None:
    model = get_session().get_service_model("cloudwatch")
    shape = model.operation_model("PutMetricAlarm").input_shape

    for put in ticking.definitions(SETTINGS, SETTINGS.city("boston")):
        validate_parameters(put, shape)
        assert ("Metrics" in put) != ("MetricName" in put)
        queries = {query["Id"] for query in put.get("Metrics", [])}
        for query in put.get("Metrics", []):
            assert set(re.findall(r"\bm\d+_\d+\b", query.get("Expression", ""))) <= queries


def test_an_account_with_a_topic_is_told_of_alarm_and_recovery() -> None:
    topic = "arn:aws:sns:ca-central-1:000000000000:bikeshare"
    told = load(ROOT, {}, {"notify.sns_topic": topic})

    for put in ticking.definitions(told, told.city("boston")):
        assert put["AlarmActions"] == put["OKActions"] == [topic]


@pytest.mark.parametrize(
    ("old", "new"), [("> bool 0.1)", "> bool 0.2)"), ("[1200s:60s]", "[600s:60s]"), ("p95", "p90")]
)
def test_a_rule_that_says_something_else_would_be_found(old: str, new: str) -> None:
    rules = [rule for group in RULES if group["name"] != "scraping" for rule in group["rules"]]
    bent = [{**rule, "expr": rule["expr"].replace(old, new)} for rule in rules]

    assert {rule["alert"]: of_prometheus(rule) for rule in bent} != CATALOGUED
