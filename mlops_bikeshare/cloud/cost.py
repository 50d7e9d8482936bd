"""What an environment costs in a month, what each knob saves, the smallest machine that will do.

Input    prices and usage (ops/prices.toml), how large an environment is (`Size`), measured
         latencies of machines.
Output   Lines in US dollars for a month of 730 hours; Knobs with what they save of it.
Raises   CloudError for a price that the file lacks, or that is no number.
Source   the pages that the price file names. Free tiers, taxes, traffic, logs, the registry of
         images and the optional MLflow server are not in it.
"""

import dataclasses
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlops_bikeshare.domain.errors import CloudError

HOURS, DAYS = 730.0, 365 / 12
_HOUR_MIN, _GB_MB = 60, 1024
_MB_PER_TB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Prices:
    """The price file."""

    date: str
    region: str
    tables: Mapping[str, Mapping[str, float]]

    def of(self, table: str, key: str) -> float:
        """One price, or one figure of usage."""
        try:
            return self.tables[table][key]
        except KeyError:
            known = ", ".join(self.tables.get(table, {}))
            msg = f"the price file has no {table}.{key}; there are: {known or 'none'}"
            raise CloudError(f"{msg}. Add it, or give another file with --prices") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large an environment is; `waking`: of the critical alarms among all of them."""

    cities: int
    instance_type: str
    memory_mb: int
    staging_share: float = 1.0
    ingest_min: int = 5
    infer_min: int = 10
    monitor_min: int = 10
    drift_min: int = 60
    metrics_per_city: int = 0
    alarm_metrics_per_city: int = 0
    waking_metrics_per_city: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that is paid for."""

    what: str
    quantity: float
    unit: str
    usd: float


@dataclass(frozen=True, slots=True)
class Knob:
    """A choice, and what it saves in a month."""

    what: str
    saves_usd: float


@dataclass(frozen=True, slots=True)
class Latency:
    """A machine's measured 95th percentile; `command` measured it."""

    instance_type: str
    p95_ms: float
    command: str


def read_prices(text: str, name: str) -> Prices:
    """The price file; every price a finite number from 0 on."""
    try:
        found = tomllib.loads(text)
        date, region = str(found.pop("date")), str(found.pop("region"))
    except (tomllib.TOMLDecodeError, KeyError) as error:
        msg = f"{name}: expected date, region and tables of prices: {error}"
        raise CloudError(msg) from None
    for table, entries in found.items():
        for key, value in entries.items():
            if not _is_price(value):
                raise CloudError(f"{name}: {table}.{key}: expected a number from 0, got {value!r}")
    return Prices(date, region, found)


def read_latencies(rows: Any, name: str) -> list[Latency]:
    """JSON rows of instance_type, p95_ms, command."""
    try:
        found = [Latency(str(r["instance_type"]), r["p95_ms"], str(r["command"])) for r in rows]
    except (KeyError, TypeError) as error:
        msg = f"{name}: expected rows of instance_type, p95_ms and command"
        raise CloudError(f"{msg}: {error}") from None
    wrong = [one for one in found if not _is_price(one.p95_ms)]
    if wrong:
        raise CloudError(f"{name}: {wrong[0].instance_type}: p95_ms is {wrong[0].p95_ms!r}")
    return found


def lines(prices: Prices, size: Size) -> list[Line]:
    """What is paid for, one by one."""
    return [*_endpoints(prices, size), *_jobs(prices, size), *_data(prices, size)]


def total(found: Sequence[Line]) -> float:
    """Dollars in a month."""
    return math.fsum(line.usd for line in found)


