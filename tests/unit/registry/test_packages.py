"""What SageMaker's registry should say of MLflow's versions."""

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_bikeshare.domain.packages import APPROVED, PENDING, REJECTED, Package
from mlops_bikeshare.registry.packages import LONGEST_WHY, Change, plan, standing
from mlops_bikeshare.registry.versions import ModelVersion

MINE = "main"


def version(number: str, *aliases: str, **tags: str) -> ModelVersion:
    return ModelVersion(
        name="bikeshare-demo",
        version=number,
        run_id="r",
        digest=f"digest-{number}",
        aliases=aliases,
        tags=tags,
    )


def decided(word: str, day: int, why: str = "so", **more: str) -> dict[str, str]:
    at = f"2025-06-{day:02}T00:00:00+00:00"
    tags = {f"{word}_at": at, f"{word}_by": "ann", f"{word}_why": why}
    return tags | {f"{word}_{key}": value for key, value in more.items()}


def package(number: str, status: str, *, arn: str = "", **other: str) -> Package:
    facts = {"mlflow_version": number, "artefact_digest": f"digest-{number}", "workspace": MINE}
    return Package(arn=arn or f"package/{number}", status=status, facts=facts | other)


FAILED = decided("gate", 3, "verdict fail", verdict="fail")
PASSED = decided("gate", 4, "verdict pass", verdict="pass")
PROMOTED = decided("promotion", 5, "gate passed")
BACK = decided("rolled_back", 6, "dockout came too late")


@pytest.mark.parametrize(
    ("aliases", "tags", "status", "said"),
    [
        ((), {}, PENDING, "no gate has judged it yet"),
        (("challenger",), FAILED, REJECTED, "gate by ann at 2025-06-03T00:00:00+00:00"),
        (("challenger",), PASSED, PENDING, "verdict pass"),
        (("champion",), PASSED | PROMOTED, APPROVED, "champion, promotion by ann at 2025-06-05"),
        (("champion",), {}, APPROVED, "champion"),
        (("champion",), decided("deploy", 2, "first champion"), APPROVED, "first champion"),
        (("champion",), PROMOTED | decided("deploy", 9, "for judgement"), APPROVED, "gate passed"),
        (("previous_champion",), PASSED | PROMOTED, PENDING, "in production before, promotion"),
        (("challenger",), PASSED | PROMOTED | BACK, REJECTED, "rolled back by ann"),
        (("champion",), PROMOTED | BACK | decided("rollback", 7), APPROVED, "rollback by ann"),
        ((), BACK | decided("gate", 8, verdict="pass"), PENDING, "gate"),
        ((), decided("gate", 8, verdict="unknown"), PENDING, "gate"),
        (
            (),
            decided("gate", 5, verdict="pass") | PROMOTED | decided("rolled_back", 5),
            REJECTED,
            "",
        ),
        ((), {"retrain_verdict": "REJECT", "retrain_reasons": "[]"}, REJECTED, "a retraining"),
        ((), {"retrain_verdict": "SKIP"}, PENDING, "no gate"),
    ],
)
def test_alias_and_newest_decision_say_the_status_and_who_decided_it_why(
    aliases: Sequence[str], tags: Mapping[str, str], status: str, said: str
) -> None:
    found = standing(version("1", *aliases, **tags))

    assert found.status == status
    assert said in found.why


def test_a_decision_whose_time_nobody_can_read_approves_nothing_and_holds_up_no_other() -> None:
    odd = version("2", "champion", **PROMOTED | {"promotion_at": "yesterday"})
    found = [package("1", APPROVED), package("2", APPROVED)]
    changes = plan([version("1", **BACK), odd], found, workspace=MINE)

    assert [(c.version, c.status) for c in changes] == [("1", REJECTED), ("2", PENDING)]
    assert "tag promotion_at" in changes[1].why


def test_a_long_reason_of_several_lines_is_one_line_that_sagemaker_takes() -> None:
    found = standing(version("1", "champion", **decided("promotion", 5, "a\nb " * 500)))

    assert "\n" not in found.why
    assert len(found.why) == LONGEST_WHY


def test_a_promotion_withdraws_the_old_approval_before_it_gives_the_new_one() -> None:
    versions = [
        version("1", "previous_champion", **PROMOTED),
        version("2", "champion", **decided("promotion", 9)),
        version("3", "challenger"),
    ]
    changes = plan(versions, [package("1", APPROVED), package("2", PENDING)], workspace=MINE)

    assert [(c.version, c.was, c.status) for c in changes] == [
        ("1", APPROVED, PENDING),
        ("3", None, PENDING),
        ("2", PENDING, APPROVED),
    ]


def test_packages_of_somebody_else_are_left_alone() -> None:
    others = [
        Package(arn="pipeline", status=APPROVED, facts={}),
        package("1", APPROVED, arn="theirs", workspace="rehearsal"),
    ]
    assert plan([], others, workspace=MINE) == []


def test_what_mlflow_does_not_know_and_what_was_registered_twice_is_approved_no_longer() -> None:
    found = [
        package("1", APPROVED),
        package("1", PENDING, arn="again"),
        package("2", APPROVED, artefact_digest="other files"),
    ]
    changes = plan([version("1", "champion"), version("2")], found, workspace=MINE)

    assert [(c.arn, c.status) for c in changes] == [
        ("package/2", REJECTED),
        (None, PENDING),
        ("again", REJECTED),
    ]
    assert "registered before" in changes[2].why
    assert "no version 2 with these files" in changes[0].why


def done(packages: list[Package], changes: list[Change], upto: int) -> list[Package]:
    """The registry after the first changes."""
    for change in changes[:upto]:
        if change.arn is None:
            packages = [*packages, package(change.version, change.status)]
        else:
            packages = [
                Package(arn=p.arn, status=change.status, facts=p.facts)
                if p.arn == change.arn
                else p
                for p in packages
            ]
    return packages


STATUSES = st.sampled_from([APPROVED, PENDING, REJECTED])
DECISIONS = st.sampled_from([{}, FAILED, PASSED, PROMOTED, BACK])


@given(
    tags=st.lists(DECISIONS, min_size=1, max_size=5),
    statuses=st.lists(STATUSES, max_size=5),
    data=st.data(),
)
def test_whatever_interrupts_no_other_than_the_champion_gets_approved_and_the_next_call_ends_it(
    tags: list[dict[str, str]], statuses: list[str], data: st.DataObject
) -> None:
    champion = data.draw(st.integers(0, len(tags) - 1))
    versions = [
        version(str(i), *(("champion",) if i == champion else ()), **told)
        for i, told in enumerate(tags)
    ]
    before = [package(str(i), status) for i, status in enumerate(statuses)]
    changes = plan(versions, before, workspace=MINE)
    upto = data.draw(st.integers(0, len(changes)))
    half = done(before, changes, upto)
    was = {p.arn for p in before if p.status == APPROVED}
    new = {p.arn for p in half if p.status == APPROVED} - was

    assert new <= {f"package/{champion}"}
    assert not new or sum(p.status == APPROVED for p in half) == 1
    rest = plan(versions, half, workspace=MINE)
    whole = done(half, rest, len(rest))
    assert plan(versions, whole, workspace=MINE) == []
    assert [p.arn for p in whole if p.status == APPROVED] == [f"package/{champion}"]
