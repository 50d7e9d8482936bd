"""Cost: what an environment would be paid for in a month, before anything is deployed.

Input    settings, an environment, a price file, measured latencies.
Output   Estimate.
Raises   CloudError for files that cannot be read.

Nothing is asked of AWS.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_bikeshare.cloud import cost
from mlops_bikeshare.cloud.cost import Knob, Latency, Line, Prices, Size
from mlops_bikeshare.cloud.environment import Environment
from mlops_bikeshare.domain.errors import CloudError
from mlops_bikeshare.domain.targets import TARGETS
from mlops_bikeshare.flows import alarms
from mlops_bikeshare.monitoring.metrics import CATALOGUE, MODEL
from mlops_bikeshare.settings import Settings

PRICES = "ops/prices.toml"
_ENDPOINTS = 2
_OF_THE_QUEUE = 1  # the alarm of events that failed, which no knob takes away
_WAKES = {"Key": "severity", "Value": "critical"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A month in US dollars, what would save, and which machine would do."""

    env: str
    usd: float
    lines: tuple[Line, ...]
    knobs: tuple[Knob, ...]
    slo_ms: float
    machine: Latency | None
    measured: int
    prices_of: str


def estimate(
    settings: Settings, env: Environment, *, prices: Path | None, latencies: Path | None
) -> Estimate:
    """What it would come to."""
    told = _prices(prices or settings.root / PRICES)
    size = _size(settings, env)
    found, slo_ms = cost.lines(told, size), settings.gate.latency_p95_ms
    measured = _latencies(latencies)
    return Estimate(
        env=env.name,
        usd=cost.total(found),
        lines=tuple(found),
        knobs=tuple(cost.knobs(told, size)),
        slo_ms=slo_ms,
        machine=cost.smallest(told, measured, slo_ms=slo_ms),
        measured=len(measured),
        prices_of=f"{told.region}, {told.date}",
    )


def summary(found: Estimate) -> str:
    """A line for each thing that is paid for, then the knobs, then the machine."""
    head = f"{found.env}: about {found.usd:,.0f} US dollars a month (prices of {found.prices_of})"
    paid = [f"  {x.usd:9.2f}  {x.what:<36} {x.quantity:14,.2f} {x.unit}" for x in found.lines]
    saved = [f"  {knob.saves_usd:9.2f}  {knob.what}" for knob in found.knobs]
    return "\n".join([head, *paid, "saves in a month:", *saved, _machine(found)])


def _machine(found: Estimate) -> str:
    if not found.measured:
        return "smallest machine: none was measured; give --latency FILE"
    slo = f"a p95 of {found.slo_ms:g} ms (gate.latency_p95_ms)"
    if found.machine is None:
        return f"smallest machine: none of {found.measured} measured meets {slo}"
    told = f"{found.machine.instance_type}, {found.machine.p95_ms:g} ms"
    return f"smallest machine that meets {slo}: {told} ({found.machine.command})"


def _size(settings: Settings, env: Environment) -> Size:
    plan, city = settings.schedule, settings.city(env.cities[0])
    found = alarms.definitions(settings, city)
    return Size(
        cities=len(env.cities),
        instance_type=settings.serving.instance_type,
        memory_mb=int(env.parameters["MemoryMb"]),
        ingest_min=plan.ingest_min,
        infer_min=plan.infer_min,
        monitor_min=plan.monitor_min,
        drift_min=plan.drift_min,
        metrics_per_city=_series(),
        alarm_metrics_per_city=sum(map(_read_by, found)) + _OF_THE_QUEUE,
        waking_metrics_per_city=sum(_read_by(one) for one in found if _WAKES in one["Tags"])
        + _OF_THE_QUEUE,
    )


def _series() -> int:
    """Series of our own metrics in a city: both endpoints, and by target where one is worse."""
    ours = [metric for metric in CATALOGUE if metric.namespace == MODEL]
    of_endpoints = [metric for metric in ours if "EndpointName" in metric.dimensions]
    details = [metric for metric in of_endpoints if metric.worse is not None]
    return (
        len(ours)
        - len(of_endpoints)
        + _ENDPOINTS * (len(of_endpoints) + len(TARGETS) * len(details))
    )


def _read_by(definition: dict[str, Any]) -> int:
    """Metrics that an alarm reads, each of which is paid for."""
    return sum("MetricStat" in query for query in definition.get("Metrics", [])) or 1


def _prices(path: Path) -> Prices:
    return cost.read_prices(_text(path), str(path.name))


def _latencies(path: Path | None) -> Sequence[Latency]:
    if path is None:
        return []
    try:
        return cost.read_latencies(json.loads(_text(path)), path.name)
    except json.JSONDecodeError as error:
        raise CloudError(f"{path.name} is not JSON: {error}") from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise CloudError(f"{path}: {error.strerror or error}") from None
