"""Execute a release plan step by step, with a journal.

Input    a plan, and for each action a function of the step's params. It returns None when done, or
         a text saying what it waits for: then the plan rests, and the next call goes on from there.
Output   that text, or None when the plan is finished.
Raises   Refused while another release runs. Whatever a step raises: the steps before it are taken
         back first, unless the plan stands already (its line is in the audit). LockLostError,
         LineTakenError: another process may be at it, so nothing is taken back.

Every step is noted before and after it is done, so a run that was killed is continued by the next
one; a plan that was killed while it was taken back is taken back to its end.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.errors import BikeshareError, Refused
from mlops_bikeshare.flows import records
from mlops_bikeshare.lake.state import LineTakenError, LockLostError
from mlops_bikeshare.release import conditions
from mlops_bikeshare.release import plan as release
from mlops_bikeshare.release.plan import Plan, Step
from mlops_bikeshare.serving import endpoints

Action = Callable[[Mapping[str, Any]], str | None]
Actions = Mapping[str, Action]
LOCK = "release.lock"


def execute(
    ws: Workspace, plan: Plan, actions: Actions, *, until_it_stands: bool = False
) -> str | None:
    """Go through the steps that are not done; what follows the audit can be left for later."""
    records.keep_plan(ws, plan)
    step = plan.steps[0]
    try:
        _check_again(ws, plan, actions)
        while (found := release.next_step(plan, records.journal(ws, plan))) is not None:
            if until_it_stands and release.stands(plan, records.journal(ws, plan)):
                break
            step = found
            _begin(ws, plan, step)
            waits = actions[step.action](step.params)
            if waits is not None:
                return waits
            ws.state.check_alone(LOCK)
            records.note(ws, release.record(plan, step, "done"))
    except (LockLostError, LineTakenError):
        raise
    except BikeshareError as error:
        if not release.stands(plan, records.journal(ws, plan)):
            give_up(ws, plan, actions, step=step, why=str(error))
        raise
    return None


def give_up(
    ws: Workspace, plan: Plan, actions: Actions, *, step: Step | None = None, why: str
) -> None:
    """Put the failure on record, and undo what was begun, the last step first."""
    ws.state.check_alone(LOCK)
    if not release.given_up(plan, records.journal(ws, plan)):
        failed = step or release.next_step(plan, records.journal(ws, plan)) or plan.steps[-1]
        records.note(ws, release.record(plan, failed, "failed", error=why))
    for done in release.steps_to_undo(plan, records.journal(ws, plan)):
        if done.undo is not None:
            ws.state.check_alone(LOCK)
            actions[done.undo.action](done.undo.params)
            records.note(ws, release.record(plan, done, "undone"))
    kind, target = f"{plan.kind} failed", plan.target
    if not records.has_audit(ws, kind, plan.id):
        state = endpoints.find(ws.clients, target["endpoint"])
        back = {
            "version": target["from_version"],
            "endpoint_config": state.config if state else None,
        }
        gone = {"failed_version": target["version"], "failed_digest": target["digest"]}
        facts = {"endpoint": target["endpoint"], "city": target["city"], **back, **gone}
        records.audit(ws, kind, why=why, facts={**facts, "plan": plan.id, "error": why})


def unfinished(ws: Workspace, endpoint: str) -> Plan | None:
    """The newest plan for an endpoint, when it was interrupted, rests, or is half taken back."""
    plans = [p for p in records.plans(ws) if p.target["endpoint"] == endpoint]
    if not plans:
        return None
    newest = plans[-1]
    journal = records.journal(ws, newest)
    if release.given_up(newest, journal):
        told = records.has_audit(ws, f"{newest.kind} failed", newest.id)
        return newest if release.steps_to_undo(newest, journal) or not told else None
    return newest if release.next_step(newest, journal) is not None else None


def mend(ws: Workspace, endpoint: str, actions: Actions) -> Plan | None:
    """What is unfinished and may go on; a plan that was half taken back is taken back first."""
    plan = unfinished(ws, endpoint)
    if plan is not None and release.given_up(plan, records.journal(ws, plan)):
        give_up(ws, plan, actions, why="interrupted while it was taken back")
        return None
    return plan


def begun_at(ws: Workspace, plan: Plan, step_name: str) -> datetime:
    """When a step was begun for the first time."""
    first = next(e for e in records.journal(ws, plan) if e["step"] == step_name)
    return datetime.fromisoformat(first["at"])


@contextmanager
def alone(ws: Workspace) -> Iterator[None]:
    """One deploy, promotion or rollback at a time per workspace, on a clock that goes forward."""
    with ws.state.alone(LOCK) as free:
        if not free:
            where = ws.settings.workspace
            msg = f"another promotion or rollback runs in workspace {where!r}; wait for it"
            raise Refused(msg)
        told = records.audited(ws)
        last = max((datetime.fromisoformat(e["at"]) for e in told), default=None)
        conditions.check_clock(ws.now, last)
        yield


def _check_again(ws: Workspace, plan: Plan, actions: Actions) -> None:
    """A pass counts when it is acted upon, not when a run that was then killed looked at it."""
    first, then = plan.steps[:2]
    begun = {entry["step"] for entry in records.journal(ws, plan)}
    if first.action == "check_gate" and first.name in begun and then.name not in begun:
        actions[first.action](first.params)


def _begin(ws: Workspace, plan: Plan, step: Step) -> None:
    """Note a step once: its first time is what a canary's hold is counted from."""
    ws.state.check_alone(LOCK)
    if not any(entry["step"] == step.name for entry in records.journal(ws, plan)):
        records.note(ws, release.record(plan, step, "begun", at=ws.now))
