"""Plans: refused without a fresh pass, resumable after any step, undone in reverse."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mlops_bikeshare.domain.errors import InputError, Refused
from mlops_bikeshare.domain.reports import GateCheck, GateReport, Verdict, to_json
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.release import conditions, plan
from mlops_bikeshare.release.plan import Goal, Plan, Standing, Step
from mlops_bikeshare.settings import GateSettings

NOW = datetime(2021, 9, 2, tzinfo=UTC)
DIGEST = "a" * 64
RULES = GateSettings()


def gate_report(verdict: Verdict = "pass") -> GateReport:
    check = GateCheck(name="PSI", value=0.1, relation="<", threshold=0.2, verdict=verdict)
    return GateReport(
        verdict=verdict, city="boston", endpoint="bikeshare-staging", model_version="2",
        artefact_digest=DIGEST, window=Window.before(NOW), judged_at=NOW, checks=(check,),
    )  # fmt: skip


def goal(version: str = "2", digest: str = DIGEST) -> Goal:
    return Goal(
        city="boston", endpoint="bikeshare-prod", version=version, digest=digest, at=NOW, why="so"
    )


def promotion(config_now: str | None = "config-1", **aliases: str) -> Plan:
    now = Standing(config=config_now, weights={"AllTraffic": 1.0}) if config_now else None
    return plan.promotion_plan(
        goal(), staging="bikeshare-staging", now=now,
        aliases_now=aliases or {"champion": "1", "challenger": "2"},
    )  # fmt: skip


def canary() -> Plan:
    return plan.canary_plan(
        goal(), staging="bikeshare-staging", models={"Baseline": "m1", "Candidate": "m2"},
        now=Standing(config="config-1", weights={"AllTraffic": 1.0}),
        aliases_now={"champion": "1", "challenger": "2"}, hold_batches=3,
    )  # fmt: skip


FORMER = Standing(config="config-1", weights={"AllTraffic": 1.0})


def rollback(to: Standing | None = FORMER, came_before: str | None = None, **aliases: str) -> Plan:
    return plan.rollback_plan(
        goal("1", "b" * 64), to=to, leaving="2", came_before=came_before,
        now=Standing(config="config-2", weights={"Candidate": 1.0, "Baseline": 0.0}),
        aliases_now=aliases or {"champion": "2", "previous_champion": "1"},
    )  # fmt: skip


def aliases_of(step: Step | None) -> dict[str, Any]:
    assert step is not None
    found: dict[str, Any] = step.params["aliases"]
    return found


def step(of: Plan, name: str) -> Step:
    return next(step for step in of.steps if step.name == name)


def test_a_fresh_pass_of_this_artefact_lets_through() -> None:
    for age in (timedelta(0), timedelta(minutes=60)):
        assert conditions.check_fresh(gate_report(), DIGEST, NOW + age, RULES) == gate_report()


@pytest.mark.parametrize(
    ("report", "digest", "age", "reason"),
    [
        (None, DIGEST, 0, "no gate report"),
        (gate_report("fail"), DIGEST, 0, "is fail: PSI fail"),
        (gate_report("unknown"), DIGEST, 0, "is unknown: PSI unknown"),
        (gate_report(), "b" * 64, 0, "judged artefact aaaaaaaaaaaa, not bbbbbbbbbbbb"),
        (gate_report(), DIGEST, 61, "holds for 60 min"),
        (gate_report(), DIGEST, -1, "holds for 60 min"),
    ],
)
def test_anything_else_is_refused_with_its_reason(
    report: GateReport | None, digest: str, age: int, reason: str
) -> None:
    with pytest.raises(Refused, match=reason):
        conditions.check_fresh(report, digest, NOW + timedelta(minutes=age), RULES)


def test_promotion_moves_aliases_only_when_verified_and_quiet_and_ends_in_the_audit() -> None:
    names = [step.name for step in promotion().steps]
    before, after = ["check_gate", "deploy"], ["dashboard", "offer"]
    assert names == [*before, "verify", "alarms", "aliases", "audit", *after]


def test_promotion_aliases_and_their_undo() -> None:
    moved = step(promotion(), "aliases")
    assert aliases_of(moved) == {"champion": "2", "previous_champion": "1", "challenger": None}
    assert aliases_of(moved.undo) == {
        "champion": "1", "previous_champion": None, "challenger": "2",
    }  # fmt: skip


def test_promoting_the_champion_again_keeps_the_way_back() -> None:
    again = promotion(champion="2", previous_champion="1")
    assert aliases_of(step(again, "aliases"))["previous_champion"] == "1"


def test_a_first_deployment_is_undone_by_deleting_the_endpoint() -> None:
    deploy = step(promotion(None, challenger="2"), "deploy")
    assert deploy.undo is not None
    assert deploy.undo.name == "delete_endpoint"


def test_a_rollback_takes_back_what_the_promotion_did() -> None:
    back = rollback()
    names = ["restore_config", "verify", "aliases", "audit", "incident"]
    assert [s.name for s in back.steps] == names
    assert step(back, "restore_config").params["config"] == "config-1"
    assert aliases_of(step(back, "aliases")) == {
        "champion": "1", "previous_champion": None, "challenger": "2",
    }  # fmt: skip


def test_a_rollback_to_the_champion_leaves_aliases_alone() -> None:
    same = rollback(champion="1", challenger="2")
    assert aliases_of(step(same, "aliases")) == {
        "champion": "1", "previous_champion": None, "challenger": "2",
    }  # fmt: skip


def test_a_canary_takes_each_share_only_after_the_one_before_was_held() -> None:
    names = [s.name for s in canary().steps]
    shares = [f"{what} {share} %" for share in (10, 50, 100) for what in ("weigh", "hold")]
    assert names[:9] == ["check_gate", "split", "probe", *shares]
    assert names[9:] == [s.name for s in promotion().steps[2:]]
    since = [step(of, "alarms").params["since"] for of in (promotion(), canary())]
    assert since == ["deploy", "split"]
    assert step(canary(), "weigh 10 %").params["weights"] == {"Baseline": 0.9, "Candidate": 0.1}
    assert step(canary(), "weigh 100 %").params["weights"] == {"Baseline": 0.0, "Candidate": 1.0}


def test_a_canary_is_taken_back_to_the_config_and_the_weights_from_before() -> None:
    of = canary()
    journal = [plan.record(of, s, "done") for s in of.steps[:5]]
    journal.append(plan.record(of, of.steps[5], "failed", error="5xx"))
    (undone,) = plan.steps_to_undo(of, journal)
    assert undone.undo is not None
    assert undone.undo.params == {
        "endpoint": "bikeshare-prod", "config": "config-1", "weights": {"AllTraffic": 1.0},
    }  # fmt: skip
    assert plan.given_up(of, journal)


def test_a_version_that_is_still_beside_the_other_comes_back_by_weights() -> None:
    beside = Standing(config="config-2", weights={"Baseline": 1.0, "Candidate": 0.0})
    first = rollback(to=beside).steps[0]
    assert (first.name, first.params["weights"]) == ("weigh", beside.weights)
    assert first.undo is not None
    assert first.undo.params["weights"] == {"Candidate": 1.0, "Baseline": 0.0}


def test_a_version_whose_config_is_gone_is_deployed_anew() -> None:
    assert rollback(to=None).steps[0].name == "deploy"


def test_a_rollback_knows_the_champion_before_and_leaves_a_newer_challenger_alone() -> None:
    back = rollback(came_before="0", champion="2", previous_champion="1", challenger="3")
    assert aliases_of(step(back, "aliases")) == {
        "champion": "1", "previous_champion": "0", "challenger": "3",
    }  # fmt: skip


def test_a_plan_stands_once_it_is_in_the_audit() -> None:
    of = promotion()
    journal = [plan.record(of, s, "done") for s in of.steps[:5]]
    assert not plan.stands(of, journal)
    journal.append(plan.record(of, of.steps[5], "done"))
    assert plan.stands(of, journal)


def test_a_clock_before_the_last_decision_is_refused() -> None:
    conditions.check_clock(NOW, None)
    conditions.check_clock(NOW, NOW + timedelta(seconds=30))
    with pytest.raises(Refused, match="set the clock right"):
        conditions.check_clock(NOW, NOW + timedelta(minutes=2))


def test_a_champion_that_production_does_not_serve_was_moved_by_hand() -> None:
    conditions.check_champion("1", "1", "bikeshare-prod")
    conditions.check_champion(None, None, "bikeshare-prod")
    with pytest.raises(Refused, match="moved by hand"):
        conditions.check_champion("1", "3", "bikeshare-prod")


@pytest.mark.parametrize(
    "of", [promotion(), canary(), rollback()], ids=["promotion", "canary", "rollback"]
)
def test_after_a_kill_at_any_point_the_plan_goes_on_where_it_was(of: Plan) -> None:
    journal: list[dict[str, Any]] = []
    for expected in of.steps:
        assert plan.next_step(of, journal) == expected
        journal.append(plan.record(of, expected, "begun"))
        assert plan.next_step(of, journal) == expected
        journal.append(plan.record(of, expected, "done", config="config-9"))
    assert plan.next_step(of, journal) is None


def test_undo_goes_backwards_over_what_was_begun_and_is_resumable_too() -> None:
    of = promotion()
    journal = [plan.record(of, s, "done") for s in of.steps[:4]]
    journal.append(plan.record(of, of.steps[4], "begun"))
    assert [s.name for s in plan.steps_to_undo(of, journal)] == ["aliases", "deploy"]
    journal.append(plan.record(of, of.steps[4], "undone"))
    assert [s.name for s in plan.steps_to_undo(of, journal)] == ["deploy"]
    with pytest.raises(Refused, match="taken back"):
        plan.next_step(of, journal)


def test_a_plan_comes_back_from_json() -> None:
    for of in (promotion(), canary(), rollback()):
        assert plan.plan_from_json(json.loads(json.dumps(to_json(of)))) == of


def test_nothing_begun_is_nothing_to_undo() -> None:
    assert plan.steps_to_undo(promotion(), []) == []


def test_a_journal_of_another_plan_is_refused() -> None:
    other = replace(promotion(), id="promote-other")
    with pytest.raises(InputError, match="promote-other"):
        plan.next_step(promotion(), [plan.record(other, other.steps[0], "done")])
