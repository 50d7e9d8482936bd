"""Promote and roll back: production moves by a release plan, or not at all.

A promotion is blue/green, or a canary that rests at 10 %, 50 % and 100 % until each has proven
itself; every call goes on where the last one, or a kill, left off. When a step fails, the steps
before it are taken back. One release at a time per workspace. Aliases move only after the endpoint
was verified; then the dashboard shows production, its alarms are looked at, staging is offered.

Raises   Refused: no fresh pass for this very artefact, a champion that was moved by hand, a canary
         that failed, nothing to roll back to, or another release is under way. EndpointError,
         ModelError: a step failed; it was taken back.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import EndpointError, Refused
from mlops_bikeshare.flows import model_packages, notify, records, tracking
from mlops_bikeshare.flows.process.logged import Told, logged
from mlops_bikeshare.flows.releasing import execute, expected, incident, planned, steps
from mlops_bikeshare.flows.releasing.expected import ANYTHING, Expected
from mlops_bikeshare.release import plan as release
from mlops_bikeshare.release.plan import Plan
from mlops_bikeshare.serving import endpoints


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What a promotion or a rollback did to production."""

    kind: str
    endpoint: str
    from_version: str | None
    to_version: str
    artefact_digest: str
    endpoint_config: str
    seconds: float  # until it stood: what follows (alarms, an incident's folder) is not in it


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """A canary that rests; `waits_for` says what is not proven yet, empty `shares`: unknown."""

    endpoint: str
    version: str
    shares: dict[str, float]
    waits_for: str


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
def promote(ws: Workspace, city: City, *, approved: Expected = ANYTHING) -> Moved:
    """Move the gated challenger to production, or finish a promotion that was interrupted."""
    moved = _promoted(ws, city, approved, canary=False)
    if isinstance(moved, Holding):
        raise Refused(f"{moved.waits_for}; `bikeshare promote --canary` goes on with it")
    _told_everybody(ws, city, moved)
    return moved


@logged("canary", _told_canary)
def canary(ws: Workspace, city: City, *, approved: Expected = ANYTHING) -> Moved | Holding:
    """Begin a canary of the gated challenger, or take it as far as it has proven itself."""
    found = _promoted(ws, city, approved, canary=True)
    _told_everybody(ws, city, found)
    return found


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
    moved = _back(ws, city, reason=reason, to=to, trigger=trigger)
    _told_everybody(ws, city, moved)
    return moved


def _told_everybody(ws: Workspace, city: City, found: Moved | Holding) -> None:
    """Whoever is notified; then SageMaker's registry, once production moved."""
    notify.tell(ws, city)
    if isinstance(found, Moved):
        model_packages.after(ws, city, f"the {found.kind} to version {found.to_version}")


def _back(
    ws: Workspace, city: City, *, reason: str, to: str | None, trigger: Sequence[str]
) -> Moved:
    with execute.alone(ws):
        tracking.connect(ws)
        began = time.perf_counter()
        half, going_on = _half_back(ws, city), _going_on(ws, city)
        if half is not None and to in {None, half.target["from_version"]}:
            return _was_taken_back(ws, city, half, began)
        if going_on is not None:
            _check_goes_on(going_on, to)
        if going_on is not None and going_on.kind == "promotion":
            return _taken_back(ws, city, going_on, reason, began)
        found = going_on or planned.rollback(ws, city, reason=reason, to=to, trigger=trigger)
        return _rolled_back(ws, city, found, began)


def finish_rollback(ws: Workspace, city: City) -> Moved | None:
    """Finish a way back that was killed: a rollback, or that of a promotion that had failed.

    None when there is none, or it was a rollback that was half taken back itself.
    """
    found = execute.unfinished(ws, ws.settings.endpoint("prod", city.name))
    if found is None or not (found.kind == "rollback" or _half_back(ws, city)):
        return None
    with execute.alone(ws):
        tracking.connect(ws)
        began = time.perf_counter()
        half, going_on = _half_back(ws, city), _going_on(ws, city)
        if half is not None:
            return _was_taken_back(ws, city, half, began)
        if going_on is None or going_on.kind != "rollback":
            return None
        return _rolled_back(ws, city, going_on, began)


