"""Promote and roll back: production moves by a release plan, or not at all.

A promotion is blue/green, or a canary that rests at 10 %, 50 % and 100 % until each has proven
itself; every call goes on where the last one, or a kill, left off. When a step fails, the steps
before it are taken back. One release at a time per workspace. Aliases move only after the endpoint
was verified; then the dashboard shows production, its alarms are looked at, staging is offered.

Raises   Refused: no fresh pass for this very artefact, a champion that was moved by hand, a canary
         that failed, nothing to roll back to, or another release is under way. EndpointError,
         ModelError: a step failed; it was taken back.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import Refused
from mlops_bikeshare.flows import execute, incident, records, steps, tracking
from mlops_bikeshare.flows.logged import Told, logged
from mlops_bikeshare.registry import versions
from mlops_bikeshare.release import history
from mlops_bikeshare.release import plan as release
from mlops_bikeshare.release.plan import BASELINE, CANDIDATE, Goal, Plan, Standing
from mlops_bikeshare.serving import endpoints
from mlops_bikeshare.serving.endpoints import EndpointState

PASSED = "gate passed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What a promotion or a rollback did to production."""

    kind: str
    endpoint: str
    from_version: str | None
    to_version: str
    artefact_digest: str
    endpoint_config: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """A canary that rests; `waits_for` says what is not proven yet."""

    endpoint: str
    version: str
    shares: dict[str, float]
    waits_for: str


def plan(ws: Workspace, city: City, *, canary: bool = False) -> Plan:
    """What a promotion would do now."""
    tracking.connect(ws)
    challenger = versions.find(city.registered_model, versions.CHALLENGER)
    endpoint = ws.settings.endpoint("prod", city.name)
    state = endpoints.find(ws.clients, endpoint)
    aliases = steps.aliases(city)
    served = state.leading.version if state else None
    release.check_champion(served, aliases.get(versions.CHAMPION), endpoint)
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


def plan_summary(steps_: Plan) -> str:
    """The plan for people."""
    lines = [f"{steps_.kind} {steps_.id}"]
    for number, step in enumerate(steps_.steps, start=1):
        back = f"; undo: {step.undo.name}" if step.undo else ""
        lines.append(f"  {number}. {step.name} {json.dumps(dict(step.params))}{back}")
    return "\n".join(lines)


def _told_canary(found: Moved | Holding) -> Told:
    if isinstance(found, Moved):
        return _told(found)
    shares = ", ".join(f"{version} {share:.0%}" for version, share in found.shares.items())
    wrote = {"endpoint": found.endpoint, "shares": shares}
    return Told(read={"version": found.version}, wrote=wrote)


def _told(moved: Moved) -> Told:
    wrote = {"endpoint": moved.endpoint, "version": moved.to_version}
    read = {"from_version": moved.from_version, "digest": moved.artefact_digest[:12]}
    return Told(read=read, wrote={**wrote, "config": moved.endpoint_config})


@logged("promote", _told)
def promote(ws: Workspace, city: City) -> Moved:
    """Move the gated challenger to production, or finish a promotion that was interrupted."""
    moved = _promoted(ws, city, canary=False)
    if isinstance(moved, Holding):
        raise Refused(f"{moved.waits_for}; `bikeshare promote --canary` goes on with it")
    return moved


@logged("canary", _told_canary)
def canary(ws: Workspace, city: City) -> Moved | Holding:
    """Begin a canary of the gated challenger, or take it as far as it has proven itself."""
    return _promoted(ws, city, canary=True)


@logged("rollback", _told)
def rollback(
    ws: Workspace,
    city: City,
    *,
    reason: str,
    to: str | None = None,
    trigger: Sequence[str] = (),
) -> Moved:
    """Back to the champion before, or to any version that was in production earlier.

    A promotion that has not landed yet is taken back instead.
    """
    with execute.alone(ws):
        tracking.connect(ws)
        began = time.perf_counter()
        going_on = _going_on(ws, city)
        if going_on is not None and going_on.kind == "promotion":
            return _taken_back(ws, city, going_on, reason, began)
        found = going_on or _rollback_plan(ws, city, reason=reason, to=to, trigger=trigger)
        execute.execute(ws, found, steps.actions(ws, city, found))
        return _moved(ws, found, began)


