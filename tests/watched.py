"""A workspace with a day of production's metrics and an audit, made without models or a host."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.reports import MetricPoint
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows import records
from mlops_bikeshare.monitoring.metrics import point
from mlops_bikeshare.settings import load

AT = datetime(2021, 9, 2, 12, tzinfo=UTC)
DAY = Window(AT - timedelta(days=1), AT)
STAGES = ("staging", "prod")
DIGESTS = {"1": "a" * 64, "2": "b" * 64}
QUALITY = {"PR-AUC-24h": 0.9, "F1-24h": 0.8, "Onset-Brier-Skill-24h": 0.1}
GATED = {"PR-AUC-24h": 0.91, "F1-24h": 0.81}


def empty(home: Path, **flags: object) -> tuple[Workspace, City]:
    """A workspace on a simulated clock, and Boston."""
    told = {"workspace": "watched", "default_city": "boston", **flags}
    ws = open_workspace(load(home, {}, told), simulated=True)
    return ws, ws.settings.city("boston")


def a_day(home: Path, **flags: object) -> tuple[Workspace, City]:
    """A quiet day up to AT: both endpoints serve since two days, every batch and poll came."""
    ws, city = empty(home, **flags)
    ws.advance(AT - timedelta(days=2))
    serve(ws, "bikeshare-staging", "2")
    serve(ws, "bikeshare-prod", "1")
    names = [f"bikeshare-{stage}" for stage in STAGES]
    found = [p for at in DAY.steps(step_s=300) for p in poll(at)]
    found += [p for at in DAY.steps() for name in names for p in batch(name, at)]
    found += [p for at in DAY.steps(step_s=3600) for name in names for p in drift(name, at)]
    ws.metrics.put(found)
    ws.advance(AT)
    return ws, city


def serve(ws: Workspace, endpoint: str, version: str, *, kind: str = "deploy") -> None:
    """A pass of the gate and a move, as the audit has them."""
    digest = DIGESTS[version]
    checks = [{"name": name, "value": value} for name, value in GATED.items()]
    seen = {"verdict": "pass", "artefact_digest": digest, "checks": checks}
    records.audit(ws, "gate", why="verdict pass", facts=seen)
    facts = {"endpoint": endpoint, "city": "boston", "version": version, "digest": digest}
    records.audit(ws, kind, why="for the test", facts=facts)


def poll(at: datetime, *, age_s: float = 40) -> list[MetricPoint]:
    of = {"City": "boston"}
    values = {"FeedAge_s": age_s, "PollFailures": 0, "QuarantinedRows": 0}
    return [point(name, value, at=at, dimensions=of) for name, value in values.items()]


def batch(endpoint: str, at: datetime, **changed: float) -> list[MetricPoint]:
    """What a batch and its judgement leave; `changed` by the first letters of a metric's name."""
    of = {"EndpointName": endpoint, "City": "boston"}
    by = {"EndpointName": endpoint, "VariantName": "AllTraffic"}
    model = {"PredictionHeartbeat": 1.0, "BatchSuccessRate": 1.0, **QUALITY}
    host = {
        "Invocations": 1.0,
        "Invocation4XXErrors": 0.0,
        "Invocation5XXErrors": 0.0,
        "ModelLatency": 60_000.0,
        "OverheadLatency": 2_000.0,
    }
    found = [
        point(n, changed.get(n.split("-")[0], v), at=at, dimensions=of) for n, v in model.items()
    ]
    detail = {**of, "ModelVersion": "1", "Target": "bikeout"}
    found.append(point("PR-AUC-24h", 0.9, at=at, dimensions=detail))
    return found + [point(n, changed.get(n, v), at=at, dimensions=by) for n, v in host.items()]


def drift(endpoint: str, at: datetime) -> list[MetricPoint]:
    of = {"EndpointName": endpoint, "City": "boston"}
    values = {"PSI": 0.1, "DriftShare": 0.05, "PredictionPSI": 0.02}
    return [point(name, value, at=at, dimensions=of) for name, value in values.items()]
