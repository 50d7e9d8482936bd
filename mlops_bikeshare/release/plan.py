"""Promotion and rollback as data: ordered steps, each with its undo.

Input    what the endpoint and the registry hold now, and what they should hold.
Output   a Plan. The executor (flows/promote) maps step names to actions and writes a journal: for
         each step an entry {"plan", "step", "state": begun | done | undone, …its own facts}.
         `next_step` reads it after any interruption; a step that was begun and not done is given
         again, so actions look before they act. To take a plan back, execute `step.undo` of each
         of `steps_to_undo` and record the step as undone.
Raises   Refused where a plan may not start; InputError where a journal is not this plan's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from mlops_bikeshare.domain.errors import InputError, Refused
from mlops_bikeshare.domain.reports import GateReport
from mlops_bikeshare.domain.windows import stamp
from mlops_bikeshare.settings import GateSettings

State = Literal["begun", "done", "undone"]
Params = Mapping[str, Any]
CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous_champion"


@dataclass(frozen=True, slots=True)
class Step:
    """One action by name; `undo` is None where there is nothing to take back."""

    name: str
    params: Params
    undo: "Step | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Steps in order. `id` names the journal; aliases map to versions, None removes one."""

    id: str
    kind: Literal["promotion", "rollback"]
    steps: tuple[Step, ...]


def check_fresh(
    report: GateReport | None, digest: str, now: datetime, rules: GateSettings
) -> GateReport:
    """The report, if it is a fresh pass of this very artefact; else Refused with the reason."""
    again = "run `bikeshare gate` again"
    if report is None:
        raise Refused(f"no gate report for artefact {digest[:12]}; run `bikeshare gate` first")
    if report.verdict != "pass":
        lines = ", ".join(f"{check.name} {check.verdict}" for check in report.failed)
        raise Refused(
            f"the gate's verdict on version {report.model_version} is {report.verdict}: {lines}"
        )
    if report.artefact_digest != digest:
        msg = f"the gate judged artefact {report.artefact_digest[:12]}, not {digest[:12]}"
        raise Refused(f"{msg}; deploy this one to staging and {again}")
    age = now - report.judged_at
    if not timedelta(0) <= age <= timedelta(minutes=rules.fresh_min):
        msg = f"the pass of {report.judged_at:%F %H:%M} is {age} old at {now:%F %H:%M}"
        raise Refused(f"{msg}; it holds for {rules.fresh_min} min. {again.capitalize()}")
    return report


def promotion_plan(
    *,
    endpoint: str,
    version: str,
    artefact_digest: str,
    config_now: str | None,
    aliases_now: Mapping[str, str],
    at: datetime,
) -> Plan:
    """Bring `version` to the endpoint; `config_now` None: the endpoint does not exist yet."""
    target = {"endpoint": endpoint, "version": version, "digest": artefact_digest}
    back = Step("delete_endpoint", {"endpoint": endpoint})
    if config_now is not None:
        back = _restore(endpoint, config_now)
    champion = aliases_now.get(CHAMPION)
    aliases = {CHAMPION: version, PREVIOUS: champion, CHALLENGER: None}
    if champion == version:  # promoted again: the one before stays the one to go back to
        aliases[PREVIOUS] = aliases_now.get(PREVIOUS)
    steps = (
        Step("check_gate", target),
        Step("deploy", target, undo=back),
        Step("verify", target),
        _aliases(aliases, aliases_now),
        Step("audit", {**target, "from_version": champion, "from_config": config_now}),
    )
    return Plan(id=f"promote-{endpoint}-{version}-{stamp(at)}", kind="promotion", steps=steps)


def rollback_plan(
    *,
    endpoint: str,
    version: str,
    artefact_digest: str,
    config: str,
    config_now: str,
    aliases_now: Mapping[str, str],
    at: datetime,
) -> Plan:
    """Back to `config`, which serves `version`; the version that leaves is challenger again."""
    target = {"endpoint": endpoint, "version": version, "digest": artefact_digest}
    leaving = aliases_now.get(CHAMPION)
    aliases = {CHAMPION: version, PREVIOUS: None, CHALLENGER: leaving}
    if leaving == version:
        aliases = {**dict.fromkeys((PREVIOUS, CHALLENGER)), **aliases_now}
    steps = (
        Step("restore_config", {**target, "config": config}, undo=_restore(endpoint, config_now)),
        Step("verify", {**target, "config": config}),
        _aliases(aliases, aliases_now),
        Step("audit", {**target, "from_version": leaving, "from_config": config_now}),
    )
    return Plan(id=f"rollback-{endpoint}-{version}-{stamp(at)}", kind="rollback", steps=steps)


def record(plan: Plan, step: Step, state: State, **facts: object) -> dict[str, Any]:
    """The journal's entry of a step; `facts` are what later steps or a resumption need."""
    return {"plan": plan.id, "step": step.name, "state": state, **facts}


def next_step(plan: Plan, journal: Sequence[Mapping[str, Any]]) -> Step | None:
    """The first step that is not done, None when all are; Refused once steps were taken back."""
    states = _states(plan, journal)
    if "undone" in states.values():
        raise Refused(f"{plan.id} was taken back and cannot go on; start a new {plan.kind}")
    return next((step for step in plan.steps if states.get(step.name) != "done"), None)


def steps_to_undo(plan: Plan, journal: Sequence[Mapping[str, Any]]) -> list[Step]:
    """Steps with an undo that were begun and not taken back, the last one first."""
    states = _states(plan, journal)
    begun = [step for step in plan.steps if states.get(step.name) in {"begun", "done"}]
    return [step for step in reversed(begun) if step.undo is not None]


def plan_from_json(document: Mapping[str, Any]) -> Plan:
    """A plan as `domain.reports.to_json` wrote it."""
    steps = tuple(_step(step) for step in document["steps"])
    return Plan(id=document["id"], kind=document["kind"], steps=steps)


def _step(document: Mapping[str, Any]) -> Step:
    undo = document["undo"]
    return Step(document["name"], document["params"], undo=_step(undo) if undo else None)


def _restore(endpoint: str, config: str) -> Step:
    return Step("restore_config", {"endpoint": endpoint, "config": config})


def _aliases(wanted: Mapping[str, str | None], now: Mapping[str, str]) -> Step:
    before = {name: now.get(name) for name in wanted}
    return Step("aliases", {"aliases": dict(wanted)}, undo=Step("aliases", {"aliases": before}))


def _states(plan: Plan, journal: Sequence[Mapping[str, Any]]) -> dict[str, State]:
    known = {step.name for step in plan.steps}
    states: dict[str, State] = {}
    for entry in journal:
        if entry["plan"] != plan.id or entry["step"] not in known:
            msg = f"the journal has step {entry['step']!r} of {entry['plan']!r}, not of {plan.id!r}"
            raise InputError(f"{msg}; finish or undo that plan first")
        states[entry["step"]] = entry["state"]
    return states
