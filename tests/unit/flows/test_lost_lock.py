"""A release whose lock may be another's by now stops where it is."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlops_bikeshare.backends import open_workspace
from mlops_bikeshare.flows import records
from mlops_bikeshare.flows.releasing import execute
from mlops_bikeshare.lake.local_state import LocalState
from mlops_bikeshare.lake.state import LockLostError
from mlops_bikeshare.release import plan as release
from mlops_bikeshare.release.plan import Goal, Params
from mlops_bikeshare.settings import load

NOW = datetime(2025, 6, 1, tzinfo=UTC)


def test_a_release_that_lost_its_lock_takes_no_further_step_and_takes_nothing_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bikeshare.toml").touch()
    ws = open_workspace(load(tmp_path, {}, {}), simulated=True)
    ws.advance(NOW)
    done: list[str] = []

    def lost(state: LocalState, name: str) -> None:  # noqa: ARG001 - as the state has it
        raise LockLostError(name)

    def deploy(target: Params) -> None:  # noqa: ARG001 - every action has this shape
        done.append("deploy")
        monkeypatch.setattr(LocalState, "check_alone", lost)

    goal = Goal(city="boston", endpoint="prod", version="1", digest="d", at=NOW, why="a test")
    plan = release.deploy_plan(goal, now=None, aliases_now={}, initial=False)
    with execute.alone(ws), pytest.raises(LockLostError):
        execute.execute(ws, plan, {"deploy": deploy})  # any other action would be a KeyError

    assert done == ["deploy"]
    assert [entry["state"] for entry in records.journal(ws, plan)] == ["begun"]
    assert not records.audited(ws)