def summary(ws: Workspace, found: Moved | Holding) -> str:
    """What was done, and what a promotion found after it: dashboard, alarms, staging."""
    if isinstance(found, Holding):
        return found.waits_for
    told = records.audited(ws)
    moves = [e for e in told if (e["kind"], e["facts"].get("endpoint")) == _move_of(found)]
    plan = moves[-1]["facts"]["plan"] if moves else None
    also = [e["why"] for e in told if e["facts"].get("plan") == plan and e["kind"] != found.kind]
    way = f"{found.endpoint}: version {found.from_version} → {found.to_version}"
    return "\n".join([way, *also])


def _move_of(found: Moved) -> tuple[str, str]:
    return found.kind, found.endpoint


def in_canary(ws: Workspace, city: City) -> bool:
    """Whether a canary rests on production."""
    found = execute.unfinished(ws, ws.settings.endpoint("prod", city.name))
    return found is not None and any(step.action == "hold" for step in found.steps)


def _promoted(ws: Workspace, city: City, approved: Expected, *, canary: bool) -> Moved | Holding:
    with execute.alone(ws):
        expected.check(ws, city, approved)
        tracking.connect(ws)
        began = time.perf_counter()
        going_on = _going_on(ws, city)
        if going_on is not None and going_on.kind != "promotion":
            msg = f"a {going_on.kind} of {going_on.target['endpoint']} was interrupted"
            raise Refused(f"{msg}; finish it first with `bikeshare {going_on.kind}`")
        found = going_on or records.unused(ws, planned.promotion(ws, city, canary=canary))
        expected.check_plan(found, approved)
        return _advance(ws, city, found, began)


def _land(ws: Workspace, city: City, found: Plan, began: float) -> Moved | Holding:
    """Move production first; alarms and incident folders are not what riders wait for."""
    actions = steps.actions(ws, city, found)
    waits = execute.execute(ws, found, actions, until_it_stands=True)
    if waits is not None:
        return _holding(ws, found, waits)
    moved = _moved(ws, found, began)
    execute.execute(ws, found, actions)
    return moved


def _rolled_back(ws: Workspace, city: City, found: Plan, began: float) -> Moved:
    moved = _land(ws, city, found, began)
    if isinstance(moved, Holding):  # no step of a rollback rests
        raise Refused(moved.waits_for)
    return moved


def _advance(ws: Workspace, city: City, found: Plan, began: float) -> Moved | Holding:
    try:
        return _land(ws, city, found, began)
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


def _half_back(ws: Workspace, city: City) -> Plan | None:
    """A promotion that failed, of which not all is undone: its version may still serve."""
    found = execute.unfinished(ws, ws.settings.endpoint("prod", city.name))
    if found is None or found.kind != "promotion":
        return None
    journal = records.journal(ws, found)
    failed = release.given_up(found, journal)
    return found if failed and release.steps_to_undo(found, journal) else None


def _check_goes_on(found: Plan, to: str | None) -> None:
    """Refused where a rollback would finish something else than what was asked for."""
    version, endpoint = found.target["version"], found.target["endpoint"]
    msg = f"a {found.kind} of version {version} on {endpoint} is not finished"
    if found.kind == "deploy":
        finish = f"`bikeshare deploy --alias {version} --initial`"
        raise Refused(f"{msg}: there is nothing to go back to yet; finish it with {finish}")
    back = version if found.kind == "rollback" else found.target["from_version"]
    if to not in (None, back):
        msg = f"{msg}, and version {to} was asked for"
        raise Refused(f"{msg}; `bikeshare rollback` ends it with version {back}, then ask again")


def _taken_back(ws: Workspace, city: City, found: Plan, reason: str, began: float) -> Moved:
    actions = steps.actions(ws, city, found)
    if release.stands(found, records.journal(ws, found)):
        execute.execute(ws, found, actions)
        back = planned.rollback(ws, city, reason=reason, to=None)
        return _rolled_back(ws, city, back, began)
    execute.give_up(ws, found, actions, why=reason)
    return _was_taken_back(ws, city, found, began)


def _was_taken_back(ws: Workspace, city: City, found: Plan, began: float) -> Moved:
    """What riders get again, and the folder for whoever asks why."""
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
    return Holding(
        endpoint=found.target["endpoint"],
        version=found.target["version"],
        shares=_shares(ws, found.target["endpoint"]),
        waits_for=waits,
    )


def _shares(ws: Workspace, endpoint: str) -> dict[str, float]:
    """Who answers how much; nothing where the endpoint cannot be asked now."""
    try:
        state = endpoints.describe(ws.clients, endpoint)
    except EndpointError:
        return {}
    return {variant.version or "?": variant.weight for variant in state.variants}
