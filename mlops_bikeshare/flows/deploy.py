"""Deploy: a registered version onto an endpoint, verified to the end.

Input    an alias or version, and an endpoint (default: the city's staging).
Output   Deployed: what now answers, under which EndpointConfig.
Raises   ModelError for an unknown version, EndpointError when what is deployed is not what was
         asked for, Refused for production without `initial` or with a champion already there.

Production is reached by `promote`. The one exception is the first deploy of all, when there is
nothing to compare with: `initial`, which is audited as such and needs the version's own test.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import EndpointError, ModelError, Refused
from mlops_bikeshare.domain.targets import TARGETS
from mlops_bikeshare.features.definition import FEATURE_NAMES
from mlops_bikeshare.flows import records, tracking
from mlops_bikeshare.flows.logged import Told, logged
from mlops_bikeshare.registry import versions
from mlops_bikeshare.registry.artefact import artefact_digest, feature_digest
from mlops_bikeshare.registry.versions import ModelVersion
from mlops_bikeshare.serving import deploy as serving
from mlops_bikeshare.serving import endpoints
from mlops_bikeshare.serving.endpoints import EndpointState


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """What an endpoint serves after a deploy."""

    city: str
    endpoint: str
    version: str
    artefact_digest: str
    endpoint_config: str
    initial: bool


def _told(done: Deployed) -> Told:
    wrote = {"endpoint": done.endpoint, "config": done.endpoint_config}
    digest = done.artefact_digest[:12]
    return Told(read={"version": done.version, "digest": digest}, wrote=wrote)


@logged("deploy", _told)
def deploy(
    ws: Workspace,
    city: City,
    *,
    version: str = versions.CHALLENGER,
    endpoint: str | None = None,
    initial: bool = False,
) -> Deployed:
    """Deploy and verify; the first champion of a city comes with `initial`."""
    tracking.connect(ws)
    found = versions.find(city.registered_model, version)
    _check_features(found)
    name = endpoint or ws.settings.endpoint("prod" if initial else "staging", city.name)
    if name == ws.settings.endpoint("prod", city.name):
        _check_initial(ws, city, name, found, initial=initial)
    state = place(ws, city, found, endpoint=name)
    done = Deployed(
        city=city.name,
        endpoint=name,
        version=found.version,
        artefact_digest=found.digest,
        endpoint_config=state.config,
        initial=initial,
    )
    if initial:
        model = city.registered_model
        versions.move_alias(model, versions.CHAMPION, found.version, expected=None)
    why = "first champion, absolute checks only" if initial else "for judgement"
    records.audit(ws, "deploy", why=why, facts=records.facts(done))
    return done


def _check_features(version: ModelVersion) -> None:
    """A version of other features would refuse every batch: say so before it is deployed."""
    known = version.tags.get(versions.FEATURES_TAG)
    if known not in (None, feature_digest(FEATURE_NAMES)):
        msg = f"{version.uri} was trained on other features ({known[:12]}) than this code makes"
        raise ModelError(f"{msg}; train a new version, or check out the code of its tag `git`")


def place(ws: Workspace, city: City, version: ModelVersion, *, endpoint: str) -> EndpointState:
    """Put a version on an endpoint and verify it; no alias moves, nothing is audited."""
    settings = ws.settings.serving
    tags = {
        "city": city.name,
        "version": version.version,
        "digest": version.digest,
        "run": version.run_id,
        "git": version.tags.get("git", "unknown"),
        "who": records.who(),
    }
    hosting = serving.Hosting(
        bucket=settings.bucket,
        image_url=settings.image_url,
        execution_role_arn=settings.execution_role_arn,
        instance_type=settings.instance_type,
    )
    with tempfile.TemporaryDirectory(prefix="bikeshare-") as scratch:
        folder = versions.download(version, Path(scratch))
        made = serving.deploy(
            ws.clients, endpoint=endpoint, model_uri=str(folder), hosting=hosting, tags=tags
        )
    state = endpoints.wait_in_service(
        ws.clients, endpoint, config=made.config, timeout_s=settings.timeout_s
    )
    verify(ws, state, version)
    return state


def verify(ws: Workspace, state: EndpointState, version: ModelVersion) -> None:
    """The tags and the deployed archive itself must be the registered version's."""
    for variant in state.variants:
        if variant.version != version.version:
            msg = f"endpoint {state.name} serves version {variant.version}, not {version.version}"
            raise EndpointError(f"{msg}; deploy again")
    deployed = deployed_digest(ws, state)
    if deployed != version.digest:
        msg = f"endpoint {state.name} serves an archive with digest {deployed}, but version"
        raise EndpointError(f"{msg} {version.version} was registered as {version.digest}")


def deployed_digest(ws: Workspace, state: EndpointState) -> str:
    """The digest recomputed from the archive of an endpoint's only variant."""
    with tempfile.TemporaryDirectory(prefix="bikeshare-") as scratch:
        (variant,) = state.variants
        return artefact_digest(endpoints.fetch_archive(ws.clients, variant, Path(scratch)))


def _check_initial(
    ws: Workspace, city: City, endpoint: str, version: ModelVersion, *, initial: bool
) -> None:
    """Production takes a deploy only as its first, of a version whose own test is good enough."""
    if not initial:
        msg = f"{endpoint} is production: use `bikeshare promote`"
        raise Refused(f"{msg}, or `bikeshare deploy --initial` for a city's first version")
    champion = versions.find_if_any(city.registered_model, versions.CHAMPION)
    if champion is not None or endpoints.find(ws.clients, endpoint) is not None:
        there = f"champion version {champion.version}" if champion else f"endpoint {endpoint}"
        raise Refused(f"--initial is for a first deploy, but there is {there}; use `promote`")
    rules = ws.settings.gate
    least = {"test_pr_auc": rules.pr_auc_24h, "test_f1": rules.f1_24h}
    least["test_onset_brier_skill"] = rules.onset_brier_skill
    for target in TARGETS:
        for name, threshold in least.items():
            _require(version, f"{name}_{target.name}", threshold)


def _require(version: ModelVersion, tag: str, threshold: float) -> None:
    value: Any = version.tags.get(tag)
    if value is None or not float(value) >= threshold:
        msg = f"version {version.version}: {tag} is {value or 'unknown'}, needed >= {threshold}"
        raise Refused(f"{msg}; a first deploy needs a test slice: `bikeshare train --test A..B`")
