"""What the steps of a release plan do. Every action looks first: done again, it changes nothing.

Input    a workspace, a city, a plan; each action gets its step's params.
Output   `actions`: what flows/execute runs, by the first word of a step's name.
Raises   EndpointError, ModelError, Refused: the step failed, and the plan is taken back.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import EndpointError, LakeError, ModelError, Refused
from mlops_bikeshare.domain.variants import BASELINE, CANDIDATE
from mlops_bikeshare.flows import records
from mlops_bikeshare.flows.judging import golden
from mlops_bikeshare.flows.releasing import alarms, execute, incident, placing, tagged, vitals
from mlops_bikeshare.flows.releasing.execute import Actions
from mlops_bikeshare.flows.runs import decision_runs
from mlops_bikeshare.registry import versions
from mlops_bikeshare.registry.versions import ModelVersion
from mlops_bikeshare.release import conditions, guard
from mlops_bikeshare.release.plan import CHALLENGER, Params, Plan, Standing
from mlops_bikeshare.serving import configs, endpoints
from mlops_bikeshare.serving.endpoints import EndpointState

log = logging.getLogger(__name__)


def actions(ws: Workspace, city: City, plan: Plan) -> Actions:
    """The functions behind the actions of a plan."""
    run = _Steps(ws, city, plan)
    return {
        "check_gate": run.check_gate,
        "deploy": run.deploy,
        "split": run.split,
        "probe": run.probe,
        "weigh": run.weigh,
        "hold": run.hold,
        "restore_config": run.restore_config,
        "delete_endpoint": run.delete_endpoint,
        "verify": run.verify,
        "aliases": run.aliases,
        "aliases_back": run.aliases_back,
        "audit": run.audit,
        "dashboard": run.dashboard,
        "alarms": run.alarms,
        "offer": run.offer,
        "incident": run.incident,
    }


def aliases(city: City) -> dict[str, str]:
    """Alias → the version it stands for."""
    found = {a: versions.find_if_any(city.registered_model, a) for a in versions.ALIASES}
    return {alias: version.version for alias, version in found.items() if version is not None}


def standing(state: EndpointState | None) -> Standing | None:
    """What an endpoint serves, as a plan remembers it."""
    return None if state is None else Standing(config=state.config, weights=state.weights)


@dataclass(frozen=True)
class _Steps:
    """The actions, each a function of its step's params."""

    ws: Workspace
    city: City
    plan: Plan

    def check_gate(self, target: Params) -> None:
        """A fresh pass of this very artefact, against the champion of today."""
        staging = self.ws.settings.endpoint("staging", self.city.name)
        report = records.newest_gate(self.ws, staging)
        digest = self._version(target).digest
        passed = conditions.check_fresh(report, digest, self.ws.now, self.ws.settings.gate)
        conditions.check_compared(passed, aliases(self.city).get(versions.CHAMPION))
        conditions.check_not_taken_back(records.audited(self.ws), passed, target["endpoint"])

    def deploy(self, target: Params) -> None:
        """Blue/green to a config of its own; one that this plan made before counts."""
        state = self._settled(target["endpoint"])
        if state is not None and state.config != self.plan.target["from_config"]:
            found = state.leading
            if (found.version, found.digest) == (target["version"], target["digest"]):
                return
        placing.place(self.ws, self.city, self._version(target), endpoint=target["endpoint"])

    def split(self, target: Params) -> None:
        """Both versions on the endpoint, all traffic still with Baseline."""
        clients, models, name = self.ws.clients, target["models"], target["config"]
        made = {BASELINE: (models[BASELINE], 1.0), CANDIDATE: (models[CANDIDATE], 0.0)}
        configs.create(clients, name, like=target["like"], variants=made)
        self._move_to(target["endpoint"], name)

    def probe(self, target: Params) -> None:
        """The variant answers as the registered version does, before it gets any traffic."""
        state = endpoints.describe(self.ws.clients, target["endpoint"])
        variant = target["variant"]
        golden.verify(self.ws, self.city, state, self._version(target), variant=variant)

    def weigh(self, target: Params) -> None:
        """Share the traffic out."""
        weights = {name: float(weight) for name, weight in target["weights"].items()}
        state = self._settled(target["endpoint"])
        if state is None:
            raise EndpointError(f"there is no endpoint {target['endpoint']} to share out")
        if state.weights != weights:
            endpoints.set_weights(self.ws.clients, state.name, weights)
            endpoints.wait_in_service(
                self.ws.clients, state.name, config=state.config, timeout_s=self._timeout_s
            )
        if "from_version" in target:
            self._tell_share(target, state, weights)

    def hold(self, target: Params) -> str | None:
        """Wait until the share has proven itself; Refused when it has failed."""
        name, share = f"hold {target['share_pct']} %", target["share_pct"]
        since = execute.begun_at(self.ws, self.plan, name)
        holds = f"version {target['version']} holds {share} % of {target['endpoint']}"
        try:
            seen = vitals.of_canary(self.ws, self.city, target, since=since)
        except (LakeError, EndpointError) as error:
            # What cannot be read now says nothing against the version: unknown is no failure.
            return f"{holds}: its vitals cannot be read ({error})"
        held = guard.judge_hold(
            seen, self.ws.settings.guard, batches=target["batches"], share_pct=share
        )
        if held.decision == "back":
            failed = [check for check in held.checks if check.verdict == "fail"]
            raise Refused(
                f"the canary failed at {share} %: {guard.said(failed)}; it was taken back"
            )
        if held.decision == "go":
            return None
        open_ = ", ".join(f"{c.name} ({c.detail or 'not yet'})" for c in held.open)
        return f"{holds}: {open_}"

    def restore_config(self, target: Params) -> None:
        """The endpoint's former config, with the weights that it had from the first request on."""
        state, weights = self._settled(target["endpoint"]), target["weights"]
        if state is None:
            return
        if state.config != target["config"]:
            config = configs.starting_with(self.ws.clients, target["config"], weights)
            self._move_to(target["endpoint"], config)
        self.weigh({"endpoint": target["endpoint"], "weights": weights})

    def delete_endpoint(self, target: Params) -> None:
        """Nothing was there before."""
        if self._settled(target["endpoint"]) is not None:
            endpoints.delete_endpoint(
                self.ws.clients, target["endpoint"], timeout_s=self._timeout_s
            )

    def verify(self, target: Params) -> None:
        """The version alone answers, from its own archive, as the registry's model does."""
        state = endpoints.describe(self.ws.clients, target["endpoint"])
        if state.status != "InService":
            raise EndpointError(f"endpoint {state.name} is {state.status}; expected InService")
        if any(variant.weight > 0 for variant in state.variants[1:]):
            raise EndpointError(f"endpoint {state.name} shares traffic out: {state.weights}")
        golden.verify(self.ws, self.city, state, self._version(target))

    def aliases(self, target: Params) -> None:
        """Move the aliases; one that stands for neither the old nor the new was moved by hand."""
        model, now = self.city.registered_model, aliases(self.city)
        for alias, version in target["aliases"].items():
            # A training since the plan was made has a challenger of its own: that is no reason
            # to take back what has proven itself. The other two say who serves, and stay strict.
            if alias == CHALLENGER and now.get(alias) != target["before"][alias]:
                continue
            if now.get(alias) != version:
                versions.move_alias(model, alias, version, expected=target["before"][alias])

    def aliases_back(self, target: Params) -> None:
        """Take back what was moved; what somebody moved since is theirs."""
        model, now = self.city.registered_model, aliases(self.city)
        for alias, version in target["aliases"].items():
            moved = target["before"][alias]
            if now.get(alias) == moved != version:
                versions.move_alias(model, alias, version, expected=moved)

    def audit(self, target: Params) -> None:
        """One line in the audit, the same facts as tags and as a run in MLflow.

        A rollback is told of the version that comes and of the one that goes.
        """
        config = endpoints.describe(self.ws.clients, target["endpoint"]).config
        facts = {**target, "endpoint_config": config, "plan": self.plan.id}
        if not records.has_audit(self.ws, self.plan.kind, self.plan.id):
            records.audit(self.ws, self.plan.kind, why=target["why"], facts=facts)
        told = next(
            e for e in reversed(records.audited(self.ws)) if e["facts"].get("plan") == self.plan.id
        )
        tagged.tag(self.city, target["version"], told, word=self.plan.kind, facts=("from_version",))
        if self.plan.kind == "rollback" and target["from_version"] not in {None, target["version"]}:
            self._tag_left(target["from_version"], told)
        if self.plan.kind != "deploy":
            decision_runs.log_move(self.ws, self.city, self.plan, facts, why=target["why"])

    def _tag_left(self, version: str, told: Mapping[str, Any]) -> None:
        """Of the version that goes; one that was deleted from the registry is in nobody's way."""
        try:
            facts = ("version", "trigger")
            tagged.tag(self.city, version, told, word="rolled_back", facts=facts)
        except ModelError as error:
            log.warning("the audit has it, the registry has not: %s", error)

    def dashboard(self, target: Params) -> None:
        """The dashboard shows production."""
        self.ws.show(target["endpoint"])
        self._note("dashboard", f"the dashboard shows {target['endpoint']}", target)

    def alarms(self, target: Params) -> None:
        """Production's alarms; Refused when the version set one off since it is there.

        What fired before it came, and what nothing is known of yet, is put on record.
        """
        if records.has_audit(self.ws, "alarms", self.plan.id):
            return
        since = execute.begun_at(self.ws, self.plan, target["since"])
        caused = alarms.firing(alarms.since(self.ws, self.city, stage="prod", moved_at=since))
        if caused:
            msg = f"since version {target['version']} is there: {alarms.summary(caused)}"
            raise Refused(f"{msg}; it was taken back")
        seen = alarms.look(self.ws, self.city, stage="prod")
        text = alarms.summary(seen)
        if alarms.firing(seen):
            log.warning("from before the promotion: %s", text)
        states, quiet = {alarm.name: alarm.state for alarm in seen}, alarms.quiet(seen)
        told = text if quiet else f"not confirmed quiet: {text}"
        self._note("alarms", told, {**target, "quiet": quiet, "states": states})

    def offer(self, target: Params) -> None:
        """Staging serves what production serves: say so, somebody pays for it."""
        staging = target["staging"]
        if endpoints.find(self.ws.clients, staging) is None:
            return
        text = f"{staging} is idle until the next challenger: `bikeshare staging stop`"
        self._note("staging", f"{text}, or `bikeshare staging downsize`", target)

    def incident(self, target: Params) -> None:  # noqa: ARG002 - every action has this shape
        """The folder for whoever asks what happened."""
        incident.write(self.ws, self.city, self.plan)

    def _version(self, target: Params) -> ModelVersion:
        found = versions.find(self.city.registered_model, target["version"])
        if found.digest != target["digest"]:
            msg = f"version {found.version} has digest {found.digest[:12]}, the plan was made for"
            raise Refused(f"{msg} {target['digest'][:12]}; gate and promote again")
        return found

    def _settled(self, endpoint: str) -> EndpointState | None:
        """The endpoint, after whatever was under way when a former run was killed."""
        state = endpoints.find(self.ws.clients, endpoint)
        if state is None or state.status not in endpoints.MOVING:
            return state
        return endpoints.wait_settled(self.ws.clients, endpoint, timeout_s=self._timeout_s)

    def _move_to(self, endpoint: str, config: str) -> None:
        self._settled(endpoint)
        endpoints.restore_config(self.ws.clients, endpoint, config)
        endpoints.wait_in_service(
            self.ws.clients, endpoint, config=config, timeout_s=self._timeout_s
        )

    def _tell_share(
        self, target: Params, state: EndpointState, weights: Mapping[str, float]
    ) -> None:
        plan = f"{self.plan.id} {weights[CANDIDATE]:.0%}"
        if records.has_audit(self.ws, "canary", plan):
            return
        shares = {v.version: weights[v.name] for v in state.variants}
        facts = {**target, "city": self.city.name, "endpoint_config": state.config, "plan": plan}
        why = f"version {target['version']} gets {weights[CANDIDATE]:.0%} of the traffic"
        records.audit(self.ws, "canary", why=why, facts={**facts, "shares": shares})

    def _note(self, kind: str, why: str, facts: Params) -> None:
        if not records.has_audit(self.ws, kind, self.plan.id):
            said = {**facts, "city": self.city.name, "plan": self.plan.id}
            records.audit(self.ws, kind, why=why, facts=said)

    @property
    def _timeout_s(self) -> int:
        return self.ws.settings.serving.timeout_s
