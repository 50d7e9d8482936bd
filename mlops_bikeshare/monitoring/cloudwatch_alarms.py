"""The catalogue as CloudWatch alarms.

Input    alarms; the names that their series have in an account: endpoint, city, variants; the SNS
         topic that is told (None: nobody). `put` takes a boto3 client of CloudWatch.
Output   arguments of PutMetricAlarm, one dict for each alarm, and for each variant where it is
         watched by itself; what became of each when they were put.
Raises   LakeError when CloudWatch refuses or does not answer.
Source   AWS, CloudWatch API reference: PutMetricAlarm; User Guide, "Using metric math": IF without
         a third argument leaves a period without value where the condition does not hold.

An alarm that was put from here carries the tag `made-by`. What the catalogue no longer has is
deleted only where it carries it: one that somebody made by hand is theirs, whatever its name.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlops_bikeshare.domain.variants import ALL_TRAFFIC
from mlops_bikeshare.monitoring.alarms import Alarm, Dimensions, dimensions
from mlops_bikeshare.monitoring.cloudwatch import spoken
from mlops_bikeshare.monitoring.metrics import is_percentile, metric

Definition = dict[str, Any]
COMPARISONS = {
    ">": "GreaterThanThreshold",
    ">=": "GreaterThanOrEqualToThreshold",
    "<": "LessThanThreshold",
    "<=": "LessThanOrEqualToThreshold",
}
PER_DELETE = 100
OURS = {"Key": "made-by", "Value": "bikeshare"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an alarm's metrics are, and who is told."""

    endpoint: str
    city: str
    variants: Sequence[str] = (ALL_TRAFFIC,)
    topic: str | None = None


def definitions(alarms: Iterable[Alarm], place: Place) -> list[Definition]:
    """What PutMetricAlarm is given."""
    return [found for alarm in alarms for found in _definitions(alarm, place)]


def put(client: Any, wanted: Sequence[Definition], *, prefixes: Sequence[str]) -> dict[str, str]:
    """Put every alarm; of the endpoints', delete our own that the catalogue no longer has."""
    done = {}
    with spoken("PutMetricAlarm"):
        there = {name: arn for prefix in prefixes for name, arn in _alarms(client, prefix)}
        for definition in wanted:
            name = definition["AlarmName"]
            client.put_metric_alarm(**definition)
            if name in there:  # what is put again keeps the tags that it had
                client.tag_resource(ResourceARN=there[name], Tags=definition["Tags"])
            done[name] = "put again" if name in there else "created"
        gone = sorted(name for name in set(there) - set(done) if _is_ours(client, there[name]))
        for start in range(0, len(gone), PER_DELETE):
            client.delete_alarms(AlarmNames=gone[start : start + PER_DELETE])
    return done | dict.fromkeys(gone, "deleted")


def _alarms(client: Any, prefix: str) -> Iterator[tuple[str, str]]:
    """Name and ARN."""
    pages = client.get_paginator("describe_alarms").paginate(
        AlarmNamePrefix=prefix, AlarmTypes=["MetricAlarm"]
    )
    for page in pages:
        for alarm in page["MetricAlarms"]:
            yield alarm["AlarmName"], alarm["AlarmArn"]


def _is_ours(client: Any, arn: str) -> bool:
    return OURS in client.list_tags_for_resource(ResourceARN=arn)["Tags"]


def _definitions(alarm: Alarm, place: Place) -> list[Definition]:
    series = dimensions(alarm, endpoint=place.endpoint, city=place.city, variants=place.variants)
    parts = [series] if alarm.variants == "together" else [[of] for of in series]
    return [_definition(alarm, part, place) for part in parts]


def _definition(alarm: Alarm, series: Sequence[Dimensions], place: Place) -> Definition:
    told = [place.topic] if place.topic else []
    return {
        "AlarmName": _name(alarm, series, place),
        "AlarmDescription": f"{alarm.meaning}. docs/runbook.md#{alarm.runbook}",
        "ActionsEnabled": True,
        "AlarmActions": told,
        "OKActions": told,
        "EvaluationPeriods": alarm.periods,
        "DatapointsToAlarm": alarm.breaching,
        "ComparisonOperator": COMPARISONS[alarm.relation],
        "Threshold": alarm.threshold,
        "TreatMissingData": alarm.missing,
        "Tags": [{"Key": "severity", "Value": alarm.severity}, OURS],
        **_signal(alarm, series),
    }


def _name(alarm: Alarm, series: Sequence[Dimensions], place: Place) -> str:
    variant = series[0].get("VariantName", ALL_TRAFFIC) if len(series) == 1 else ALL_TRAFFIC
    name = alarm.called(place.endpoint)
    return name if variant == ALL_TRAFFIC else f"{name}-{variant}"


def _signal(alarm: Alarm, series: Sequence[Dimensions]) -> Definition:
    """One metric by itself, or metric math."""
    if len(alarm.inputs) == 1 and len(series) == 1:
        statistic = "ExtendedStatistic" if is_percentile(alarm.statistic) else "Statistic"
        return {
            **_metric(alarm.metric, series[0]),
            statistic: alarm.statistic,
            "Period": alarm.period_s,
        }
    queries = []
    for at, of in enumerate(series):
        for name in alarm.inputs:
            stat = {"Metric": _metric(name, of), "Period": alarm.period_s, "Stat": alarm.statistic}
            query = {"Id": _id(alarm, name, at), "MetricStat": stat, "ReturnData": False}
            queries.append(query)
    terms = [_expression(alarm, at) for at in range(len(series))]
    whole = terms[0] if len(terms) == 1 else f"SUM([{', '.join(terms)}])"
    value = {"Id": "value", "Expression": whole, "Label": alarm.name, "ReturnData": True}
    return {"Metrics": [*queries, value]}


def _expression(alarm: Alarm, at: int) -> str:
    """(metric + plus - minus) / per of one series."""
    signs = {1: " + ", -1: " - "}
    first, *rest = alarm.terms
    total = _id(alarm, first[0], at) + "".join(signs[s] + _id(alarm, n, at) for n, s in rest)
    if alarm.per is None:
        return total
    divisor = _id(alarm, alarm.per, at)
    return f"IF({divisor} > 0, ({total}) / {divisor})"


def _id(alarm: Alarm, name: str, at: int) -> str:
    return f"m{alarm.inputs.index(name)}_{at}"


def _metric(name: str, of: Mapping[str, str]) -> Definition:
    dimensions_ = [{"Name": key, "Value": value} for key, value in sorted(of.items())]
    return {
        "Namespace": metric(name).namespace,
        "MetricName": name,
        "Dimensions": dimensions_,
    }
