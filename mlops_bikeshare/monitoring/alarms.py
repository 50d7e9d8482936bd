"""Alarms: what one is, and CloudWatch's own evaluation of it.

Input    an Alarm of the catalogue (alarm_catalogue.py), a metric store, the dimensions of its
         series (one for each variant where its metric has variants), a time.
Output   Seen: OK, ALARM or INSUFFICIENT_DATA, with the newest value.
Source   AWS, CloudWatch User Guide, "Configuring how CloudWatch alarms treat missing data":
         `breaching` of the last `periods` periods must breach; `missing` says what a period
         without data counts as (breaching, notBreaching, missing: nothing at all). And "Using
         metric math": a period in which one term has no data has no value.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from mlops_bikeshare.domain.windows import Window, floor_time
from mlops_bikeshare.monitoring.metrics import MetricStore, Statistic, is_percentile, metric

State = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]
Relation = Literal[">", ">=", "<", "<="]
Missing = Literal["breaching", "notBreaching", "missing"]
Severity = Literal["info", "warn", "critical"]
Stage = Literal["staging", "prod"]
Variants = Literal["each", "together"]
Dimensions = Mapping[str, str]

BREACHES: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_BADNESS = {"OK": 0, "INSUFFICIENT_DATA": 1, "ALARM": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One alarm of the endpoints of a stage, on (metric + plus - minus) / per."""

    name: str
    severity: Severity
    stage: Stage
    metric: str
    statistic: Statistic
    period_s: int
    periods: int
    breaching: int
    relation: Relation
    threshold: float
    missing: Missing
    meaning: str
    runbook: str
    plus: str | None = None
    minus: str | None = None
    per: str | None = None
    variants: Variants = "each"

    @property
    def terms(self) -> tuple[tuple[str, int], ...]:
        """What is added up: metric and sign."""
        more = ((self.plus, 1), (self.minus, -1))
        return ((self.metric, 1), *((name, sign) for name, sign in more if name is not None))

    @property
    def inputs(self) -> tuple[str, ...]:
        """Every metric that it reads."""
        return (*(name for name, _ in self.terms), *((self.per,) if self.per else ()))

    def called(self, endpoint: str) -> str:
        """Its full name."""
        return f"{endpoint}-{self.name}-{self.severity}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """News, told once: an entry of the audit of one of these kinds."""

    name: str
    kinds: tuple[str, ...]
    meaning: str
    runbook: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The state of an alarm; `value` is its newest period's, None where there was none."""

    name: str
    severity: Severity
    state: State
    value: float | None
    relation: Relation
    threshold: float
    meaning: str
    runbook: str
    unit: str = "None"


def state(alarm: Alarm, values: Sequence[float | None]) -> State:
    """The state after these periods, oldest first; None: a period without data."""
    recent = list(values)[-alarm.periods :]
    known = [value for value in recent if value is not None]
    breached = sum(BREACHES[alarm.relation](value, alarm.threshold) for value in known)
    silent = alarm.periods - len(known)
    if alarm.missing == "missing" and not known:
        return "INSUFFICIENT_DATA"
    if alarm.missing == "breaching":
        breached += silent
    return "ALARM" if breached >= alarm.breaching else "OK"


def look(
    store: MetricStore, alarm: Alarm, series: Sequence[Dimensions], *, endpoint: str, at: datetime
) -> Seen:
    """Evaluate as of `at`, whose period is not over and does not count: the worst of the series.

    `series`: the dimensions of each variant, or of the one series that there is.
    """
    end = floor_time(at, step_s=alarm.period_s)
    window = Window(end - timedelta(seconds=alarm.period_s * alarm.periods), end)
    return _seen(store, alarm, series, endpoint=endpoint, window=window)


def look_within(
    store: MetricStore,
    alarm: Alarm,
    series: Sequence[Dimensions],
    *,
    endpoint: str,
    window: Window,
) -> Seen:
    """Evaluate an alarm on what was measured in a window alone, its unfinished period too.

    A percentile cannot be cut: of those only the periods that lie wholly inside count. A period
    without data says nothing here.
    """
    alarm = replace(alarm, missing="missing")
    if not is_percentile(alarm.statistic):
        return _seen(store, alarm, series, endpoint=endpoint, window=window)
    step = timedelta(seconds=alarm.period_s)
    end = floor_time(window.end, step_s=alarm.period_s)
    start = floor_time(window.start - timedelta(microseconds=1), step_s=alarm.period_s) + step
    whole = Window(start, end) if start < end else None
    return _seen(store, alarm, series, endpoint=endpoint, window=whole)


def _seen(
    store: MetricStore,
    alarm: Alarm,
    series: Sequence[Dimensions],
    *,
    endpoint: str,
    window: Window | None,
) -> Seen:
    found = [_values(store, alarm, of, window) if window else [] for of in series]
    if alarm.variants == "together":
        found = [[_sum(values) for values in zip(*found, strict=True)]]
    judged = [(state(alarm, values), values[-1] if values else None) for values in found]
    worst, value = max(judged, key=lambda one: _BADNESS[one[0]])
    return Seen(
        name=alarm.called(endpoint),
        severity=alarm.severity,
        state=worst,
        value=value,
        relation=alarm.relation,
        threshold=alarm.threshold,
        meaning=alarm.meaning,
        runbook=alarm.runbook,
        unit="None" if alarm.per else metric(alarm.metric).unit,
    )


def dimensions(
    alarm: Alarm, *, endpoint: str, city: str, variants: Sequence[str]
) -> list[Dimensions]:
    """The dimensions of each series of an alarm's metrics."""
    known = {"EndpointName": endpoint, "City": city}
    names = metric(alarm.metric).dimensions
    of = {name: known[name] for name in names if name in known}
    return [{**of, "VariantName": v} for v in variants] if "VariantName" in names else [of]


def _values(store: MetricStore, alarm: Alarm, of: Dimensions, window: Window) -> list[float | None]:
    """The value of each period that the window touches."""
    read = {
        name: dict(
            store.series(
                metric(name).namespace,
                name,
                of,
                window=window,
                statistic=alarm.statistic,
                period_s=alarm.period_s,
            )
        )
        for name in alarm.inputs
    }
    starts = window.widened(step_s=alarm.period_s).steps(step_s=alarm.period_s)
    return [_value(alarm, {name: read[name].get(at) for name in read}) for at in starts]


def _value(alarm: Alarm, read: Mapping[str, float | None]) -> float | None:
    """One period's value; None where a term is unknown or the divisor is 0."""
    total = 0.0
    for name, sign in alarm.terms:
        term = read[name]
        if term is None:
            return None
        total += sign * term
    if alarm.per is None:
        return total
    divisor = read[alarm.per]
    return total / divisor if divisor else None


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
