"""Where metrics are kept (`MetricStore`), what statistics mean, and the catalogue of our metrics.

Input    `MetricPoint`s: single data, one value each, aware times.
Output   `series` mirrors CloudWatch's GetMetricData: data with start <= at < end in periods that
         are aligned to 1970, [period, period + period_s); a period without data is left out.
         CloudWatch keeps minutes: the one that a window begins in the middle of does not count
         there, the one that it ends in does.
Raises   TableError for a value that is not finite or a time without zone: unknown is not posted.
         InputError for an unknown statistic, or a percentile over part of a period: what
         CloudWatch has aggregated cannot be cut.
Source   AWS, CloudWatch API reference.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol, get_args

from mlops_bikeshare.domain.errors import InputError, TableError
from mlops_bikeshare.domain.reports import MetricPoint
from mlops_bikeshare.domain.windows import Window, floor_time

MODEL = "Bikeshare/Model"
ENDPOINT = "AWS/SageMaker"

Statistic = Literal[
    "Sum", "Average", "Minimum", "Maximum", "SampleCount", "p50", "p90", "p95", "p99"
]
Worse = Literal["lower", "higher"]
MINUTE_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One series of several that are asked for together."""

    namespace: str
    name: str
    dimensions: Mapping[str, str]
    statistic: Statistic


class MetricStore(Protocol):
    """Metrics of the model and of the endpoints; SQLite here, CloudWatch in the cloud."""

    def put(self, points: Sequence[MetricPoint], *, once: str | None = None) -> bool:
        """Keep all points or none. False, and nothing kept, if the key `once` was used before."""
        ...

    def series(
        self,
        namespace: str,
        name: str,
        dimensions: Mapping[str, str],
        *,
        window: Window,
        statistic: Statistic,
        period_s: int,
    ) -> list[tuple[datetime, float]]:
        """The statistic of each period that has data, oldest first."""
        ...

    def several(
        self, wanted: Sequence[Wanted], *, window: Window, period_s: int
    ) -> list[list[tuple[datetime, float]]]:
        """The series of each, in as few requests as the store needs."""
        ...

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
        ...

    def names(self, namespace: str) -> list[tuple[str, dict[str, str]]]:
        """Every name with its dimensions, sorted."""
        ...

    def forget(self, before: datetime) -> int:
        """Remove what is older, where the store does not by itself; how many values that were."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric: how it is posted, how it is read, and what it tells.

    `worse`: the side on which the worse of two targets lies; None where targets play no part.
    `every_s`: how often it is posted, which is the shortest period that says anything.
    """

    name: str
    meaning: str
    unit: str = "None"
    statistic: Statistic = "Average"
    namespace: str = MODEL
    dimensions: tuple[str, ...] = ("EndpointName", "City")
    worse: Worse | None = None
    every_s: int = 600


_SHARE = "share of [0, 1]"
_VARIANT = ("EndpointName", "VariantName")
_CITY = ("City",)

