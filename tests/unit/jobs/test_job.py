"""What an event may ask for, and what a wrong clock does to it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.clock import SimulatedClock
from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.jobs.job import Asked, asked
from mlops_bikeshare.jobs.work import SKEW_S, work
from mlops_bikeshare.settings import load

ROOT = Path(__file__).resolve().parents[3]
NOW = datetime(2025, 6, 2, 12, 9, 50, tzinfo=UTC)


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    (tmp_path / "bikeshare.toml").write_text((ROOT / "bikeshare.toml").read_text())
    return Workspace(load(tmp_path, {}, {}), SimulatedClock(NOW))


def test_an_event_names_job_city_and_time() -> None:
    event = {"job": "infer", "city": "nyc", "time": "2025-06-02T12:10:00Z"}

    assert asked(event, {}) == Asked(
        job="infer", city="nyc", at=datetime(2025, 6, 2, 12, 10, tzinfo=UTC)
    )


def test_what_an_event_leaves_out_the_environment_says() -> None:
    environ = {"BIKESHARE_JOB": "drift", "BIKESHARE_CITY": "paris"}

    assert asked({}, environ) == Asked(job="drift", city="paris", at=None)


@pytest.mark.parametrize(
    ("event", "complaint"),
    [
        ({}, "job: expected one of ingest, infer, monitor, drift, compact, got None"),
        ({"job": "bake"}, "got 'bake'; name it in the event or in BIKESHARE_JOB"),
        ({"job": "infer", "city": 3}, "expected text, got 3"),
        ({"job": "infer", "time": "noon"}, "time"),
    ],
)
def test_a_wrong_event_is_told_what_may_stand_there(event: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        asked(event, {})


def test_an_event_a_little_ahead_of_the_clock_is_waited_for(ws: Workspace) -> None:
    waited: list[float] = []
    clock = ws.clock
    assert isinstance(clock, SimulatedClock)

    def pause(seconds: float) -> None:
        waited.append(seconds)
        clock.set(NOW + timedelta(seconds=seconds))

    at = NOW + timedelta(seconds=10)
    with pytest.raises(Exception, match="no endpoint host runs"):
        work(ws, Asked(job="infer", city="boston", at=at), pause=pause)
    assert waited == [10.0]


def test_an_event_far_ahead_of_the_clock_does_nothing(ws: Workspace) -> None:
    at = NOW + timedelta(seconds=SKEW_S + 1)
    with pytest.raises(InputError, match="this machine's clock says 2025-06-02 12:09:50"):
        work(ws, Asked(job="infer", city="boston", at=at), pause=lambda _: None)


def test_while_one_delivery_works_another_is_told_so(ws: Workspace) -> None:
    with ws.state.alone("jobs/compact-boston"):
        done = work(ws, Asked(job="compact", city="boston", at=None), pause=lambda _: None)

    assert done["outcome"] == "busy"
