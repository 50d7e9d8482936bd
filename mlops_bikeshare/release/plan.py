"""Deploy, promotion and rollback as data: ordered steps, each with its undo.

Input    what the endpoint and the registry hold now, and what they should hold.
Output   a Plan. The executor (flows/execute) maps actions to functions and writes a journal: for
         each step an entry {"plan", "step", "state": begun | done | failed | undone, …its facts}.
         `next_step` reads it after any interruption; a step that was begun and not done is given
         again, so actions look before they act. To take a plan back, execute `step.undo` of each
         of `steps_to_undo` and record the step as undone. Once the audit has its line, a plan
         stands: what follows is finished, never undone.
Raises   Refused where a plan was given up; InputError where a journal is not this plan's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from mlops_bikeshare.domain.errors import InputError, Refused
from mlops_bikeshare.domain.variants import BASELINE, CANDIDATE
from mlops_bikeshare.domain.windows import stamp

State = Literal["begun", "done", "failed", "undone"]
Kind = Literal["deploy", "promotion", "rollback"]
Params = Mapping[str, Any]
CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous_champion"
SHARES_PCT = (10, 50, 100)
AUDIT = "audit"


@dataclass(frozen=True, slots=True)
class Step:
    """One action by name; `undo` is None where there is nothing to take back."""

    name: str
    params: Params
    undo: "Step | None" = None

    @property
    def action(self) -> str:
        """What to do: the first word of the name (`weigh 10 %`)."""
        return self.name.partition(" ")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Steps in order. `id` names the journal; aliases map to versions, None removes one."""

    id: str
    kind: Kind
    steps: tuple[Step, ...]

    @property
    def target(self) -> Params:
        """What the plan is for: endpoint, version, digest, why, and what was there before."""
        return next(step.params for step in self.steps if step.name == AUDIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What an endpoint serves: its config and the weight of each of its variants."""

    config: str
    weights: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """Which version an endpoint shall serve, from when on, and why."""

    city: str
    endpoint: str
    version: str
    digest: str
    at: datetime
    why: str

    @property
    def params(self) -> dict[str, Any]:
        """What every step needs to know."""
        return {"endpoint": self.endpoint, "version": self.version, "digest": self.digest}

    def plan(self, kind: Kind, word: str, steps: Sequence[Step]) -> Plan:
        """The steps as a plan."""
        name = f"{word}-{self.endpoint}-{self.version}-{stamp(self.at)}"
        return Plan(id=name, kind=kind, steps=tuple(steps))

    def audit(self, now: Standing | None, from_version: str | None, **facts: object) -> Step:
        """The line that makes the plan stand."""
        before = {"from_version": from_version, "from_config": now.config if now else None}
        said = {**self.params, **before, "city": self.city, "why": self.why, **facts}
        return Step(AUDIT, said)


def deploy_plan(
    goal: Goal, *, now: Standing | None, aliases_now: Mapping[str, str], initial: bool
) -> Plan:
    """Put a version on an endpoint; `initial` makes it a city's first champion too."""
    deploy = Step("deploy", goal.params, undo=_back(goal.endpoint, now))
    steps = [deploy, Step("verify", goal.params)]
    if initial:
        steps.append(_aliases({CHAMPION: goal.version}, aliases_now))
    audit = goal.audit(now, aliases_now.get(CHAMPION), initial=initial)
    return goal.plan("deploy", "deploy", [*steps, audit])


def promotion_plan(
    goal: Goal, *, staging: str, now: Standing | None, aliases_now: Mapping[str, str]
) -> Plan:
    """Blue/green: bring the version to the endpoint at once; `now` None: there is none yet."""
    steps = [
        Step("check_gate", goal.params),
        Step("deploy", goal.params, undo=_back(goal.endpoint, now)),
    ]
    return goal.plan(
        "promotion", "promote", [*steps, *_landing(goal, staging, now, aliases_now, canary=False)]
    )


def canary_plan(
    goal: Goal,
    *,
    staging: str,
    now: Standing,
    models: Mapping[str, str],
    aliases_now: Mapping[str, str],
    hold_batches: int,
) -> Plan:
    """The same by Baseline and Candidate; `models` names what each serves."""
    config = f"{goal.endpoint}-canary-{goal.version}-{stamp(goal.at)}"
    split = {**goal.params, "config": config, "like": now.config, "models": dict(models)}
    steps = [
        Step("check_gate", goal.params),
        Step("split", split, undo=_back(goal.endpoint, now)),
        Step("probe", {**goal.params, "variant": CANDIDATE}),
    ]
    for share in SHARES_PCT:
        weights = {BASELINE: 1 - share / 100, CANDIDATE: share / 100}
        hold = {**goal.params, "share_pct": share, "batches": hold_batches}
        moved = {**goal.params, "weights": weights, "from_version": aliases_now.get(CHAMPION)}
        steps += [Step(f"weigh {share} %", moved), Step(f"hold {share} %", hold)]
    return goal.plan(
        "promotion", "promote", [*steps, *_landing(goal, staging, now, aliases_now, canary=True)]
    )


def rollback_plan(
    goal: Goal,
    *,
    to: Standing | None,
    now: Standing,
    leaving: str | None,
    came_before: str | None,
    aliases_now: Mapping[str, str],
    trigger: Sequence[str] = (),
) -> Plan:
    """Back to `to`, which served the version (None: its config is gone, so it is deployed anew).

    The version that leaves is challenger again, unless there is a newer one.
    """
    aliases = {
        CHAMPION: goal.version,
        PREVIOUS: came_before,
        CHALLENGER: aliases_now.get(CHALLENGER) or leaving,
    }
    if aliases_now.get(CHAMPION) == goal.version:
        aliases = {**dict.fromkeys((PREVIOUS, CHALLENGER)), **aliases_now}
    undo = _back(goal.endpoint, now)
    if to is None:
        back = Step("deploy", goal.params, undo=undo)
    elif to.config == now.config:
        undo = Step("weigh", {"endpoint": goal.endpoint, "weights": dict(now.weights)})
        back = Step("weigh", {"endpoint": goal.endpoint, "weights": dict(to.weights)}, undo=undo)
    else:
        back = Step("restore_config", _restored(goal.endpoint, to), undo=undo)
    steps = [
        back,
        Step("verify", goal.params),
        _aliases(aliases, aliases_now),
        goal.audit(now, leaving, trigger=list(trigger)),
        Step("incident", goal.params),
    ]
    return goal.plan("rollback", "rollback", steps)


def record(plan: Plan, step: Step, state: State, **facts: object) -> dict[str, Any]:
    """The journal's entry of a step; `facts` are what later steps or a resumption need."""
    return {"plan": plan.id, "step": step.name, "state": state, **facts}


def next_step(plan: Plan, journal: Sequence[Mapping[str, Any]]) -> Step | None:
    """The first step that is not done, None when all are; Refused once the plan is given up."""
    states = _states(plan, journal)
    if given_up(plan, journal):
        raise Refused(f"{plan.id} was taken back and cannot go on; start a new {plan.kind}")
    return next((step for step in plan.steps if states.get(step.name) != "done"), None)


def stands(plan: Plan, journal: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the audit has the plan's line: from then on it is finished, not undone."""
    return _states(plan, journal).get(AUDIT) == "done"


def given_up(plan: Plan, journal: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a step failed or was taken back."""
    return not {"failed", "undone"}.isdisjoint(_states(plan, journal).values())


def steps_to_undo(plan: Plan, journal: Sequence[Mapping[str, Any]]) -> list[Step]:
    """Steps with an undo that were begun and not taken back, the last one first."""
    states = _states(plan, journal)
    touched = [step for step in plan.steps if states.get(step.name) in {"begun", "done", "failed"}]
    return [step for step in reversed(touched) if step.undo is not None]


def plan_from_json(document: Mapping[str, Any]) -> Plan:
    """A plan as `domain.reports.to_json` wrote it."""
    steps = tuple(_step(step) for step in document["steps"])
    return Plan(id=document["id"], kind=document["kind"], steps=steps)


def _step(document: Mapping[str, Any]) -> Step:
    undo = document["undo"]
    return Step(document["name"], document["params"], undo=_step(undo) if undo else None)


def _landing(
    goal: Goal,
    staging: str,
    now: Standing | None,
    aliases_now: Mapping[str, str],
    *,
    canary: bool,
) -> list[Step]:
    """How every promotion ends: verified and quiet, then aliases, then the audit, then the rest."""
    champion = aliases_now.get(CHAMPION)
    aliases = {CHAMPION: goal.version, PREVIOUS: champion, CHALLENGER: None}
    if champion == goal.version:  # promoted again: the one before stays the one to go back to
        aliases[PREVIOUS] = aliases_now.get(PREVIOUS)
    return [
        Step("verify", goal.params),
        Step("alarms", {**goal.params, "since": "split" if canary else "deploy"}),
        _aliases(aliases, aliases_now),
        goal.audit(now, champion, canary=canary),
        Step("dashboard", goal.params),
        Step("offer", {**goal.params, "staging": staging}),
    ]


def _back(endpoint: str, now: Standing | None) -> Step:
    if now is None:
        return Step("delete_endpoint", {"endpoint": endpoint})
    return Step("restore_config", _restored(endpoint, now))


def _restored(endpoint: str, to: Standing) -> dict[str, Any]:
    return {"endpoint": endpoint, "config": to.config, "weights": dict(to.weights)}


def _aliases(wanted: Mapping[str, str | None], now: Mapping[str, str]) -> Step:
    before = {name: now.get(name) for name in wanted}
    back = Step("aliases_back", {"aliases": before, "before": dict(wanted)})
    return Step("aliases", {"aliases": dict(wanted), "before": before}, undo=back)


def _states(plan: Plan, journal: Sequence[Mapping[str, Any]]) -> dict[str, State]:
    known = {step.name for step in plan.steps}
    states: dict[str, State] = {}
    for entry in journal:
        if entry["plan"] != plan.id or entry["step"] not in known:
            msg = f"the journal has step {entry['step']!r} of {entry['plan']!r}, not of {plan.id!r}"
            raise InputError(f"{msg}; finish or undo that plan first")
        states[entry["step"]] = entry["state"]
    return states
