"""CloudWatch on the wire, as much of it as the metric store asks: a server that really aggregates.

It speaks what boto3 speaks to CloudWatch (JSON 1.0 over HTTP), refuses what CloudWatch
refuses (NaN, times older than two weeks or more than two hours ahead, more than 1,000 data), keeps
minutes for 15 days only, answers in pages, and can fail after it has stored a request.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from tests.wire import Application, RefusedError, json_service, served

PAGE = 50
Key = tuple[str, str, frozenset[tuple[str, str]]]


def refused(said: str) -> RefusedError:
    """What CloudWatch answers to arguments that it does not take."""
    return RefusedError(said, kind="InvalidParameterValueException")


@dataclass
class CloudWatch:
    """The state behind the server. `fail_after_storing`: puts that are kept and not answered.

    `before` sees what is asked before it is done, and may raise ConnectionError.
    """

    now: datetime
    data: dict[Key, list[tuple[float, float]]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    fail_after_storing: int = 0
    before: Callable[[str, dict[str, Any]], None] = lambda *_: None
    status_code: str = "Complete"
    url: str = ""

    @property
    def application(self) -> Application:
        """What speaks for it."""
        return json_service(self.answer, version="1.0")

    def answer(self, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        """Do what an operation asks; ConnectionError once it is done, if it is to fail so."""
        self.requests.append(operation)
        self.before(operation, asked)
        does = {
            "PutMetricData": self.put_metric_data,
            "GetMetricData": self.get_metric_data,
            "ListMetrics": self.list_metrics,
        }
        told = does[operation](asked)
        if operation == "PutMetricData" and self.fail_after_storing:
            self.fail_after_storing -= 1
            raise ConnectionAbortedError
        return told

    def put_metric_data(self, asked: dict[str, Any]) -> dict[str, Any]:
        if len(asked["MetricData"]) > 1000:
            raise refused("The collection MetricData must not have a size greater than 1000.")
        for datum in asked["MetricData"]:
            at, value = _time(datum["Timestamp"]), float(datum["Value"])
            if not self.now - timedelta(days=14) <= at <= self.now + timedelta(hours=2):
                raise refused(f"The parameter Timestamp {at} must specify a recent time.")
            if not math.isfinite(value):
                raise refused("The value NaN for parameter Value is invalid.")
        for datum in asked["MetricData"]:
            key = _key(asked["Namespace"], datum)
            self.data.setdefault(key, []).append((datum["Timestamp"], datum["Value"]))
        return {}

    def get_metric_data(self, asked: dict[str, Any]) -> dict[str, Any]:
        start, end = asked["StartTime"], asked["EndTime"]
        if start >= end:
            raise refused("The parameter StartTime must be less than the parameter EndTime.")
        offset = int(asked.get("NextToken", 0))
        results, more = [], False
        for query in asked["MetricDataQueries"]:
            series = self._series(query["MetricStat"], start, end)
            page = series[offset : offset + PAGE]
            more |= len(series) > offset + PAGE
            results.append(
                {
                    "Id": query["Id"],
                    "Timestamps": [at for at, _ in page],
                    "Values": [value for _, value in page],
                    "StatusCode": self.status_code,
                }
            )
        token = {"NextToken": str(offset + PAGE)} if more else {}
        return {"MetricDataResults": results, "Messages": [], **token}

    def list_metrics(self, asked: dict[str, Any]) -> dict[str, Any]:
        offset = int(asked.get("NextToken", 0))
        mine = [key for key in self.data if key[0] == asked["Namespace"]]
        metrics = [
            {
                "Namespace": namespace,
                "MetricName": name,
                "Dimensions": [{"Name": n, "Value": v} for n, v in dimensions],
            }
            for namespace, name, dimensions in mine[offset : offset + 1]
        ]
        token = {"NextToken": str(offset + 1)} if len(mine) > offset + 1 else {}
        return {"Metrics": metrics, **token}

    def _series(self, stat: dict[str, Any], start: float, end: float) -> list[tuple[float, float]]:
        period = stat["Period"]
        if period % 60:
            raise refused("The parameter Period must be a multiple of 60.")
        age = self.now.timestamp() - start
        days = age / 86_400
        if period < (3600 if days >= 63 else 300 if days >= 15 else 60):
            return []
        found: dict[float, list[float]] = {}
        for at, value in self.data.get(_key(stat["Metric"]["Namespace"], stat["Metric"]), []):
            if start // period * period <= at < end:
                found.setdefault(at // period * period, []).append(value)
        return [(at, _statistic(stat["Stat"], values)) for at, values in sorted(found.items())]


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _statistic(name: str, values: list[float]) -> float:
    plain: dict[str, Any] = {
        "Sum": np.sum,
        "Average": np.mean,
        "Minimum": np.min,
        "Maximum": np.max,
    }
    if name == "SampleCount":
        return float(len(values))
    return float(plain[name](values) if name in plain else np.percentile(values, float(name[1:])))


def _key(namespace: str, metric: dict[str, Any]) -> Key:
    pairs = ((d["Name"], d["Value"]) for d in metric.get("Dimensions", []))
    return namespace, metric["MetricName"], frozenset(pairs)


@contextmanager
def serving(state: CloudWatch) -> Iterator[CloudWatch]:
    """Serve on a free port of loopback until the block ends."""
    with served(state.application) as state.url:
        yield state