CATALOGUE: tuple[Metric, ...] = (
    Metric(name="PR-AUC-24h", meaning="average precision", worse="lower"),
    Metric(name="F1-24h", meaning="F1 at the version's threshold", worse="lower"),
    Metric(name="Brier-24h", meaning="Brier score", worse="higher"),
    Metric(name="ECE-24h", meaning="expected calibration error, 10 bins", worse="higher"),
    Metric(name="Onset-PR-AUC-24h", meaning="average precision of onset rows", worse="lower"),
    Metric(name="Brier-Skill-24h", meaning="1 - Brier / persistence's Brier", worse="lower"),
    Metric(name="Onset-Brier-Skill-24h", meaning="the same on onset rows", worse="lower"),
    Metric(
        name="QualitySamples-24h",
        meaning="labelled rows judged",
        unit="Count",
        statistic="Minimum",
        worse="lower",
    ),
    Metric(
        name="EstimatedBrier",
        meaning="Brier score that the newest answers promise, before any label",
        worse="higher",
    ),
    Metric(
        name="EstimatedPR-AUC",
        meaning="average precision that the newest answers promise, before any label",
        worse="lower",
    ),
    *(
        Metric(name=name, meaning=f"what {name[:-10]}-24h was when the champion was judged")
        for name in ("PR-AUC-Reference", "F1-Reference")
    ),
    *(
        Metric(name=name, meaning=meaning, statistic="Maximum", every_s=3600)
        for name, meaning in (
            ("PSI", "largest PSI of a feature"),
            ("DriftShare", "features that drift, " + _SHARE),
            ("PredictionPSI", "largest PSI of a target"),
        )
    ),
    *(
        Metric(
            name=name,
            meaning=f"stations that {what}",
            unit="Count",
            statistic="Maximum",
            every_s=3600,
        )
        for name, what in (
            ("StationsAppeared", "the version does not know"),
            ("StationsVanished", "the version knows and nobody saw in the window"),
            ("StationsMoved", "stand elsewhere than in training"),
        )
    ),
    Metric(
        name="PredictionHeartbeat",
        meaning="1 for a batch that ran and wrote its rows",
        unit="Count",
        statistic="Sum",
    ),
    Metric(name="BatchSuccessRate", meaning="rows the model answered, " + _SHARE),
    Metric(
        name="EndpointUp",
        meaning="1 where the endpoint said that it answers, else 0",
        unit="Count",
        statistic="Minimum",
    ),
    *(
        Metric(name=name, meaning=meaning, unit="Count", statistic="Sum", dimensions=_CITY)
        for name, meaning in (
            ("TrainingFailures", "1 for a training that failed, 0 for one that did not"),
            ("RetrainFailures", "1 for a retraining that failed, 0 for one that did not"),
            ("NotificationFailures", "messages that a channel did not take in time"),
        )
    ),
    Metric(
        name="FeedAge_s",
        meaning="age of the feed's document when read",
        unit="Seconds",
        statistic="Maximum",
        dimensions=_CITY,
    ),
    Metric(
        name="PollFailures",
        meaning="polls without a document",
        unit="Count",
        statistic="Sum",
        dimensions=_CITY,
    ),
    Metric(
        name="QuarantinedRows",
        meaning="rows that broke their table's contract",
        unit="Count",
        statistic="Sum",
        dimensions=_CITY,
    ),
    Metric(
        name="ModelLatency",
        meaning="time in the model",
        unit="Microseconds",
        statistic="p95",
        namespace=ENDPOINT,
        dimensions=_VARIANT,
    ),
    Metric(
        name="OverheadLatency",
        meaning="time around the model",
        unit="Microseconds",
        statistic="p95",
        namespace=ENDPOINT,
        dimensions=_VARIANT,
    ),
    *(
        Metric(
            name=name,
            meaning=meaning,
            unit="Count",
            statistic="Sum",
            namespace=ENDPOINT,
            dimensions=_VARIANT,
        )
        for name, meaning in (
            ("Invocations", "requests to the variant"),
            ("Invocation4XXErrors", "1 for a request refused, else 0"),
            ("Invocation5XXErrors", "1 for a request that failed, else 0"),
        )
    ),
)


def metric(name: str) -> Metric:
    """The catalogue's entry."""
    for entry in CATALOGUE:
        if entry.name == name:
            return entry
    known = ", ".join(entry.name for entry in CATALOGUE)
    raise InputError(f"metric {name!r} is not in the catalogue; known: {known}")


def point(name: str, value: float, *, at: datetime, dimensions: Mapping[str, str]) -> MetricPoint:
    """A point of a metric in the catalogue, with its namespace and unit."""
    entry = metric(name)
    return MetricPoint(
        namespace=entry.namespace,
        name=name,
        dimensions=dimensions,
        at=at,
        value=float(value),
        unit=entry.unit,
    )


def checked(point: MetricPoint) -> MetricPoint:
    """The point itself; TableError for a value that is not finite or a time without zone."""
    if not math.isfinite(point.value) or point.at.tzinfo is None:
        msg = f"metric {point.name} of {dict(point.dimensions)}: {point.value} at {point.at}"
        raise TableError(f"{msg}; expected a finite value and a UTC time. Post nothing instead")
    return point


def check_read(window: Window, *, statistic: Statistic, period_s: int) -> None:
    """InputError for what no store can answer."""
    if statistic not in get_args(Statistic):
        allowed = ", ".join(get_args(Statistic))
        raise InputError(f"statistic {statistic!r} is unknown; expected one of {allowed}")
    if is_percentile(statistic) and window.widened(step_s=period_s) != window:
        msg = f"{statistic} over {window} in periods of {period_s} s: expected whole periods"
        raise InputError(f"{msg}; widen the window to {window.widened(step_s=period_s)}")


def is_percentile(statistic: Statistic) -> bool:
    """Whether it is one of p50, p90, p95, p99."""
    return statistic.startswith("p")


def minutes_up_to(before: datetime, *, within_s: int) -> Window:
    """The whole minutes from `within_s` before `before` to the one that holds it."""
    since = floor_time(before - timedelta(seconds=within_s), step_s=MINUTE_S)
    return Window(since, floor_time(before, step_s=MINUTE_S) + timedelta(seconds=MINUTE_S))
