"""Vitals of production: what the metric store and the lake hold since a moment.

Output   release.guard.Vitals; what was not measured is None or absent.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.reports import TargetQuality
from mlops_bikeshare.domain.windows import CADENCE_S, DAY_S, Window, floor_time
from mlops_bikeshare.flows.features import station_list
from mlops_bikeshare.flows.judging import gate_evidence, handled, judged
from mlops_bikeshare.monitoring import quality
from mlops_bikeshare.monitoring.metrics import ENDPOINT, MODEL, Statistic
from mlops_bikeshare.release.evidence import Reading, VariantHealth
from mlops_bikeshare.release.guard import Sampled, Vitals
from mlops_bikeshare.serving import endpoints
from mlops_bikeshare.serving.endpoints import EndpointVariant

HOUR_S = 3600
LATEST = ("PR-AUC-24h", "F1-24h")
TICK = timedelta(seconds=1)


def of_canary(ws: Workspace, city: City, target: Mapping[str, Any], *, since: datetime) -> Vitals:
    """How a step of a canary has been since it began."""
    endpoint = target["endpoint"]
    state = endpoints.describe(ws.clients, endpoint)
    window = _since(ws, since)
    if window is None:
        return Vitals(since=since, now=ws.now, variants=())
    of = {"EndpointName": endpoint, "City": city.name}
    rates = _values(
        ws, MODEL, "BatchSuccessRate", of, window, statistic="Minimum", period_s=CADENCE_S
    )
    return Vitals(
        since=since,
        now=ws.now,
        # The hour in which the step began counts whole: the variants are the same at every share.
        variants=[
            _health(ws, endpoint, v, window, hours=window.widened(step_s=HOUR_S))
            for v in state.variants
            if v.weight > 0
        ],
        batches=len(gate_evidence.beats(ws, of, window)),
        success_rate=min(rates.values(), default=None),
        sampled=_sampled(ws, city, endpoint, target["version"], window),
    )


def of_production(ws: Workspace, city: City, *, since: datetime) -> Vitals:
    """How production has been since its last move, at most over the last hour."""
    endpoint = ws.settings.endpoint("prod", city.name)
    state = endpoints.describe(ws.clients, endpoint)
    window = _since(ws, max(since, ws.now - timedelta(hours=1)))
    of = {"EndpointName": endpoint, "City": city.name}
    found = {n: ws.metrics.latest(MODEL, n, of, before=ws.now, within_s=DAY_S) for n in LATEST}
    fresh = timedelta(minutes=ws.settings.gate.stale_min)
    latest = {
        name: Reading(value=value[1], at=value[0])
        for name, value in found.items()
        if value is not None and ws.now - value[0] <= fresh
    }
    serving = [v for v in state.variants if v.weight > 0]
    hours = _hours_after(ws, since)
    variants = [_health(ws, endpoint, v, window, hours=hours) for v in serving] if window else []
    return Vitals(since=since, now=ws.now, variants=variants, latest=latest)


def _since(ws: Workspace, since: datetime) -> Window | None:
    """After `since`, up to and with now: a batch of the very minute of the move came before it."""
    return Window(since + TICK, ws.now + TICK) if ws.now > since else None


def _hours_after(ws: Workspace, since: datetime) -> Window | None:
    """The last two hours that began after a move: one hour may not speak of two versions."""
    reach = max(since, ws.now - timedelta(hours=2))
    start = floor_time(reach, step_s=HOUR_S)
    start += timedelta(0) if start == reach else timedelta(hours=1)
    now = ws.now + TICK
    return Window(start, now).widened(step_s=HOUR_S) if start < now else None


def _health(
    ws: Workspace,
    endpoint: str,
    variant: EndpointVariant,
    window: Window,
    *,
    hours: Window | None,
) -> VariantHealth:
    of = {"EndpointName": endpoint, "VariantName": variant.name}
    latency: dict[datetime, float] = {}
    if hours is not None:
        latency = _values(ws, ENDPOINT, "ModelLatency", of, hours, statistic="p95", period_s=HOUR_S)
    errors = _values(
        ws, ENDPOINT, "Invocation5XXErrors", of, window, statistic="Sum", period_s=HOUR_S
    )
    return VariantHealth(
        name=variant.name,
        latency_p95_ms={hour: us / 1000 for hour, us in latency.items()},
        invocations=_values(
            ws, ENDPOINT, "Invocations", of, window, statistic="Sum", period_s=HOUR_S
        ),
        errors_5xx=sum(errors.values()) if errors else None,
    )


def _sampled(
    ws: Workspace, city: City, endpoint: str, version: str, window: Window
) -> Sampled | None:
    """The worse target's scores on what the version itself answered and is known by now."""
    known = judged.matured(window, ws.now)
    if known is None:
        return None
    said = judged.predictions(ws, city, endpoint, known)
    said = said[said["model_version"] == version]
    if said.empty:
        return None
    stations = sorted(station_list(ws, city)["station_id"])
    happened = judged.outcomes(ws, city, stations, known)
    rows = handled.censored(ws, city, judged.joined(ws, city, said, happened))
    report = quality.judge(
        rows,
        judged.yardsticks(ws, city, version),
        endpoint=endpoint,
        city=city.name,
        model_version=version,
        window=known,
    )
    return Sampled(
        samples=min(target.model.rows for target in report.targets),
        pr_auc=_worse(report.targets, "pr_auc"),
        f1=_worse(report.targets, "f1"),
    )


def _worse(targets: tuple[TargetQuality, ...], name: str) -> float | None:
    values = [getattr(target.model, name) for target in targets]
    return None if None in values else min(values)


def _values(
    ws: Workspace,
    namespace: str,
    name: str,
    of: Mapping[str, str],
    window: Window,
    *,
    statistic: Statistic,
    period_s: int,
) -> dict[datetime, float]:
    found = ws.metrics.series(
        namespace, name, of, window=window, statistic=statistic, period_s=period_s
    )
    return dict(found)
