"""The metric store on CloudWatch.

Input    two boto3 clients: one to read, which may retry, and one to write, which must not (a retry
         of PutMetricData counts twice); create-once objects for marks; the time.
Output   see `metrics.MetricStore`.
Raises   LakeError when CloudWatch refuses, does not answer, or answers in part; TableError for a
         point that may not be posted.
Source   AWS, CloudWatch API reference: PutMetricData, GetMetricData, ListMetrics; data is kept by
         the minute for 15 days, by 5 minutes for 63, by the hour for 455.

CloudWatch has no upsert and no transaction. A posting with a key therefore leaves two marks:
`begun` before the put, `done` after it. Killed between them, the next run finds `begun` alone, asks
CloudWatch which data is there, and posts only the rest. What was just put may not show for some
minutes, so a posting begun less than `SETTLES` ago is an error that says when to come again.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any, Protocol

import numpy as np

from mlops_bikeshare.domain import aws_errors
from mlops_bikeshare.domain.errors import LakeError
from mlops_bikeshare.domain.reports import MetricPoint
from mlops_bikeshare.domain.windows import Window, floor_time, from_seconds, to_seconds
from mlops_bikeshare.monitoring.metrics import (
    MINUTE_S,
    Statistic,
    Wanted,
    check_read,
    checked,
    is_percentile,
    minutes_up_to,
)
from mlops_bikeshare.monitoring.periods import whole_minutes

MARKS = "monitoring/postings"
SETTLES = timedelta(minutes=5)
DATA_PER_PUT, QUERIES_PER_GET = 1000, 500
_KEPT = ((timedelta(days=15), 60), (timedelta(days=63), 300))
_COARSEST_S = 3600
# What an average is made of, so that every datum weighs alike.
_PARTS: Mapping[Statistic, tuple[Statistic, ...]] = {"Average": ("Sum", "SampleCount")}
Series = list[tuple[datetime, float]]


class Marks(Protocol):
    """Create-once objects; the lake's store is one."""

    def create(self, key: str, body: bytes) -> bool:
        """Write an object whole; False, and nothing written, if the key exists."""
        ...

    def read(self, key: str) -> bytes:
        """The object's bytes."""
        ...

    def keys(self, prefix: str) -> list[str]:
        """All keys below the folder `prefix`."""
        ...


def client(
    region: str, *, attempts: int, profile: str | None = None, url: str | None = None
) -> Any:
    """A boto3 client of CloudWatch that tries so many times; `url` is for tests on the wire."""
    from boto3.session import Session
    from botocore.config import Config

    retries: Any = {"mode": "standard", "total_max_attempts": attempts}
    config = Config(connect_timeout=5, read_timeout=30, retries=retries)
    dummy: dict[str, Any] = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    return Session(profile_name=profile).client(
        "cloudwatch",
        region_name=region,
        endpoint_url=url,
        config=config.merge(Config(proxies={})) if url else config,
        **(dummy if url else {}),
    )