def knobs(prices: Prices, size: Size) -> list[Knob]:
    """What each choice saves, by itself, the most first."""
    now = total(lines(prices, size))
    choices: dict[str, dict[str, Any]] = {
        "stop staging but for two days a week": {"staging_share": 2 / 7 * size.staging_share},
        "halve the jobs' memory (MemoryMb)": {"memory_mb": size.memory_mb // 2},
        "judge every 30 minutes (schedule.monitor_min)": {"monitor_min": 30},
        "no alarm but those that wake people": {
            "alarm_metrics_per_city": size.waking_metrics_per_city
        },
        "one city fewer": {"cities": size.cities - 1},
        **{
            f"endpoints on {name} (serving.instance_type)": {"instance_type": name}
            for name in prices.tables.get("endpoint_hour", {})
            if name != size.instance_type
        },
    }
    found = [
        Knob(what, now - total(lines(prices, dataclasses.replace(size, **changed))))
        for what, changed in choices.items()
    ]
    return sorted(found, key=lambda knob: -knob.saves_usd)


def smallest(prices: Prices, measured: Sequence[Latency], *, slo_ms: float) -> Latency | None:
    """The cheapest machine whose measured p95 meets the SLO; None: none was measured that does."""
    good = [one for one in measured if one.p95_ms <= slo_ms]
    return min(good, key=lambda m: prices.of("endpoint_hour", m.instance_type), default=None)


def _endpoints(prices: Prices, size: Size) -> Iterator[Line]:
    hour = prices.of("endpoint_hour", size.instance_type)
    for stage, share in (("production", 1.0), ("staging", size.staging_share)):
        hours = HOURS * share * size.cities
        yield Line(f"{stage} endpoint, {size.instance_type}", hours, "hours", hours * hour)


def _runs(size: Size) -> dict[str, float]:
    """How often each job runs in a month."""
    per_day = {
        "ingest": 24 * _HOUR_MIN / size.ingest_min,
        "infer": 24 * _HOUR_MIN / size.infer_min,
        "monitor": 24 * _HOUR_MIN / size.monitor_min,
        "drift": 24 * _HOUR_MIN / size.drift_min,
        "compact": 1.0,
    }
    return {job: count * DAYS * size.cities for job, count in per_day.items()}


def _jobs(prices: Prices, size: Size) -> Iterator[Line]:
    for job, runs in _runs(size).items():
        gb_s = runs * prices.of("usage", f"{job}_s") * size.memory_mb / _GB_MB
        usd = runs * prices.of("lambda", "request") + gb_s * prices.of("lambda", "gb_second")
        yield Line(f"Lambda {job}", gb_s, "GB-s", usd)


def _data(prices: Prices, size: Size) -> Iterator[Line]:
    def usage(key: str) -> float:
        return prices.of("usage", key)

    runs = _runs(size)
    batches, looks = runs["infer"], runs["monitor"]
    scanned = max(usage("athena_mb_per_query"), prices.of("athena", "least_mb")) / _MB_PER_TB
    metrics = float(size.metrics_per_city * size.cities)
    read = float(size.alarm_metrics_per_city * size.cities)
    for what, quantity, unit, price in (
        (
            "S3 storage",
            usage("stored_gb_per_city_month") * usage("kept_months") * size.cities,
            "GB",
            prices.of("s3", "gb_month"),
        ),
        (
            "S3 writes and listings",
            math.fsum(count * usage(f"{job}_puts") for job, count in runs.items()),
            "requests",
            prices.of("s3", "put"),
        ),
        (
            "S3 reads",
            math.fsum(count * usage(f"{job}_gets") for job, count in runs.items()),
            "requests",
            prices.of("s3", "get"),
        ),
        (
            "Athena scans",
            usage("athena_queries_per_day") * DAYS * scanned,
            "TB",
            prices.of("athena", "tb_scanned"),
        ),
        ("CloudWatch metrics", metrics, "series", prices.of("cloudwatch", "metric_month")),
        (
            "CloudWatch alarms",
            read,
            "series watched",
            prices.of("cloudwatch", "alarm_metric_month"),
        ),
        (
            "CloudWatch dashboards",
            float(size.cities),
            "dashboards",
            prices.of("cloudwatch", "dashboard_month"),
        ),
        (
            "CloudWatch posts",
            batches * usage("posts_per_batch"),
            "requests",
            prices.of("cloudwatch", "put_request"),
        ),
        (
            "CloudWatch reads",
            looks * usage("reads_per_watch"),
            "series read",
            prices.of("cloudwatch", "metric_read"),
        ),
        ("KMS key", 1.0, "keys", prices.of("kms", "key_month")),
    ):
        yield Line(what, quantity, unit, quantity * price)


def _is_price(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value >= 0
