"""Split: a share of an endpoint's traffic for another version, and back; never on production.

Input    an endpoint beside production; a version that staging serves already, so that it was
         verified there; its share.
Output   Split: which version has which share, under which EndpointConfig. Audited.
Raises   Refused: the endpoint is a city's production, whose traffic moves by `promote --canary`
         alone (gated, probed, held, told by `history`); or another release is under way.
         InputError for a share outside 0..1; EndpointError, as the endpoint says.
"""

from dataclasses import dataclass

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import EndpointError, InputError, Refused
from mlops_bikeshare.domain.variants import BASELINE, CANDIDATE
from mlops_bikeshare.domain.windows import stamp
from mlops_bikeshare.flows import records, tracking
from mlops_bikeshare.flows.process.logged import Told, logged
from mlops_bikeshare.flows.releasing import execute
from mlops_bikeshare.registry import versions
from mlops_bikeshare.registry.versions import ModelVersion
from mlops_bikeshare.serving import endpoints
from mlops_bikeshare.serving import split as serving
from mlops_bikeshare.serving.endpoints import EndpointState


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """How an endpoint's traffic is divided."""

    endpoint: str
    endpoint_config: str
    shares: dict[str, float]


def _told(done: Split) -> Told:
    return Told(read={"endpoint": done.endpoint}, wrote={"config": done.endpoint_config})


@logged("endpoint split", _told)
def split(ws: Workspace, city: City, *, candidate: str, share: float, endpoint: str) -> Split:
    """Give `share` of the traffic of an endpoint to a version."""
    if not 0 <= share <= 1:
        raise InputError(f"--weight: expected a share from 0 to 1, got {share}")
    _check_endpoint(ws, city, endpoint)
    with execute.alone(ws):
        tracking.connect(ws)
        version = versions.find(city.registered_model, candidate)
        _share_out(ws, city, endpoint, version, share)
        return _done(ws, "split", endpoint, why=f"version {version.version} answers {share:.0%}")


@logged("endpoint merge", _told)
def merge(ws: Workspace, city: City, *, endpoint: str) -> Split:
    """Give all traffic back to what was served before the split."""
    _check_endpoint(ws, city, endpoint)
    with execute.alone(ws):
        serving.merge(ws.clients, endpoint, timeout_s=ws.settings.serving.timeout_s)
        return _done(ws, "merge", endpoint, why="the split ends")


def summary(done: Split) -> str:
    """One line for a person."""
    shares = ", ".join(f"version {v} {share:.0%}" for v, share in done.shares.items())
    return f"{done.endpoint}: {shares}, {done.endpoint_config}"


def _check_endpoint(ws: Workspace, city: City, endpoint: str) -> None:
    """Production's traffic is moved by release plans, which know how to take it back."""
    for name in {city.name, *ws.settings.cities}:
        if endpoint == ws.settings.endpoint("prod", name):
            msg = f"{endpoint} is production of {name}: it is shared out by `bikeshare promote"
            raise Refused(f"{msg} --canary` and comes back by `bikeshare rollback`")


def _share_out(
    ws: Workspace, city: City, endpoint: str, version: ModelVersion, share: float
) -> None:
    state = endpoints.describe(ws.clients, endpoint)
    if _is_candidate(state, version):
        endpoints.set_weights(ws.clients, endpoint, {BASELINE: 1 - share, CANDIDATE: share})
        return
    serving.split(
        ws.clients,
        endpoint,
        model=_model(ws, city, version),
        share=share,
        config=f"{endpoint}-split-{version.version}-{stamp(ws.now)}",
        timeout_s=ws.settings.serving.timeout_s,
    )


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


def _is_candidate(state: EndpointState, version: ModelVersion) -> bool:
    """Whether the version is the candidate of a split already."""
    return any((v.name, v.digest) == (CANDIDATE, version.digest) for v in state.variants)


def _model(ws: Workspace, city: City, version: ModelVersion) -> str:
    """The deployed model of a version; only what staging serves was verified."""
    staging = endpoints.find(ws.clients, ws.settings.endpoint("staging", city.name))
    for variant in staging.variants if staging else ():
        if (variant.version, variant.digest) == (version.version, version.digest):
            return variant.model
    msg = f"version {version.version} is not on staging"
    raise Refused(f"{msg}: `bikeshare deploy --alias {version.version}` first")
