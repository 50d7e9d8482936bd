"""CloudWatch on the wire, as much of it as the metric store asks: a server that really aggregates.

It speaks what boto3 speaks to CloudWatch (JSON 1.0 over HTTP), refuses what CloudWatch
refuses (NaN, times older than two weeks or more than two hours ahead, more than 1,000 data), keeps
minutes for 15 days only, answers in pages, and can fail after it has stored a request.
"""

import gzip
import json
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

PAGE = 50
Key = tuple[str, str, frozenset[tuple[str, str]]]


class RefusedError(Exception):
    """What CloudWatch answers with InvalidParameterValue."""


@dataclass
class CloudWatch:
    """The state behind the server. `fail_after_storing`: puts that are kept and not answered."""

    now: datetime
    data: dict[Key, list[tuple[float, float]]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    fail_after_storing: int = 0
    status_code: str = "Complete"
    url: str = ""

    def put_metric_data(self, asked: dict[str, Any]) -> dict[str, Any]:
        if len(asked["MetricData"]) > 1000:
            raise RefusedError("The collection MetricData must not have a size greater than 1000.")
        for datum in asked["MetricData"]:
            at, value = _time(datum["Timestamp"]), float(datum["Value"])
            if not self.now - timedelta(days=14) <= at <= self.now + timedelta(hours=2):
                raise RefusedError(f"The parameter Timestamp {at} must specify a recent time.")
            if not math.isfinite(value):
                raise RefusedError("The value NaN for parameter Value is invalid.")
        for datum in asked["MetricData"]:
            key = _key(asked["Namespace"], datum)
            self.data.setdefault(key, []).append((datum["Timestamp"], datum["Value"]))
        return {}

    def get_metric_data(self, asked: dict[str, Any]) -> dict[str, Any]:
        start, end = asked["StartTime"], asked["EndTime"]
        if start >= end:
            raise RefusedError("The parameter StartTime must be less than the parameter EndTime.")
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
            raise RefusedError("The parameter Period must be a multiple of 60.")
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
    operations = {
        "PutMetricData": state.put_metric_data,
        "GetMetricData": state.get_metric_data,
        "ListMetrics": state.list_metrics,
    }

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            operation = self.headers["X-Amz-Target"].rpartition(".")[2]
            state.requests.append(operation)
            try:
                status, answer = 200, operations[operation](json.loads(body))
            except RefusedError as error:
                status = 400
                answer = {"__type": "InvalidParameterValueException", "message": str(error)}
            if operation == "PutMetricData" and state.fail_after_storing:
                state.fail_after_storing -= 1
                self.close_connection = True
                return
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.0")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
