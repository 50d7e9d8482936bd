"""What was in production when, from the audit; and staging between two challengers.

Output   `tell`: Told, every reign of production, or the one of a time. `stop_staging`,
         `start_staging`, `resize_staging`: what staging is afterwards.
Raises   TableError for an audit that was altered, Refused while staging is needed, or when there is
         nothing to start.
"""

from dataclasses import dataclass
from datetime import datetime

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import Refused
from mlops_bikeshare.domain.windows import stamp
from mlops_bikeshare.flows import promote, records
from mlops_bikeshare.flows.releasing import execute
from mlops_bikeshare.release import history
from mlops_bikeshare.release.history import Reign
from mlops_bikeshare.serving import configs, endpoints


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Reigns of an endpoint; `at` None: all of them. The audit's last digest proves the telling.

    `torn`: what a kill left of a line; the next entry will hold it.
    """

    endpoint: str
    at: datetime | None
    reigns: tuple[Reign, ...]
    audit_digest: str | None
    torn: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Staging:
    """What became of staging."""

    endpoint: str
    running: bool
    instance_type: str | None


def tell(ws: Workspace, city: City, *, at: datetime | None = None) -> History:
    """Who served production when; the audit is checked first, to its end."""
    endpoint = ws.settings.endpoint("prod", city.name)
    entries, torn = records.proven(ws)
    found = history.reigns(entries, endpoint)
    if at is not None:
        one = history.at(found, at)
        found = [one] if one else []
    digest = entries[-1]["digest"] if entries else None
    return History(endpoint=endpoint, at=at, reigns=tuple(found), audit_digest=digest, torn=torn)


def summary(told: History) -> str:
    """A line a reign."""
    torn = [f"the audit's last line was torn by a kill: {told.torn}"] if told.torn else []
    if not told.reigns:
        when = f"at {told.at:%F %H:%M}" if told.at else "yet"
        return "\n".join([f"{told.endpoint}: nothing was in production {when}", *torn])
    return "\n".join([f"{told.endpoint} (UTC)", *map(_line, told.reigns), *torn])


def stop_staging(ws: Workspace, city: City) -> Staging:
    """Delete staging's endpoint; its config and archives stay, the next deploy makes it again."""
    with execute.alone(ws):
        name = _idle(ws, city)
        config = endpoints.describe(ws.clients, name).config
        endpoints.delete_endpoint(ws.clients, name, timeout_s=ws.settings.serving.timeout_s)
        facts = {"city": city.name, "endpoint": name, "config": config}
        records.audit(ws, "staging", why="stopped until the next challenger", facts=facts)
    return Staging(endpoint=name, running=False, instance_type=None)


def start_staging(ws: Workspace, city: City) -> Staging:
    """Make staging's endpoint again from the config that it had when it was stopped."""
    with execute.alone(ws):
        name = ws.settings.endpoint("staging", city.name)
        if endpoints.find(ws.clients, name) is None:
            config = _stopped_with(ws, name)
            timeout_s = ws.settings.serving.timeout_s
            endpoints.create(ws.clients, name, config=config)
            endpoints.wait_in_service(ws.clients, name, config=config, timeout_s=timeout_s)
            facts = {"city": city.name, "endpoint": name, "config": config}
            records.audit(ws, "staging", why="started again", facts=facts)
    return Staging(endpoint=name, running=True, instance_type=None)


def resize_staging(ws: Workspace, city: City, *, instance_type: str) -> Staging:
    """Move staging to another machine; the next deploy takes the one of the settings again."""
    with execute.alone(ws):
        name = _idle(ws, city)
        state = endpoints.describe(ws.clients, name)
        config = f"{name}-{stamp(ws.now)}-{instance_type}".replace(".", "-")
        made = {variant.name: (variant.model, 1.0) for variant in state.variants[:1]}
        configs.create(
            ws.clients, config, like=state.config, variants=made, instance_type=instance_type
        )
        endpoints.restore_config(ws.clients, name, config)
        timeout_s = ws.settings.serving.timeout_s
        endpoints.wait_in_service(ws.clients, name, config=config, timeout_s=timeout_s)
        facts = {"city": city.name, "endpoint": name, "instance_type": instance_type}
        records.audit(ws, "staging", why=f"moved to {instance_type}", facts=facts)
    return Staging(endpoint=name, running=True, instance_type=instance_type)


def _stopped_with(ws: Workspace, name: str) -> str:
    """The config that the audit says staging was stopped with; SageMaker still has it."""
    for entry in reversed(records.audited(ws)):
        facts = entry["facts"]
        if entry["kind"] == "staging" and facts.get("endpoint") == name and "config" in facts:
            return str(facts["config"])
    raise Refused(f"{name} was never stopped by `bikeshare staging stop`: deploy a version to it")


def _idle(ws: Workspace, city: City) -> str:
    """Staging's name, while no canary rests on the model it serves; ask inside the lock."""
    name = ws.settings.endpoint("staging", city.name)
    if promote.in_canary(ws, city):
        raise Refused(f"{name} is needed: a canary of its version rests on production")
    endpoints.describe(ws.clients, name)
    return name


def _line(reign: Reign) -> str:
    until = f"{reign.until:%F %H:%M}" if reign.until else "now"
    shares = [(version, share) for version, share in reign.shares.items() if share > 0]
    served = ", ".join(f"v{v}" + ("" if s == 1 else f" {s:.0%}") for v, s in shares)
    when = f"{reign.since:%F %H:%M} .. {until:<16}"
    digest = reign.artefact_digest[:12]
    return f"  {when}  {served:<16} {digest:<12}  {reign.kind} by {reign.who}: {reign.why}"
