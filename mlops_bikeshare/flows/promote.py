"""Promote and roll back: execute a release plan step by step, with a journal.

Every step is noted before and after it is done, so a run that was killed is continued by the next
one: a step that was begun looks at what is there before it acts. When a step fails, the steps
before it are taken back. One promotion at a time per workspace. Aliases move only after the
endpoint was verified.

Raises   Refused: no fresh pass for this very artefact, nothing to roll back to, or another
         promotion is under way. EndpointError, ModelError: a step failed; it was taken back.
"""

import fcntl
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import BikeshareError, EndpointError, Refused
from mlops_bikeshare.flows import decision_runs, deploy, records, tracking
from mlops_bikeshare.flows.features import ONLINE
from mlops_bikeshare.flows.logged import Told, logged
from mlops_bikeshare.registry import versions
from mlops_bikeshare.registry.versions import ModelVersion
from mlops_bikeshare.release import plan as release
from mlops_bikeshare.release.plan import Plan, Step
from mlops_bikeshare.serving import endpoints
from mlops_bikeshare.serving.predict import invoke

LIVE_ROWS = 5


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


def plan(ws: Workspace, city: City) -> Plan:
    """What a promotion would do now."""
    tracking.connect(ws)
    challenger = versions.find(city.registered_model, versions.CHALLENGER)
    endpoint = ws.settings.endpoint("prod", city.name)
    state = endpoints.find(ws.clients, endpoint)
    return release.promotion_plan(
        endpoint=endpoint,
        version=challenger.version,
        artefact_digest=challenger.digest,
        config_now=state.config if state else None,
        aliases_now=_aliases(city),
        at=ws.now,
    )


def plan_summary(steps: Plan) -> str:
    """The plan for people."""
    lines = [f"{steps.kind} {steps.id}"]
    for number, step in enumerate(steps.steps, start=1):
        back = f"; undo: {step.undo.name}" if step.undo else ""
        lines.append(f"  {number}. {step.name} {json.dumps(dict(step.params))}{back}")
    return "\n".join(lines)


def _told(moved: Moved) -> Told:
    wrote = {"endpoint": moved.endpoint, "version": moved.to_version}
    read = {"from_version": moved.from_version, "digest": moved.artefact_digest[:12]}
    return Told(read=read, wrote={**wrote, "config": moved.endpoint_config})


@logged("promote", _told)
def promote(ws: Workspace, city: City) -> Moved:
    """Move the gated challenger to production, or finish a promotion that was interrupted."""
    with _alone(ws):
        unfinished = _unfinished(ws, city, "promotion")
        return _execute(ws, city, unfinished or plan(ws, city), why="gate passed")


@logged("rollback", _told)
def rollback(ws: Workspace, city: City, *, reason: str) -> Moved:
    """Restore the EndpointConfig and the aliases from before the last promotion."""
    with _alone(ws):
        tracking.connect(ws)
        unfinished = _unfinished(ws, city, "rollback")
        return _execute(ws, city, unfinished or _rollback_plan(ws, city), why=reason)


def _rollback_plan(ws: Workspace, city: City) -> Plan:
    endpoint = ws.settings.endpoint("prod", city.name)
    state = endpoints.describe(ws.clients, endpoint)
    previous = versions.find_if_any(city.registered_model, versions.PREVIOUS)
    promotions = [
        entry["facts"]
        for entry in records.audited(ws)
        if entry["kind"] == "promotion" and entry["facts"]["endpoint"] == endpoint
    ]
    last = promotions[-1] if promotions else None
    if previous is None or last is None or last["from_version"] != previous.version:
        msg = f"{endpoint} has no earlier version to go back to: no promotion is on record"
        raise Refused(f"{msg} whose previous champion is still registered")
    return release.rollback_plan(
        endpoint=endpoint,
        version=previous.version,
        artefact_digest=previous.digest,
        config=last["from_config"],
        config_now=state.config,
        aliases_now=_aliases(city),
        at=ws.now,
    )


def _execute(ws: Workspace, city: City, steps: Plan, *, why: str) -> Moved:
    began = time.perf_counter()
    records.keep_plan(ws, steps)
    run = _Run(ws, city, steps, why)
    try:
        while (step := release.next_step(steps, records.journal(ws, steps))) is not None:
            records.note(ws, release.record(steps, step, "begun"))
            run.act(step)
            records.note(ws, release.record(steps, step, "done"))
    except BikeshareError as error:
        run.take_back(error)
        raise
    target = steps.steps[-1].params
    return Moved(
        kind=steps.kind,
        endpoint=target["endpoint"],
        from_version=target["from_version"],
        to_version=target["version"],
        artefact_digest=target["digest"],
        endpoint_config=endpoints.describe(ws.clients, target["endpoint"]).config,
        seconds=time.perf_counter() - began,
    )


