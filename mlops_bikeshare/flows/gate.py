"""Gate: collect what the metric store, the endpoint and the lake say, judge it, keep the verdict.

Input    an endpoint (default: the city's staging), judged as of the workspace's clock.
Output   GateReport, stored under `gate/` and logged as an MLflow run with its evidence.
Raises   EndpointError when the endpoint does not exist; ModelError when its version is unknown.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.reports import Comparison, GateReport
from mlops_bikeshare.domain.targets import TARGETS
from mlops_bikeshare.domain.windows import CADENCE_S, DAY_S, Window
from mlops_bikeshare.evaluation.bootstrap import station_blocks
from mlops_bikeshare.evaluation.comparison import compare
from mlops_bikeshare.flows import decision_runs, golden, judged, records, tracking
from mlops_bikeshare.flows.features import station_list
from mlops_bikeshare.flows.logged import Told, logged
from mlops_bikeshare.flows.monitor import DRIFT_EVERY_S
from mlops_bikeshare.monitoring.metrics import ENDPOINT, MODEL, Statistic
from mlops_bikeshare.registry import versions
from mlops_bikeshare.release import gate as release
from mlops_bikeshare.release.gate import GateEvidence, Reading, VariantHealth
from mlops_bikeshare.serving import endpoints
from mlops_bikeshare.serving.endpoints import EndpointState

HOUR_S = 3600
LATEST = ("PR-AUC-24h", "F1-24h", "Onset-Brier-Skill-24h", "QualitySamples-24h")


def _told(report: GateReport) -> Told:
    read = {"endpoint": report.endpoint, "version": report.model_version}
    against = ", ".join(check.name for check in report.failed) or None
    wrote = {"verdict": report.verdict, "against": against}
    return Told(read={**read, "window": str(report.window)}, wrote=wrote)


@logged("gate", _told)
def gate(ws: Workspace, city: City, *, endpoint: str | None = None) -> GateReport:
    """Judge an endpoint; the verdict is kept whatever it is."""
    name = endpoint or ws.settings.endpoint("staging", city.name)
    report = release.judge(evidence(ws, city, name), ws.settings.gate)
    records.keep_gate(ws, report)
    records.audit(ws, "gate", why=f"verdict {report.verdict}", facts=records.facts(report))
    decision_runs.log_gate(ws, city, report, text=summary(report))
    return report


def evidence(ws: Workspace, city: City, endpoint: str) -> GateEvidence:
    """Everything the verdict on an endpoint rests on, as of now."""
    tracking.connect(ws)
    state = endpoints.describe(ws.clients, endpoint)
    version = versions.find(city.registered_model, state.variants[0].version or "")
    window = Window.before(ws.now, hours=ws.settings.gate.window_h)
    of = {"EndpointName": endpoint, "City": city.name}
    latest = {name: _latest(ws, name, of, cadence_s=CADENCE_S) for name in LATEST}
    latest["PSI"] = _worst_psi(ws, of, window)
    return GateEvidence(
        endpoint=endpoint,
        city=city.name,
        model_version=version.version,
        artefact_digest=version.digest,
        deployed_digest=golden.deployed_digest(ws, state),
        window=window,
        judged_at=ws.now,
        latest={name: reading for name, reading in latest.items() if reading is not None},
        variants=[_health(ws, state, v.name, window) for v in state.variants if v.weight > 0],
        heartbeats=_total(ws, MODEL, "PredictionHeartbeat", of, window),
        drift_enough=latest["PSI"] is not None,
        targets=[target.name for target in TARGETS],
        comparisons=comparisons(ws, city, endpoint, version.version, window),
    )


def comparisons(
    ws: Workspace, city: City, endpoint: str, version: str, window: Window
) -> list[Comparison]:
    """Challenger against champion on the same station-times, by Brier score."""
    known = judged.matured(window, ws.now)
    prod = ws.settings.endpoint("prod", city.name)
    champion = versions.find_if_any(city.registered_model, versions.CHAMPION)
    if known is None or champion is None or prod == endpoint:
        return []
    challenger = judged.predictions(ws, city, endpoint, known)
    theirs = judged.predictions(ws, city, prod, known)
    pairs = challenger[challenger["model_version"] == version].merge(
        theirs[theirs["model_version"] == champion.version],
        on=["station_id", "dt", "horizon_min"],
        suffixes=("", "_champion"),
    )
    if pairs.empty:
        return []
    stations = sorted(station_list(ws, city)["station_id"])
    rows = judged.joined(pairs, judged.outcomes(ws, city, stations, known))
    codes = np.unique(rows["station_id"], return_inverse=True)[1]
    seconds = rows["dt"].dt.as_unit("s").astype("int64").to_numpy()
    blocks = station_blocks(codes, seconds)
    found = [
        compare(
            t.name,
            rows[f"label_{t.name}"].to_numpy(),
            rows[t.probability].to_numpy(),
            rows[f"{t.probability}_champion"].to_numpy(),
            blocks,
            seed=ws.settings.training.seed,
        )
        for t in TARGETS
    ]
    return [comparison for comparison in found if comparison is not None]


def summary(report: GateReport) -> str:
    """The verdict as a table for people."""
    head = f"gate {report.verdict.upper()}: {report.endpoint} version {report.model_version},"
    lines = [f"{head} {report.window}"]
    for check in report.checks:
        value = f"{check.value:.4g}" if isinstance(check.value, float | int) else check.value
        if isinstance(check.value, str):
            value = check.value[:12]
        limit = check.threshold if isinstance(check.threshold, float | int) else "registered"
        left = f"  {check.verdict:<7} {check.name:<32} {value or 'missing':>12}"
        lines.append(f"{left} {check.relation} {limit}  {check.detail}")
    return "\n".join(lines)


def _latest(ws: Workspace, name: str, of: Mapping[str, str], *, cadence_s: int) -> Reading | None:
    found = ws.metrics.latest(MODEL, name, of, before=ws.now, within_s=DAY_S)
    return None if found is None else Reading(value=found[1], at=found[0], cadence_s=cadence_s)


def _worst_psi(ws: Workspace, of: Mapping[str, str], window: Window) -> Reading | None:
    """The largest PSI of the window, as fresh as the newest one."""
    newest = _latest(ws, "PSI", of, cadence_s=DRIFT_EVERY_S)
    hours = _series(ws, MODEL, "PSI", of, window, "Maximum")
    if newest is None:
        return None
    worst = max([newest.value, *hours.values()])
    return Reading(value=worst, at=newest.at, cadence_s=DRIFT_EVERY_S)


def _health(ws: Workspace, state: EndpointState, variant: str, window: Window) -> VariantHealth:
    of = {"EndpointName": state.name, "VariantName": variant}
    latency = _series(ws, ENDPOINT, "ModelLatency", of, window, "p95")
    return VariantHealth(
        name=variant,
        latency_p95_ms={hour: us / 1000 for hour, us in latency.items()},
        invocations=_series(ws, ENDPOINT, "Invocations", of, window, "Sum"),
        errors_5xx=_total(ws, ENDPOINT, "Invocation5XXErrors", of, window),
    )


def _series(
    ws: Workspace,
    namespace: str,
    name: str,
    of: Mapping[str, str],
    window: Window,
    statistic: Statistic,
) -> dict[datetime, float]:
    found = ws.metrics.series(
        namespace, name, of, window=window, statistic=statistic, period_s=HOUR_S
    )
    return dict(found)


def _total(
    ws: Workspace, namespace: str, name: str, of: Mapping[str, str], window: Window
) -> float | None:
    """The sum over the window; None where nothing was ever posted in it."""
    values: Sequence[float] = list(_series(ws, namespace, name, of, window, "Sum").values())
    return sum(values) if values else None
