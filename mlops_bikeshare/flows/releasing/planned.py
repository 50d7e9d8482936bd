"""Which plan leads from what production serves now to where it should be.

Input    a workspace and a city; endpoint, registry and audit are looked at, nothing is changed.
Output   a release Plan, not begun.
Raises   Refused: a champion that was moved by hand, staging that serves something else, nothing to
         roll back to. ModelError for a version or an alias that is not there.
"""

import json
from collections.abc import Sequence

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import Refused
from mlops_bikeshare.domain.variants import BASELINE, CANDIDATE
from mlops_bikeshare.flows import records, tracking
from mlops_bikeshare.flows.releasing import steps
from mlops_bikeshare.registry import versions
from mlops_bikeshare.release import conditions, history
from mlops_bikeshare.release import plan as release
from mlops_bikeshare.release.plan import Goal, Plan, Standing
from mlops_bikeshare.serving import endpoints
from mlops_bikeshare.serving.endpoints import EndpointState

PASSED = "gate passed"


def promotion(ws: Workspace, city: City, *, canary: bool = False) -> Plan:
    """What a promotion would do now."""
    tracking.connect(ws)
    challenger = versions.find(city.registered_model, versions.CHALLENGER)
    endpoint = ws.settings.endpoint("prod", city.name)
    state = endpoints.find(ws.clients, endpoint)
    aliases = steps.aliases(city)
    served = state.leading.version if state else None
    conditions.check_champion(served, aliases.get(versions.CHAMPION), endpoint)
    goal = Goal(
        city=city.name,
        endpoint=endpoint,
        version=challenger.version,
        digest=challenger.digest,
        at=ws.now,
        why=PASSED,
    )
    staging = ws.settings.endpoint("staging", city.name)
    if canary:
        return _canary(ws, goal, state, staging, aliases)
    return release.promotion_plan(
        goal, staging=staging, now=steps.standing(state), aliases_now=aliases
    )


def summary(plan: Plan) -> str:
    """The plan for people."""
    lines = [f"{plan.kind} {plan.id}"]
    for number, step in enumerate(plan.steps, start=1):
        back = f"; undo: {step.undo.name}" if step.undo else ""
        lines.append(f"  {number}. {step.name} {json.dumps(dict(step.params))}{back}")
    return "\n".join(lines)


def _canary(
    ws: Workspace,
    goal: Goal,
    state: EndpointState | None,
    staging: str,
    aliases: dict[str, str],
) -> Plan:
    """The candidate is the very model that staging serves, and that the gate has judged."""
    judged = endpoints.describe(ws.clients, staging).leading
    now = steps.standing(state)
    if state is None or now is None:
        raise Refused(f"{goal.endpoint} does not exist: a canary needs a baseline to hold against")
    if (judged.version, judged.digest) != (goal.version, goal.digest):
        msg = f"{staging} serves version {judged.version}, the challenger is {goal.version}"
        raise Refused(f"{msg}; deploy it to staging and run `bikeshare gate` again")
    return release.canary_plan(
        goal,
        staging=staging,
        now=now,
        models={BASELINE: state.leading.model, CANDIDATE: judged.model},
        aliases_now=aliases,
        hold_batches=ws.settings.guard.hold_batches,
    )


def rollback(
    ws: Workspace, city: City, *, reason: str, to: str | None, trigger: Sequence[str] = ()
) -> Plan:
    """What a rollback would do now: to the champion before, or to a version by name."""
    endpoint = ws.settings.endpoint("prod", city.name)
    state = endpoints.describe(ws.clients, endpoint)
    told, aliases = records.audited(ws), steps.aliases(city)
    version = to or aliases.get(versions.PREVIOUS)
    facts = history.last_settled(told, endpoint, version) if version else None
    if version is None or facts is None:
        which = f"version {version} was never in production" if version else "nothing is on record"
        msg = f"{endpoint} has no earlier version to go back to: {which}"
        raise Refused(f"{msg}; `bikeshare history` tells what was there")
    found = versions.find(city.registered_model, version)
    goal = Goal(
        city=city.name,
        endpoint=endpoint,
        version=found.version,
        digest=found.digest,
        at=ws.now,
        why=reason,
    )
    before = history.came_before(told, endpoint, found.version)
    plan = release.rollback_plan(
        goal,
        to=_former(ws, state, goal, str(facts["endpoint_config"])),
        now=Standing(config=state.config, weights=state.weights),
        leaving=state.leading.version,
        came_before=None if before == state.leading.version else before,
        aliases_now=aliases,
        trigger=trigger,
    )
    return records.unused(ws, plan)


def _former(ws: Workspace, state: EndpointState, goal: Goal, config: str) -> Standing | None:
    """Where the version is: beside the one that leaves, in its former config, or nowhere."""
    for variant in state.variants:
        if (variant.version, variant.digest) == (goal.version, goal.digest):
            weights = {v.name: float(v.name == variant.name) for v in state.variants}
            return Standing(config=state.config, weights=weights)
    if not endpoints.has_config(ws.clients, config):
        return None
    former = endpoints.config_variants(ws.clients, config)
    alone = {v.name: float(v.version == goal.version) for v in former}
    return Standing(config=config, weights=alone) if sum(alone.values()) == 1 else None