def summary(ws: Workspace, found: Moved | Holding) -> str:
    """What was done, and what a promotion found after it: dashboard, alarms, staging."""
    if isinstance(found, Holding):
        return found.waits_for
    told = records.audited(ws)
    last = max((i for i, e in enumerate(told) if e["kind"] == found.kind), default=len(told))
    way = f"{found.endpoint}: version {found.from_version} → {found.to_version}"
    return "\n".join([way, *(entry["why"] for entry in told[last + 1 :])])


def in_canary(ws: Workspace, city: City) -> bool:
    """Whether a canary rests on production."""
    found = execute.unfinished(ws, ws.settings.endpoint("prod", city.name))
    return found is not None and any(step.action == "hold" for step in found.steps)


def _promoted(ws: Workspace, city: City, *, canary: bool) -> Moved | Holding:
    with execute.alone(ws):
        tracking.connect(ws)
        began = time.perf_counter()
        going_on = _going_on(ws, city)
        if going_on is not None and going_on.kind != "promotion":
            msg = f"a {going_on.kind} of {going_on.target['endpoint']} was interrupted"
            raise Refused(f"{msg}; finish it first with `bikeshare {going_on.kind}`")
        found = going_on or records.unused(ws, plan(ws, city, canary=canary))
        waits = _advance(ws, city, found)
        return _moved(ws, found, began) if waits is None else _holding(ws, found, waits)


def _advance(ws: Workspace, city: City, found: Plan) -> str | None:
    try:
        return execute.execute(ws, found, steps.actions(ws, city, found))
    except Refused:
        # A canary that was taken back had answered riders: that is an incident, a refusal is none.
        if any(e["step"].startswith("weigh") for e in records.journal(ws, found)):
            incident.write(ws, city, found)
        raise


def _going_on(ws: Workspace, city: City) -> Plan | None:
    """Production's plan that was interrupted and can go on."""
    endpoint = ws.settings.endpoint("prod", city.name)
    found = execute.unfinished(ws, endpoint)
    return None if found is None else execute.mend(ws, endpoint, steps.actions(ws, city, found))


def _taken_back(ws: Workspace, city: City, found: Plan, reason: str, began: float) -> Moved:
    actions = steps.actions(ws, city, found)
    if release.stands(found, records.journal(ws, found)):
        execute.execute(ws, found, actions)
        back = _rollback_plan(ws, city, reason=reason, to=None)
        execute.execute(ws, back, steps.actions(ws, city, back))
        return _moved(ws, back, began)
    execute.give_up(ws, found, actions, why=reason)
    incident.write(ws, city, found)
    state = endpoints.describe(ws.clients, found.target["endpoint"])
    return Moved(
        kind="rollback",
        endpoint=state.name,
        from_version=found.target["version"],
        to_version=state.leading.version or "",
        artefact_digest=state.leading.digest or "",
        endpoint_config=state.config,
        seconds=time.perf_counter() - began,
    )


def _moved(ws: Workspace, found: Plan, began: float) -> Moved:
    target = found.target
    return Moved(
        kind=found.kind,
        endpoint=target["endpoint"],
        from_version=target["from_version"],
        to_version=target["version"],
        artefact_digest=target["digest"],
        endpoint_config=endpoints.describe(ws.clients, target["endpoint"]).config,
        seconds=time.perf_counter() - began,
    )


def _holding(ws: Workspace, found: Plan, waits: str) -> Holding:
    state = endpoints.describe(ws.clients, found.target["endpoint"])
    return Holding(
        endpoint=state.name,
        version=found.target["version"],
        shares={variant.version or "?": variant.weight for variant in state.variants},
        waits_for=waits,
    )


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


def _rollback_plan(
    ws: Workspace, city: City, *, reason: str, to: str | None, trigger: Sequence[str] = ()
) -> Plan:
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
    plan_ = release.rollback_plan(
        goal,
        to=_former(ws, state, goal, str(facts["endpoint_config"])),
        now=Standing(config=state.config, weights=state.weights),
        leaving=state.leading.version,
        came_before=None if before == state.leading.version else before,
        aliases_now=aliases,
        trigger=trigger,
    )
    return records.unused(ws, plan_)


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
