"""System Health: latency, errors and batches of the endpoints, and the alarms as of now.

Output   SystemHealth: series in five-minute periods from the metric store, alarms of
         ops/alarms.toml evaluated as CloudWatch would; or Empty.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from dashboards.readings import series
from dashboards.readings.choosing import Choice, Empty
from dashboards.readings.clients import Clients, located, no_metrics
from dashboards.readings.series import Asked
from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.monitoring.metrics import ENDPOINT, MetricStore, Statistic

if TYPE_CHECKING:
    import pandas as pd

    from mlops_bikeshare.monitoring.alarms import Seen

_LATENCY: tuple[tuple[str, str, Statistic], ...] = (
    ("model, average", "ModelLatency", "Average"),
    ("model, p50", "ModelLatency", "p50"),
    ("model, p95", "ModelLatency", "p95"),
    ("overhead, average", "OverheadLatency", "Average"),
)
_COUNTS = (("requests", "Invocations"), ("4xx", "Invocation4XXErrors"))
_ERRORS = (*_COUNTS, ("5xx", "Invocation5XXErrors"))
_US_PER_MS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemHealth:
    """`latency` (ms) and `counts`: at, value, endpoint, what; `batches`: the same.

    `what` of batches: batches, answered (a share). `alarms`: none where nothing is in production.
    """

    city: City
    now: datetime
    endpoints: tuple[str, ...]
    latency: "pd.DataFrame"
    counts: "pd.DataFrame"
    batches: "pd.DataFrame"
    alarms: "tuple[Seen, ...]"
    latency_limit_ms: float


def read(choice: Choice, clients: Clients, *, hours: int) -> SystemHealth | Empty:
    """The last hours of the city's endpoints."""
    found = located(choice)
    if isinstance(found, Empty):
        return found
    ws, city = found
    store = clients.metrics
    if store is None:
        return no_metrics(ws)
    variants = _variants(store, ws, city)
    if not variants:
        return no_metrics(ws)
    window = series.window_up_to(ws.now, hours=hours)
    names = tuple(sorted({endpoint for endpoint, _ in variants}))
    return SystemHealth(
        city=city,
        now=ws.now,
        endpoints=names,
        latency=series.frame(store, _latency(variants), window),
        counts=series.frame(store, _counts(variants), window),
        batches=series.frame(store, _batches(choice, city, names), window),
        alarms=tuple(_alarms(ws, city, variants, store)),
        latency_limit_ms=ws.settings.gate.latency_p95_ms,
    )


def _variants(store: MetricStore, ws: Workspace, city: City) -> list[tuple[str, str]]:
    """(endpoint, variant) of the city, as far as they were ever asked."""
    mine = {ws.settings.endpoint(stage, city.name) for stage in ("staging", "prod")}
    found = {
        (dimensions["EndpointName"], dimensions["VariantName"])
        for name, dimensions in store.names(ENDPOINT)
        if name == "Invocations" and {"EndpointName", "VariantName"} <= set(dimensions)
    }
    return sorted(pair for pair in found if pair[0] in mine)


def _of(endpoint: str, variant: str) -> dict[str, str]:
    return {"EndpointName": endpoint, "VariantName": variant}


def _latency(variants: list[tuple[str, str]]) -> list[Asked]:
    return [
        Asked(
            namespace=ENDPOINT,
            name=name,
            dimensions=_of(endpoint, variant),
            statistic=statistic,
            scale=1 / _US_PER_MS,
            labels={"endpoint": endpoint, "variant": variant, "what": what},
        )
        for endpoint, variant in variants
        for what, name, statistic in _LATENCY
    ]


def _counts(variants: list[tuple[str, str]]) -> list[Asked]:
    return [
        Asked(
            namespace=ENDPOINT,
            name=name,
            dimensions=_of(endpoint, variant),
            statistic="Sum",
            labels={"endpoint": endpoint, "variant": variant, "what": what},
        )
        for endpoint, variant in variants
        for what, name in _ERRORS
    ]


def _batches(choice: Choice, city: City, endpoints: tuple[str, ...]) -> list[Asked]:
    kinds: tuple[tuple[str, str, Statistic], ...] = (
        ("batches", "PredictionHeartbeat", "Sum"),
        ("answered", "BatchSuccessRate", "Minimum"),
    )
    return [
        Asked(
            namespace=choice.namespace,
            name=name,
            dimensions={"EndpointName": endpoint, "City": city.name},
            statistic=statistic,
            labels={"endpoint": endpoint, "what": what},
        )
        for endpoint in endpoints
        for what, name, statistic in kinds
    ]


def _alarms(
    ws: Workspace, city: City, variants: list[tuple[str, str]], store: MetricStore
) -> "list[Seen]":
    """Every alarm of production; none where nothing was asked of it."""
    from mlops_bikeshare.flows.releasing.alarms import look

    endpoint = ws.settings.endpoint("prod", city.name)
    mine = [variant for name, variant in variants if name == endpoint]
    return look(ws, city, stage="prod", variants=mine, metrics=store) if mine else []