@dataclass(frozen=True)
class _Run:
    """The actions behind the names of steps."""

    ws: Workspace
    city: City
    plan: Plan
    why: str

    def act(self, step: Step) -> None:
        """Do a step; doing it again changes nothing."""
        actions: dict[str, Callable[[Mapping[str, Any]], None]] = {
            "check_gate": self._check_gate,
            "deploy": self._deploy,
            "restore_config": self._restore_config,
            "delete_endpoint": self._delete_endpoint,
            "verify": self._verify,
            "aliases": self._move_aliases,
            "audit": self._audit,
        }
        actions[step.name](step.params)

    def take_back(self, error: BikeshareError) -> None:
        """Undo what was begun, the last step first, and put the failure on record."""
        for step in release.steps_to_undo(self.plan, records.journal(self.ws, self.plan)):
            if step.undo is not None:
                self.act(step.undo)
                records.note(self.ws, release.record(self.plan, step, "undone"))
        first = self.plan.steps[0]
        records.note(self.ws, release.record(self.plan, first, "undone", error=str(error)))
        facts = {"plan": self.plan.id, "error": str(error)}
        records.audit(self.ws, f"{self.plan.kind} failed", why=self.why, facts=facts)

    def _version(self, target: Mapping[str, Any]) -> ModelVersion:
        found = versions.find(self.city.registered_model, target["version"])
        if found.digest != target["digest"]:
            msg = f"version {found.version} has digest {found.digest[:12]}, the plan was made for"
            raise Refused(f"{msg} {target['digest'][:12]}; gate and promote again")
        return found

    def _check_gate(self, target: Mapping[str, Any]) -> None:
        staging = self.ws.settings.endpoint("staging", self.city.name)
        report = records.newest_gate(self.ws, staging)
        rules = self.ws.settings.gate
        release.check_fresh(report, self._version(target).digest, self.ws.now, rules)

    def _deploy(self, target: Mapping[str, Any]) -> None:
        state = endpoints.find(self.ws.clients, target["endpoint"])
        if state is not None and state.status == "InService":
            (variant,) = state.variants
            if (variant.version, variant.digest) == (target["version"], target["digest"]):
                return
        deploy.place(self.ws, self.city, self._version(target), endpoint=target["endpoint"])

    def _restore_config(self, target: Mapping[str, Any]) -> None:
        clients, endpoint = self.ws.clients, target["endpoint"]
        state = endpoints.find(clients, endpoint)
        if state is None or (state.config == target["config"] and state.status == "InService"):
            return
        if state.status in endpoints.MOVING:
            endpoints.wait_settled(clients, endpoint, timeout_s=self._timeout_s)
        endpoints.restore_config(clients, endpoint, target["config"])
        endpoints.wait_in_service(
            clients, endpoint, config=target["config"], timeout_s=self._timeout_s
        )

    def _delete_endpoint(self, target: Mapping[str, Any]) -> None:
        if endpoints.find(self.ws.clients, target["endpoint"]) is not None:
            endpoints.delete_endpoint(
                self.ws.clients, target["endpoint"], timeout_s=self._timeout_s
            )

    def _verify(self, target: Mapping[str, Any]) -> None:
        state = endpoints.describe(self.ws.clients, target["endpoint"])
        config = target.get("config", state.config)
        if (state.status, state.config) != ("InService", config):
            msg = f"endpoint {state.name} is {state.status} with {state.config}"
            raise EndpointError(f"{msg}; expected InService with {config}")
        deploy.verify(self.ws, state, self._version(target))
        self._live_request(target["endpoint"])

    def _live_request(self, endpoint: str) -> None:
        """The newest stored features must be answered, all of them."""
        newest = self.ws.lake.newest(ONLINE, city=self.city.name)
        if newest is None:
            raise EndpointError(f"no stored features to try {endpoint} with; run a batch first")
        rows = self.ws.lake.read(ONLINE, city=self.city.name)
        rows = rows[rows["dt"] == newest].head(LIVE_ROWS).drop(columns=["station_id", "dt"])
        answers = invoke(self.ws.clients, endpoint, rows, dt=newest)
        if not answers.answered.all() or answers.frame.isna().any(axis=None):
            raise EndpointError(f"endpoint {endpoint} did not answer a live request in full")

    def _move_aliases(self, target: Mapping[str, Any]) -> None:
        model, now = self.city.registered_model, _aliases(self.city)
        for alias, version in target["aliases"].items():
            if now.get(alias) != version:
                versions.move_alias(model, alias, version, expected=now.get(alias))

    def _audit(self, target: Mapping[str, Any]) -> None:
        config = endpoints.describe(self.ws.clients, target["endpoint"]).config
        facts = {**target, "endpoint_config": config, "plan": self.plan.id}
        written = any(e["facts"].get("plan") == self.plan.id for e in records.audited(self.ws))
        if not written:
            records.audit(self.ws, self.plan.kind, why=self.why, facts=facts)
        decision_runs.log_move(self.ws, self.city, self.plan, facts, why=self.why)

    @property
    def _timeout_s(self) -> int:
        return self.ws.settings.serving.timeout_s


def _aliases(city: City) -> dict[str, str]:
    found = {a: versions.find_if_any(city.registered_model, a) for a in versions.ALIASES}
    return {alias: version.version for alias, version in found.items() if version is not None}


def _unfinished(ws: Workspace, city: City, kind: str) -> Plan | None:
    """The newest plan of this kind for production, when it was interrupted."""
    endpoint = ws.settings.endpoint("prod", city.name)
    for kept in reversed(records.plans(ws)):
        if kept.steps[-1].params["endpoint"] != endpoint or kept.kind != kind:
            continue
        journal = records.journal(ws, kept)
        open_ = "undone" not in {entry["state"] for entry in journal}
        return kept if open_ and release.next_step(kept, journal) is not None else None
    return None


@contextmanager
def _alone(ws: Workspace) -> Iterator[None]:
    with (ws.path / "release.lock").open("w") as lock:
        try:
            # The kernel drops it with the process, so a kill leaves nothing to clean up.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            where = ws.settings.workspace
            msg = f"another promotion or rollback runs in workspace {where!r}; wait for it"
            raise Refused(msg) from None
        yield
