"""Split: a share of an endpoint's traffic for another version, and back.

Input    a version that staging serves already, so that it was verified there; its share.
Output   Split: which version has which share, under which EndpointConfig. Audited.
Raises   Refused: on production, for a larger share than now without a fresh pass of the gate;
         InputError for a share outside 0..1; EndpointError, as the endpoint says.
"""

from dataclasses import dataclass

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import EndpointError, InputError, Refused
from mlops_bikeshare.domain.windows import stamp
from mlops_bikeshare.flows import records, tracking
from mlops_bikeshare.flows.logged import Told, logged
from mlops_bikeshare.registry import versions
from mlops_bikeshare.registry.versions import ModelVersion
from mlops_bikeshare.release import conditions
from mlops_bikeshare.serving import endpoints
from mlops_bikeshare.serving import split as serving
from mlops_bikeshare.serving.endpoints import EndpointState
from mlops_bikeshare.serving.split import BASELINE, CANDIDATE


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """How an endpoint's traffic is divided."""

    endpoint: str
    endpoint_config: str
    shares: dict[str, float]


def _told(done: Split) -> Told:
    return Told(read={"endpoint": done.endpoint}, wrote={"config": done.endpoint_config})


@logged("endpoint split", _told)
def split(
    ws: Workspace, city: City, *, candidate: str, share: float, endpoint: str | None = None
) -> Split:
    """Give `share` of the traffic of an endpoint (default: production) to a version."""
    if not 0 <= share <= 1:
        raise InputError(f"--weight: expected a share from 0 to 1, got {share}")
    tracking.connect(ws)
    version = versions.find(city.registered_model, candidate)
    name = endpoint or ws.settings.endpoint("prod", city.name)
    state = endpoints.describe(ws.clients, name)
    now = _share(state, version)
    if name == ws.settings.endpoint("prod", city.name) and share > (now or 0.0):
        staging = ws.settings.endpoint("staging", city.name)
        report = records.newest_gate(ws, staging)
        conditions.check_fresh(report, version.digest, ws.now, ws.settings.gate)
    if now is None:
        serving.split(
            ws.clients,
            name,
            model=_model(ws, city, version),
            share=share,
            config=f"{name}-split-{version.version}-{stamp(ws.now)}",
            timeout_s=ws.settings.serving.timeout_s,
        )
    else:
        endpoints.set_weights(ws.clients, name, {BASELINE: 1 - share, CANDIDATE: share})
    return _done(ws, "split", name, why=f"version {version.version} answers {share:.0%}")


@logged("endpoint merge", _told)
def merge(ws: Workspace, city: City, *, endpoint: str | None = None) -> Split:
    """Give all traffic back to what was served before the split."""
    name = endpoint or ws.settings.endpoint("prod", city.name)
    serving.merge(ws.clients, name, timeout_s=ws.settings.serving.timeout_s)
    return _done(ws, "merge", name, why="the split ends")


def summary(done: Split) -> str:
    """One line for a person."""
    shares = ", ".join(f"version {v} {share:.0%}" for v, share in done.shares.items())
    return f"{done.endpoint}: {shares}, {done.endpoint_config}"


def _done(ws: Workspace, kind: str, endpoint: str, *, why: str) -> Split:
    state = endpoints.wait_settled(ws.clients, endpoint, timeout_s=ws.settings.serving.timeout_s)
    total = sum(variant.weight for variant in state.variants)
    if not total:
        raise EndpointError(f"endpoint {endpoint} has no variant that takes traffic")
    done = Split(
        endpoint=endpoint,
        endpoint_config=state.config,
        shares={v.version or "unknown": v.weight / total for v in state.variants},
    )
    records.audit(ws, kind, why=why, facts=records.facts(done))
    return done


def _share(state: EndpointState, version: ModelVersion) -> float | None:
    """The share that the version has as the candidate of a split; None when it is no candidate."""
    total = sum(variant.weight for variant in state.variants)
    for variant in state.variants:
        if (variant.name, variant.digest) == (CANDIDATE, version.digest):
            return variant.weight / total if total else 0.0
    return None


def _model(ws: Workspace, city: City, version: ModelVersion) -> str:
    """The deployed model of a version; only what staging serves was verified."""
    staging = endpoints.find(ws.clients, ws.settings.endpoint("staging", city.name))
    for variant in staging.variants if staging else ():
        if (variant.version, variant.digest) == (version.version, version.digest):
            return variant.model
    msg = f"version {version.version} is not on staging"
    raise Refused(f"{msg}: `bikeshare deploy --alias {version.version}` first")
