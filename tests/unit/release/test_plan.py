"""Plans: refused without a fresh pass, resumable after any step, undone in reverse."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mlops_bikeshare.domain.errors import InputError, Refused
from mlops_bikeshare.domain.reports import GateCheck, GateReport, Verdict
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.release import plan
from mlops_bikeshare.release.plan import Plan, Step
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


def promotion(config_now: str | None = "config-1", **aliases: str) -> Plan:
    return plan.promotion_plan(
        endpoint="bikeshare-prod", version="2", artefact_digest=DIGEST, config_now=config_now,
        aliases_now=aliases or {"champion": "1", "challenger": "2"}, at=NOW,
    )  # fmt: skip


def rollback(**aliases: str) -> Plan:
    return plan.rollback_plan(
        endpoint="bikeshare-prod", version="1", artefact_digest="b" * 64, config="config-1",
        config_now="config-2", aliases_now=aliases or {"champion": "2", "previous_champion": "1"},
        at=NOW,
    )  # fmt: skip


def aliases_of(step: Step | None) -> dict[str, Any]:
    assert step is not None
    found: dict[str, Any] = step.params["aliases"]
    return found


def step(of: Plan, name: str) -> Step:
    return next(step for step in of.steps if step.name == name)


def test_a_fresh_pass_of_this_artefact_lets_through() -> None:
    for age in (timedelta(0), timedelta(minutes=60)):
        assert plan.check_fresh(gate_report(), DIGEST, NOW + age, RULES) == gate_report()


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
        plan.check_fresh(report, digest, NOW + timedelta(minutes=age), RULES)


def test_promotion_moves_aliases_only_after_verification_and_ends_in_the_audit() -> None:
    names = [step.name for step in promotion().steps]
    assert names == ["check_gate", "deploy", "verify", "aliases", "audit"]


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
    assert [s.name for s in back.steps] == ["restore_config", "verify", "aliases", "audit"]
    assert step(back, "restore_config").params["config"] == "config-1"
    assert aliases_of(step(back, "aliases")) == {
        "champion": "1", "previous_champion": None, "challenger": "2",
    }  # fmt: skip


def test_a_rollback_to_the_champion_leaves_aliases_alone() -> None:
    same = rollback(champion="1", challenger="2")
    assert aliases_of(step(same, "aliases")) == {
        "champion": "1", "previous_champion": None, "challenger": "2",
    }  # fmt: skip


@pytest.mark.parametrize("of", [promotion(), rollback()], ids=lambda of: of.kind)
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
    journal = [plan.record(of, s, "done") for s in of.steps[:3]]
    journal.append(plan.record(of, of.steps[3], "begun"))
    assert [s.name for s in plan.steps_to_undo(of, journal)] == ["aliases", "deploy"]
    journal.append(plan.record(of, of.steps[3], "undone"))
    assert [s.name for s in plan.steps_to_undo(of, journal)] == ["deploy"]
    with pytest.raises(Refused, match="taken back"):
        plan.next_step(of, journal)


def test_nothing_begun_is_nothing_to_undo() -> None:
    assert plan.steps_to_undo(promotion(), []) == []


def test_a_journal_of_another_plan_is_refused() -> None:
    other = replace(promotion(), id="promote-other")
    with pytest.raises(InputError, match="promote-other"):
        plan.next_step(promotion(), [plan.record(other, other.steps[0], "done")])