class CloudWatchMetricStore:
    """A `MetricStore`; its series must not get two postings in one minute."""

    def __init__(
        self, *, reader: Any, writer: Any, marks: Marks, now: Callable[[], datetime]
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._marks = marks
        self._now = now

    def put(self, points: Sequence[MetricPoint], *, once: str | None = None) -> bool:
        """Keep all points or none. False, and nothing kept, if the key `once` was used before."""
        points = [checked(point) for point in points]
        if once is None:
            self._send(points)
            return True
        folder = f"{MARKS}/{hashlib.sha256(once.encode()).hexdigest()}"
        if f"{folder}/done" in self._marks.keys(folder):
            return False
        now = self._now().isoformat().encode()
        first = self._marks.create(f"{folder}/begun", now)
        owed = points if first else self._owed(points, once, begun=f"{folder}/begun")
        self._send(owed)
        self._marks.create(f"{folder}/done", now)
        return first or bool(owed)

    def series(
        self,
        namespace: str,
        name: str,
        dimensions: Mapping[str, str],
        *,
        window: Window,
        statistic: Statistic,
        period_s: int,
    ) -> Series:
        """The statistic of each period that has data, oldest first."""
        one = Wanted(namespace=namespace, name=name, dimensions=dimensions, statistic=statistic)
        return self.several([one], window=window, period_s=period_s)[0]

    def several(self, wanted: Sequence[Wanted], *, window: Window, period_s: int) -> list[Series]:
        """The series of each: one request for the percentiles, one for all others."""
        for one in wanted:
            check_read(window, statistic=one.statistic, period_s=period_s)
        percentiles = [one for one in wanted if is_percentile(one.statistic)]
        others = [one for one in wanted if not is_percentile(one.statistic)]
        whole = iter(self._ask([_asked(p) for p in percentiles], window, period_s=period_s))
        folded = iter(self._by_minutes(others, window, period_s=period_s))
        return [next(whole if is_percentile(one.statistic) else folded) for one in wanted]

    def _by_minutes(
        self, wanted: Sequence[Wanted], window: Window, *, period_s: int
    ) -> list[Series]:
        """Statistics that add up, of the minutes of the window alone."""
        minutes = whole_minutes(window)
        if minutes is None:
            return [[] for _ in wanted]
        parts = [_PARTS.get(one.statistic, (one.statistic,)) for one in wanted]
        asked = [_asked(one, p) for one, of in zip(wanted, parts, strict=True) for p in of]
        step_s = min(period_s, self._finest_s(window.start))
        found = iter(self._ask(asked, minutes, period_s=step_s))
        return [
            _together([_folded(next(found), statistic=p, period_s=period_s) for p in of])
            for of in parts
        ]

    def latest(
        self,
        namespace: str,
        name: str,
        dimensions: Mapping[str, str],
        *,
        before: datetime,
        within_s: int,
    ) -> tuple[datetime, float] | None:
        """The newest minute with data up to `before`, at most `within_s` older, and its average."""
        asked_of = minutes_up_to(before, within_s=within_s)
        asked = [(_metric(namespace, name, dimensions), "Average")]
        (found,) = self._ask(asked, asked_of, period_s=self._finest_s(asked_of.start))
        return found[-1] if found else None

    def names(self, namespace: str) -> list[tuple[str, dict[str, str]]]:
        """Every name with its dimensions, sorted; CloudWatch forgets those idle for two weeks."""
        with spoken("ListMetrics"):
            pages = self._reader.get_paginator("list_metrics").paginate(Namespace=namespace)
            found = [metric for page in pages for metric in page["Metrics"]]
        named = [(m["MetricName"], {d["Name"]: d["Value"] for d in m["Dimensions"]}) for m in found]
        return sorted(named, key=lambda item: (item[0], sorted(item[1].items())))

    def forget(self, before: datetime) -> int:  # noqa: ARG002 - the store's shape
        """Nothing: CloudWatch keeps minutes for 15 days, hours for 15 months, by itself."""
        return 0

    def _send(self, points: Iterable[MetricPoint]) -> None:
        ordered = sorted(points, key=lambda point: point.namespace)
        for namespace, group in groupby(ordered, key=lambda point: point.namespace):
            data = [_datum(point) for point in group]
            for start in range(0, len(data), DATA_PER_PUT):
                with spoken(f"PutMetricData to {namespace}"):
                    self._writer.put_metric_data(
                        Namespace=namespace, MetricData=data[start : start + DATA_PER_PUT]
                    )

    def _owed(self, points: Sequence[MetricPoint], once: str, *, begun: str) -> list[MetricPoint]:
        """The points of an interrupted posting that CloudWatch does not have."""
        since = self._now() - datetime.fromisoformat(self._marks.read(begun).decode())
        if since < SETTLES:
            wait = f"{(SETTLES - since).total_seconds():.0f} s"
            msg = f"posting {once!r} was begun {since.total_seconds():.0f} s ago and not finished"
            raise LakeError(f"{msg}; CloudWatch may not show its data yet: run again in {wait}")
        owed = []
        for start in range(0, len(points), QUERIES_PER_GET):
            part = points[start : start + QUERIES_PER_GET]
            there = self._there(part)
            owed += [point for point, known in zip(part, there, strict=True) if not known]
        return owed

    def _there(self, points: Sequence[MetricPoint]) -> list[bool]:
        times = [floor_time(point.at, step_s=MINUTE_S) for point in points]
        step_s = self._finest_s(min(times))
        window = Window(min(times), max(times) + timedelta(seconds=1)).widened(step_s=step_s)
        asked = [(_metric(p.namespace, p.name, p.dimensions), "SampleCount") for p in points]
        found = self._ask(asked, window, period_s=step_s)
        return [
            floor_time(at, step_s=step_s) in dict(series)
            for at, series in zip(times, found, strict=True)
        ]

    def _ask(
        self, asked: Sequence[tuple[dict[str, Any], str]], window: Window, *, period_s: int
    ) -> list[Series]:
        """One series for each of at most QUERIES_PER_GET (metric, statistic), oldest first."""
        if not asked:
            return []
        queries: list[dict[str, Any]] = [
            {"Id": f"q{i}", "MetricStat": {"Metric": metric, "Period": period_s, "Stat": stat}}
            for i, (metric, stat) in enumerate(asked)
        ]
        found: dict[str, Series] = {query["Id"]: [] for query in queries}
        status: dict[str, str] = {}
        with spoken("GetMetricData"):
            pages = self._reader.get_paginator("get_metric_data").paginate(
                MetricDataQueries=queries,
                StartTime=window.start,
                EndTime=window.end,
                ScanBy="TimestampAscending",
            )
            for result in (part for page in pages for part in page["MetricDataResults"]):
                times = [at.astimezone(UTC) for at in result["Timestamps"]]
                found[result["Id"]] += zip(times, result["Values"], strict=True)
                status[result["Id"]] = result.get("StatusCode", "Complete")
        wrong = sorted({text for text in status.values() if text != "Complete"})
        if wrong:
            raise LakeError(f"CloudWatch answered in part ({', '.join(wrong)}); ask again")
        return [found[query["Id"]] for query in queries]

    def _finest_s(self, start: datetime) -> int:
        """The shortest period that CloudWatch still has for data of that age."""
        age = self._now() - start
        return next((step_s for kept, step_s in _KEPT if age < kept), _COARSEST_S)


def _folded(found: Series, *, statistic: Statistic, period_s: int) -> Series:
    """Minutes to periods; counts and sums add up."""
    folds: dict[str, Callable[[Any], Any]] = {"Minimum": np.min, "Maximum": np.max}
    fold = folds.get(statistic, np.sum)
    groups = groupby(found, key=lambda item: to_seconds(item[0]) // period_s * period_s)
    return [(from_seconds(at), float(fold([value for _, value in part]))) for at, part in groups]


def _together(parts: Sequence[Series]) -> Series:
    """One series, or sums over counts."""
    if len(parts) == 1:
        return parts[0]
    sums, counts = parts
    rows = dict(counts)
    return [(at, value / rows[at]) for at, value in sums]


def _asked(one: Wanted, statistic: str | None = None) -> tuple[dict[str, Any], str]:
    return _metric(one.namespace, one.name, one.dimensions), statistic or one.statistic


def _metric(namespace: str, name: str, dimensions: Mapping[str, str]) -> dict[str, Any]:
    return {"Namespace": namespace, "MetricName": name, "Dimensions": _dimensions(dimensions)}


def _datum(point: MetricPoint) -> dict[str, Any]:
    return {
        "MetricName": point.name,
        "Dimensions": _dimensions(point.dimensions),
        "Timestamp": point.at,
        "Value": float(point.value),
        "Unit": point.unit,
    }


def _dimensions(dimensions: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in sorted(dimensions.items())]


@contextmanager
def spoken(what: str) -> Iterator[None]:
    """Turn botocore's exceptions into one LakeError."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise LakeError(f"CloudWatch refused {what}: {aws_errors.said(error)}") from error
    except BotoCoreError as error:
        raise LakeError(f"CloudWatch did not answer {what}: {aws_errors.said(error)}") from error
