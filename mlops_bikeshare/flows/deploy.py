"""Deploy: a registered version onto an endpoint, verified to the end.

Input    an alias or version, and an endpoint (default: the city's staging).
Output   Deployed: what now answers, under which EndpointConfig.
Raises   ModelError for an unknown version, EndpointError when what is deployed is not what was
         asked for (what was there before is back then), Refused for production without `initial`
         or with a champion already there.

Production is reached by `promote`. The one exception is the first deploy of all, when there is
nothing to compare with: `initial`, which is audited as such and needs the version's own test.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import ModelError, Refused
from mlops_bikeshare.domain.targets import TARGETS
from mlops_bikeshare.flows import model_packages, notify, records, tracking
from mlops_bikeshare.flows.features import other_features
from mlops_bikeshare.flows.process.logged import Told, logged
from mlops_bikeshare.flows.releasing import execute, steps
from mlops_bikeshare.registry import versions
from mlops_bikeshare.registry.versions import ModelVersion
from mlops_bikeshare.release import plan as release
from mlops_bikeshare.release.plan import Goal, Plan
from mlops_bikeshare.serving import endpoints

if TYPE_CHECKING:
    from mlops_bikeshare.settings import Stage


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
    """Deploy and verify, or finish a deploy that was interrupted."""
    tracking.connect(ws)
    found = versions.find(city.registered_model, version)
    _check_features(city, found)
    name = endpoint or ws.settings.endpoint("prod" if initial else "staging", city.name)
    with execute.alone(ws):
        plan = _resumed(ws, city, name, found) or _plan(ws, city, name, found, initial=initial)
        execute.execute(ws, plan, steps.actions(ws, city, plan))
    notify.tell(ws, city)
    if plan.target["initial"]:
        model_packages.after(ws, city, f"the first champion, version {found.version},")
    return Deployed(
        city=city.name,
        endpoint=name,
        version=found.version,
        artefact_digest=found.digest,
        endpoint_config=endpoints.describe(ws.clients, name).config,
        initial=bool(plan.target["initial"]),
    )


def _resumed(ws: Workspace, city: City, endpoint: str, version: ModelVersion) -> Plan | None:
    """The same deploy, interrupted; another one that was interrupted is taken back first."""
    plan = execute.unfinished(ws, endpoint)
    if plan is None:
        return None
    actions = steps.actions(ws, city, plan)
    plan = execute.mend(ws, endpoint, actions)
    if plan is None or plan.kind != "deploy":
        return None
    if (plan.target["version"], plan.target["digest"]) == (version.version, version.digest):
        return plan
    execute.give_up(ws, plan, actions, why=f"version {version.version} was asked for instead")
    return None


def _plan(
    ws: Workspace, city: City, endpoint: str, version: ModelVersion, *, initial: bool
) -> Plan:
    if endpoint == ws.settings.endpoint("prod", city.name):
        _check_initial(ws, city, endpoint, version, initial=initial)
    elif endpoint in _of_others(ws, city):
        msg = f"{endpoint} belongs to {_of_others(ws, city)[endpoint]}, not to {city.name}"
        raise Refused(f"{msg}; leave --endpoint out, or name one that is no city's")
    elif initial:
        raise Refused(f"--initial is for production, not for {endpoint}; leave it out")
    goal = Goal(
        city=city.name,
        endpoint=endpoint,
        version=version.version,
        digest=version.digest,
        at=ws.now,
        why="first champion, absolute checks only" if initial else "for judgement",
    )
    plan = release.deploy_plan(
        goal,
        now=steps.standing(endpoints.find(ws.clients, endpoint)),
        aliases_now=steps.aliases(city),
        initial=initial,
    )
    return records.unused(ws, plan)


def _of_others(ws: Workspace, city: City) -> dict[str, str]:
    """The endpoints of the other cities in the settings, and whose they are."""
    others = [name for name in ws.settings.cities if name != city.name]
    stages: tuple[Stage, ...] = ("staging", "prod")
    return {ws.settings.endpoint(stage, name): name for name in others for stage in stages}


def _check_features(city: City, version: ModelVersion) -> None:
    """A version of other features would refuse every batch: say so before it is deployed."""
    other = other_features(version.tags, city)
    if other is not None:
        msg = f"{version.uri} was trained on other features ({other[:12]}) than this code makes"
        raise ModelError(f"{msg}; train a new version, or check out the code of its tag `git`")


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
    for target in TARGETS:
        for score, threshold in ws.settings.gate.of_its_own_test.items():
            _require(version, f"test_{score}_{target.name}", threshold)


def _require(version: ModelVersion, tag: str, threshold: float) -> None:
    value: Any = version.tags.get(tag)
    if value is None or not float(value) >= threshold:
        msg = f"version {version.version}: {tag} is {value or 'unknown'}, needed >= {threshold}"
        if value is not None:
            raise Refused(f"{msg}; train on more days, or on more stations")
        raise Refused(f"{msg}; a first deploy needs a test slice: `bikeshare train --test A..B`")
