"""A watch that is kept for a while, and what a release is expected to be."""

import dataclasses
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlops_bikeshare.cli import main, operation
from mlops_bikeshare.domain.errors import Refused
from mlops_bikeshare.flows import promote, records, watch
from mlops_bikeshare.flows.releasing import expected
from mlops_bikeshare.flows.releasing.expected import Expected
from mlops_bikeshare.flows.watch import Watched
from mlops_bikeshare.registry import versions
from mlops_bikeshare.release.plan import Goal, promotion_plan, record
from tests import watched

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def world(tmp_path: Path) -> Any:
    shutil.copy(ROOT / "bikeshare.toml", tmp_path)
    return watched.a_day(tmp_path)


def quiet(ws: Any, *, kind: str | None = None) -> Watched:
    moved = (
        promote.Moved(
            kind=kind,
            endpoint="bikeshare-prod",
            from_version="2",
            to_version="1",
            artefact_digest="d",
            endpoint_config="c",
            seconds=1.0,
        )
        if kind
        else None
    )
    return Watched(at=ws.now, alarms=(), triggers=(), canary=None, moved=moved)


def kept(world: Any, monkeypatch: pytest.MonkeyPatch, seen: list[Watched]) -> tuple[Watched, Any]:
    ws, city = world
    told: list[Watched] = []
    pauses: list[float] = []
    looks = iter(seen)
    monkeypatch.setattr(watch, "watch", lambda *_: next(looks))
    last = watch.keep(ws, city, minutes=30, pause=pauses.append, told=told.append)
    return last, (told, pauses)


def test_a_watch_is_kept_to_its_end_while_nothing_happens(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws, _ = world

    last, (told, pauses) = kept(world, monkeypatch, [quiet(ws)] * 3)

    assert (len(told), pauses) == (3, [600.0, 600.0])
    assert not watch.taken_back(last)


def test_a_canary_that_lands_goes_on_being_watched(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws, _ = world

    _, (told, _) = kept(world, monkeypatch, [quiet(ws, kind="promotion"), quiet(ws), quiet(ws)])

    assert len(told) == 3


def test_a_rollback_ends_the_watch_and_is_its_outcome(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws, _ = world

    last, (told, _) = kept(world, monkeypatch, [quiet(ws), quiet(ws, kind="rollback")])

    assert len(told) == 2
    assert watch.taken_back(last)


def test_a_canary_that_has_not_landed_when_the_watch_ends_is_no_success(
    world: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ws, _ = world
    rests = promote.Holding(
        endpoint="bikeshare-prod", version="2", shares={"2": 1.0}, waits_for="4 more batches"
    )
    looks = iter([dataclasses.replace(quiet(ws), canary=rests)] * 2)
    monkeypatch.setattr(watch, "watch", lambda *_: next(looks))
    monkeypatch.setattr(operation, "opened", lambda _: world)

    for minutes, code in ((None, 0), ("10", 1)):
        asked = [] if minutes is None else ["--minutes", minutes]
        assert main(["watch", *asked]) == code
        assert "4 more batches" in capsys.readouterr().out


def test_another_endpoint_than_the_one_approved_is_refused(world: Any) -> None:
    ws, city = world

    with pytest.raises(Refused, match="prod is bikeshare-prod, not bikeshare-paris-prod"):
        expected.check(ws, city, Expected(prod="bikeshare-paris-prod"))


def test_another_version_than_the_one_approved_is_refused(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws, city = world
    monkeypatch.setattr(versions, "find_if_any", lambda *_: None)

    with pytest.raises(Refused, match="challenger is version none, not 7"):
        expected.check(
            ws, city, Expected(version="7", staging="bikeshare-staging", prod="bikeshare-prod")
        )


def test_a_challenger_that_came_meanwhile_does_not_pass_under_the_champions_number(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws, city = world
    aliases = {versions.CHAMPION: version("7"), versions.CHALLENGER: version("8")}
    monkeypatch.setattr(versions, "find_if_any", lambda _, alias: aliases.get(alias))

    expected.check(ws, city, Expected(version="8"))
    with pytest.raises(Refused, match="the challenger is version 8, not 7"):
        expected.check(ws, city, Expected(version="7"))


def test_a_promotion_under_way_is_what_goes_on_whoever_is_challenger_by_now(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws, city = world
    monkeypatch.setattr(versions, "find_if_any", lambda *_: version("8"))
    goal = Goal(
        city=city.name, endpoint="bikeshare-prod", version="7", digest="d", at=ws.now, why="passed"
    )
    plan = promotion_plan(goal, staging="bikeshare-staging", now=None, aliases_now={})
    records.keep_plan(ws, plan)
    records.note(ws, record(plan, plan.steps[0], "begun", at=ws.now))

    expected.check(ws, city, Expected(version="7"))
    with pytest.raises(Refused, match="the promotion under way is version 7, not 8"):
        expected.check(ws, city, Expected(version="8"))


def test_a_plan_of_another_version_than_the_one_approved_is_refused(world: Any) -> None:
    ws, city = world
    goal = Goal(city=city.name, endpoint="prod", version="8", digest="d", at=ws.now, why="passed")
    plan = promotion_plan(goal, staging="staging", now=None, aliases_now={})

    expected.check_plan(plan, Expected(version="8"))
    expected.check_plan(plan, expected.ANYTHING)
    with pytest.raises(Refused, match="challenger became version 8 just now, not 7"):
        expected.check_plan(plan, Expected(version="7"))


def version(number: str) -> SimpleNamespace:
    return SimpleNamespace(version=number)
