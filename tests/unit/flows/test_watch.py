"""Watching production goes on where something beside it fails."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.errors import LakeError
from mlops_bikeshare.flows import promote, watch
from mlops_bikeshare.flows.releasing import alarms, vitals
from mlops_bikeshare.monitoring.metrics import point
from mlops_bikeshare.serving import endpoints
from mlops_bikeshare.serving.endpoints import EndpointState
from tests import watched

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("kind", [LakeError, KeyError])
def test_alarms_that_cannot_be_looked_at_keep_no_rollback_from_happening(
    kind: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(ROOT / "bikeshare.toml", tmp_path)
    ws, city = watched.a_day(tmp_path)
    done: list[tuple[str, ...]] = []

    def broken(*_: object, **__: object) -> None:
        raise kind("the metric store does not answer")

    def rolled_back(_ws: object, _city: object, triggers: tuple[str, ...]) -> tuple[None, None]:
        done.append(triggers)
        return None, None

    monkeypatch.setattr(alarms, "look", broken)
    monkeypatch.setattr(promote, "finish_rollback", lambda *_: None)
    monkeypatch.setattr(promote, "in_canary", lambda *_: False)
    monkeypatch.setattr(watch, "_triggers", lambda *_: ("5XX: 9",))
    monkeypatch.setattr(watch, "_rolled_back", rolled_back)

    with pytest.raises(kind, match="does not answer"):
        watch.watch(ws, city)

    assert done == [("5XX: 9",)]


def test_a_heartbeat_that_was_posted_twice_holds_a_share_for_one_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(ROOT / "bikeshare.toml", tmp_path)
    ws, city = watched.a_day(tmp_path)
    since, name = ws.now, "resting"
    of = {"EndpointName": name, "City": city.name}
    ws.advance(since + timedelta(minutes=20))
    beat = point("PredictionHeartbeat", 1, at=since + timedelta(minutes=10), dimensions=of)
    ws.metrics.put([beat, beat])
    state = EndpointState(
        name=name, status="InService", config="c", variants=(), failure_reason=None
    )
    monkeypatch.setattr(Workspace, "clients", None)
    monkeypatch.setattr(endpoints, "describe", lambda *_: state)

    seen = vitals.of_canary(ws, city, {"endpoint": name, "version": "2"}, since=since)

    assert seen.batches == 1
