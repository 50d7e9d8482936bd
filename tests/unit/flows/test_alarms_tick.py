"""Alarms at every tick: told once, kept, and never in the way of judging."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import LakeError
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows import alarms, notify
from mlops_bikeshare.flows.judging import reference
from mlops_bikeshare.flows.process import remembered
from mlops_bikeshare.lake.state import LockLostError
from mlops_bikeshare.monitoring.metrics import MODEL
from mlops_bikeshare.monitoring.notify import Bounded, Message
from mlops_bikeshare.serving import endpoints
from mlops_bikeshare.serving.endpoints import EndpointState
from tests import watched

ROOT = Path(__file__).resolve().parents[3]
PROD = "bikeshare-prod"
TEN = timedelta(minutes=10)
Watched = tuple[Workspace, City]


class Told:
    """A channel that keeps what it was sent, or fails while `why` is set."""

    name = key = "told"

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.why: str | None = None

    def send(self, message: Message) -> str | None:
        if self.why is None:
            self.lines += message.body.splitlines()
        return self.why

    def take(self) -> list[str]:
        """What came since the last look: kind and alarm."""
        taken, self.lines = self.lines, []
        return [line.partition(": ")[0] for line in taken]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "bikeshare.toml", tmp_path)
    return tmp_path


@pytest.fixture
def channel() -> Told:
    return Told()


Open = Callable[..., Watched]


@pytest.fixture
def day(home: Path, channel: Told) -> Open:
    """A quiet day; the news of its deploys is told already, and that no host runs."""

    def open_(**flags: object) -> Watched:
        ws, city = watched.a_day(home, **flags)
        ws.__dict__["channels"] = [Bounded(channel, timeout_s=5)]
        return ws, city

    return open_


def live(ws: Workspace, city: City, minutes: int, **changed: float) -> None:
    """Polls, batches and ticks for some time; `changed` as for `watched.batch`."""
    polls = Window(ws.now, ws.now + timedelta(minutes=minutes)).steps(step_s=300)
    ws.metrics.put([p for at in polls for p in watched.poll(at)])
    until = ws.now + timedelta(minutes=minutes)
    while ws.now < until:
        ws.metrics.put(watched.batch(PROD, ws.now, **changed))
        ws.advance(ws.now + TEN)
        alarms.tick(ws, city, at=ws.now)


def test_an_alarm_is_told_once_and_so_is_its_end(day: Open, channel: Told) -> None:
    ws, city = day()
    live(ws, city, 20)
    channel.take()

    live(ws, city, 60, Invocation5XXErrors=1.0)
    name = f"{PROD}-errors-5xx-critical"
    taken = channel.take()
    assert taken.count(f"ALARM {name}") == 1
    assert alarms.read(ws)[name]["state"] == "ALARM"
    since = datetime.fromisoformat(alarms.read(ws)[name]["since"])
    assert since == ws.now - timedelta(minutes=50)

    live(ws, city, 60)
    assert f"OK {name}" in channel.take()
    live(ws, city, 20)
    assert channel.take() == []


def test_what_was_told_survives_a_restart(day: Open, channel: Told, home: Path) -> None:
    ws, city = day()
    live(ws, city, 20, Invocation5XXErrors=1.0)
    assert f"ALARM {PROD}-errors-5xx-critical" in channel.take()

    again, _ = watched.empty(home)
    again.__dict__["channels"] = [Bounded(channel, timeout_s=5)]
    live(again, city, 20, Invocation5XXErrors=1.0)

    assert channel.take() == []


def test_a_channel_that_was_down_is_told_when_it_is_back(day: Open, channel: Told) -> None:
    ws, city = day()
    live(ws, city, 10)
    channel.take()
    channel.why = "no answer"
    live(ws, city, 40, Invocation5XXErrors=1.0)
    of = {"City": "boston"}
    counted = ws.metrics.series(
        MODEL, "NotificationFailures", of,
        window=Window(watched.AT, ws.now + TEN), statistic="Sum", period_s=600,
    )  # fmt: skip
    assert len(counted) >= 3

    channel.why = None
    live(ws, city, 10, Invocation5XXErrors=1.0)
    taken = channel.take()
    assert f"ALARM {PROD}-errors-5xx-critical" in taken
    assert f"ALARM {PROD}-notifications-warn" in taken


def test_quiet_hours_let_through_only_what_is_critical(day: Open, channel: Told) -> None:
    # AT is 08:00 in Boston.
    flags = {"notify.quiet_from": "06:00", "notify.quiet_to": "09:00"}
    ws, city = day(**flags)
    live(ws, city, 30, BatchSuccessRate=0.5, Invocation5XXErrors=1.0)
    taken = channel.take()
    assert f"ALARM {PROD}-errors-5xx-critical" in taken
    assert not any("warn" in name or "deployed" in name for name in taken)

    live(ws, city, 40, BatchSuccessRate=0.5)
    assert f"ALARM {PROD}-success-rate-warn" in channel.take()


def test_releases_are_news_once(day: Open, channel: Told) -> None:
    ws, city = day()
    watched.serve(ws, PROD, "2", kind="promotion")

    notify.tell(ws, city)
    assert channel.take() == ["promoted"]
    notify.tell(ws, city)
    assert channel.take() == []


def test_while_another_process_tells_what_is_due_is_not_left_to_it(
    day: Open, channel: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws, city = day()
    watched.serve(ws, PROD, "2", kind="promotion")
    other = ws.state.alone(notify.LOCK)
    assert other.__enter__()
    monkeypatch.setattr("time.sleep", lambda _: other.__exit__(None, None, None))

    notify.tell(ws, city)

    assert channel.take() == ["promoted"]


def test_who_lost_the_lock_tells_no_further_and_forgets_nothing_of_the_others(
    day: Open, channel: Told, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ws, city = day()
    watched.serve(ws, PROD, "2", kind="promotion")

    def lost(name: str) -> None:
        raise LockLostError(f"{name} may be another's")

    monkeypatch.setattr(ws.state, "check_alone", lost)
    assert notify.tell(ws, city) == []

    assert channel.take() == []
    assert ws.state.read(notify.FILE) is None
    assert "notified.lock may be another's" in caplog.text


def test_a_host_that_is_gone_is_an_alarm_and_silences_none(day: Open, channel: Told) -> None:
    ws, city = day()
    live(ws, city, 20, Invocation5XXErrors=1.0)  # no host runs in this workspace

    taken = channel.take()
    assert f"ALARM {PROD}-host-down-critical" in taken
    assert f"ALARM {PROD}-errors-5xx-critical" in taken


def test_below_its_own_level_is_measured_against_the_gate_s_pass(day: Open, channel: Told) -> None:
    ws, city = day()
    live(ws, city, 80, PR=0.79)

    assert f"ALARM {PROD}-pr-auc-warn" in channel.take()
    assert alarms.read(ws)[f"{PROD}-pr-auc-warn"]["value"] == pytest.approx(0.12)
    assert alarms.read(ws)[f"{PROD}-pr-auc-critical"]["state"] == "OK"


def test_silence_before_the_first_deploy_is_no_alarm(home: Path) -> None:
    ws, city = watched.empty(home)
    ws.advance(watched.AT)
    assert alarms.tick(ws, city, at=ws.now).alarms == ()
    assert alarms.exit_code(alarms.now(ws, city)) == 3

    watched.serve(ws, PROD, "1")
    ws.advance(ws.now + TEN)
    silent = {s.name: s.state for s in alarms.tick(ws, city, at=ws.now).alarms}
    assert silent[f"{PROD}-heartbeat-critical"] == "INSUFFICIENT_DATA"
    ws.advance(ws.now + 3 * TEN)
    silent = {s.name: s.state for s in alarms.tick(ws, city, at=ws.now).alarms}
    assert silent[f"{PROD}-heartbeat-critical"] == "ALARM"
    assert alarms.exit_code(alarms.now(ws, city)) == 1


def broken_catalogue(ws: Workspace) -> Path:
    path = ws.settings.root / "ops" / "alarms.toml"
    path.parent.mkdir()
    path.write_text("[[alarm]]\nname = 1\n")
    return path


def broken_metrics(ws: Workspace) -> Path:
    ws.__dict__.pop("metrics", None)
    path = ws.path / "metrics.db"
    path.with_suffix(".aside").write_bytes(path.read_bytes())
    path.write_bytes(b"no database, and long enough to be one" * 100)
    return path


def broken_audit(ws: Workspace) -> Path:
    path = ws.path / "audit.jsonl"
    path.with_suffix(".aside").write_bytes(path.read_bytes())
    path.write_text(path.read_text().replace("verdict pass", "verdict fail", 1))
    return path


@pytest.mark.parametrize("broken", [broken_catalogue, broken_metrics, broken_audit])
def test_alarms_that_nobody_can_look_at_are_an_alarm_and_stop_no_judgement(
    day: Open, channel: Told, broken: Callable[[Workspace], Path]
) -> None:
    ws, city = day()
    live(ws, city, 10)
    channel.take()
    ws.metrics.close()  # type: ignore[attr-defined]
    path = broken(ws)

    looked = [alarms.tick(ws, city, at=ws.now) for _ in range(2)]

    assert all(one.alarms == () and one.unseen for one in looked)
    name = f"{PROD}-{alarms.UNSEEN}-critical"
    assert channel.take() == [f"ALARM {name}"]
    path.unlink()
    aside = path.with_suffix(".aside")
    if aside.exists():
        aside.rename(path)
    ws.__dict__.pop("metrics", None)
    assert alarms.tick(ws, city, at=ws.now).unseen is None
    assert f"OK {name}" in channel.take()


def test_ticks_of_two_cities_at_once_lose_nothing_of_each_other(day: Open) -> None:
    ws, _ = day()

    def keep(number: int) -> None:
        for _ in range(20):
            with remembered.changing(ws, alarms.FILE) as kept:
                kept[f"alarm-{number}"] = {
                    "count": kept.get(f"alarm-{number}", {}).get("count", 0) + 1
                }

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(keep, range(4)))

    assert {n: one["count"] for n, one in alarms.read(ws).items() if "alarm-" in n} == {
        f"alarm-{number}": 20 for number in range(4)
    }


def test_what_another_process_keeps_changing_is_not_changed_beside_it(
    day: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws, _ = day()
    monkeypatch.setattr("time.sleep", lambda _: None)

    with (
        ws.state.alone("alarms.lock"),
        pytest.raises(LakeError, match="being changed by another process"),
        remembered.changing(ws, alarms.FILE),
    ):
        pytest.fail("two change it at once")


def test_what_cannot_be_kept_or_compared_is_told_all_the_same(
    day: Open, channel: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    ws, city = day()
    monkeypatch.setattr(alarms, "_keep", broken)
    monkeypatch.setattr(reference, "points", broken)
    live(ws, city, 20, Invocation5XXErrors=1.0)

    taken = channel.take()
    assert f"ALARM {PROD}-errors-5xx-critical" in taken
    assert f"ALARM {PROD}-host-down-critical" in taken


@pytest.mark.parametrize(
    ("status", "is_up"),
    [("Updating", 1.0), ("RollingBack", 1.0), ("Creating", 0.0), ("Failed", 0.0)],
)
def test_an_endpoint_that_is_being_updated_still_answers(
    day: Open, monkeypatch: pytest.MonkeyPatch, status: str, is_up: float
) -> None:
    ws, city = day()
    state = EndpointState(name=PROD, status=status, config="c", variants=(), failure_reason=None)
    monkeypatch.setattr(endpoints, "find", lambda *_: state)
    monkeypatch.setattr(Workspace, "clients", None)

    alarms.tick(ws, city, at=ws.now)

    of = {"EndpointName": PROD, "City": "boston"}
    found = ws.metrics.latest(MODEL, "EndpointUp", of, before=ws.now, within_s=60)
    assert found is not None
    assert found[1] == is_up


def test_files_that_a_crash_emptied_are_begun_anew(day: Open, channel: Told) -> None:
    ws, city = day()
    live(ws, city, 20, Invocation5XXErrors=1.0)
    channel.take()
    for name in (alarms.FILE, notify.FILE):
        (ws.path / name).write_text("")

    live(ws, city, 10, Invocation5XXErrors=1.0)

    name = f"{PROD}-errors-5xx-critical"
    assert channel.take().count(f"ALARM {name}") == 1
    assert alarms.read(ws)[name]["state"] == "ALARM"
    assert not list(ws.path.glob("*.tmp"))
