"""State keeps the same promises on this machine's disk and on S3."""

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.clock import RealClock
from mlops_bikeshare.domain.errors import LakeError, TableError
from mlops_bikeshare.flows import records
from mlops_bikeshare.lake import s3, s3_state
from mlops_bikeshare.lake.local_state import LocalState
from mlops_bikeshare.lake.s3_state import S3State
from mlops_bikeshare.lake.state import LineTakenError, LockLostError, State
from mlops_bikeshare.settings import load
from tests.aws_wire import aws_on_the_wire

BUCKET = "bikeshare-lake"


@pytest.fixture(scope="module")
def asked() -> Iterator[Any]:
    with aws_on_the_wire() as wire:
        client = s3.client("us-east-1", url=wire.url)
        client.create_bucket(Bucket=BUCKET)
        yield client
        client.close()


def on_s3(client: Any, folder: str) -> S3State:
    return S3State(s3.S3Store(client, bucket=BUCKET, folder=folder))


@pytest.fixture(params=["local", "s3"])
def state(request: pytest.FixtureRequest, tmp_path: Path) -> State:
    if request.param == "local":
        return LocalState(tmp_path / "var")
    return on_s3(request.getfixturevalue("asked"), uuid.uuid4().hex)


def test_a_document_is_read_as_it_was_last_replaced(state: State) -> None:
    assert state.read("gate/a.json") is None
    for body in (b"one", b"two"):
        state.replace("gate/a.json", body)

    assert state.read("gate/a.json") == b"two"
    assert state.names("gate") == ["a.json"]
    assert state.names("nothing") == []


def test_threads_of_one_process_may_replace_a_document_at_once(tmp_path: Path) -> None:
    state = LocalState(tmp_path)
    together = threading.Barrier(4)

    def replace(name: bytes) -> None:
        together.wait()
        for _ in range(100):
            state.replace("workspace.json", name * 4096)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(replace, (b"a", b"b", b"c", b"d")))

    body = state.read("workspace.json")
    assert body is not None
    assert (len(body), len(set(body))) == (4096, 1)
    assert state.names(".") == ["workspace.json"]


def test_what_is_added_comes_back_in_the_order_of_coming_and_is_kept_for_good(state: State) -> None:
    for name in ("z.plan.json", "a.plan.json"):
        assert state.add("journal", name, name.encode())
    state.replace("journal/other.json", b"")

    assert not state.add("journal", "a.plan.json", b"changed")
    assert list(state.added("journal", ".plan.json").items()) == [
        ("z.plan.json", b"z.plan.json"),
        ("a.plan.json", b"a.plan.json"),
    ]


def test_a_log_grows_line_by_line(state: State) -> None:
    for line in ("one", "zwei: ä\u2028"):
        with state.appending("audit.jsonl") as log:
            log.append(line)

    assert state.lines("audit.jsonl").whole == ["one", "zwei: ä\u2028"]
    assert state.lines("none.jsonl").whole == []


def test_a_lock_is_held_by_one_at_a_time_and_free_again_after(state: State) -> None:
    with (
        state.alone("release.lock") as first,
        state.alone("release.lock") as second,
        state.alone("other.lock") as other,
    ):
        assert (first, second, other) == (True, False, True)
    with state.alone("release.lock") as again:
        assert again


def test_a_lock_is_free_after_an_error_too(state: State) -> None:
    with pytest.raises(ZeroDivisionError), state.alone("release.lock"):
        _ = 1 / 0
    with state.alone("release.lock") as again:
        assert again


def test_of_two_writers_of_a_line_the_later_is_told_and_nothing_is_lost(asked: Any) -> None:
    folder = uuid.uuid4().hex
    one, other = on_s3(asked, folder), on_s3(asked, folder)
    with one.appending("audit.jsonl") as slow, other.appending("audit.jsonl") as fast:
        fast.append("fast")
        with pytest.raises(LineTakenError, match="another process wrote line 1"):
            slow.append("slow")

    assert one.lines("audit.jsonl").whole == ["fast"]


def test_of_many_that_want_a_lock_on_s3_at_most_one_holds_it(asked: Any) -> None:
    folder, together = uuid.uuid4().hex, threading.Barrier(6)

    def tried(_: int) -> bool:
        together.wait()
        with on_s3(asked, folder).alone("release.lock") as free:
            together.wait()
            return free

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(tried, range(6))) <= 1


def test_a_holder_that_is_silent_for_long_by_the_clock_of_s3_loses_its_lock(
    asked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = uuid.uuid4().hex
    killed = on_s3(asked, folder).alone("release.lock")
    assert killed.__enter__()  # and is never left
    heir = on_s3(asked, folder)
    with heir.alone("release.lock") as sooner:
        assert not sooner

    changed = s3.S3Store.changed
    late = timedelta(seconds=s3_state.SILENT_S + 1)
    monkeypatch.setattr(
        s3.S3Store, "changed", lambda store, prefix: _later(changed(store, prefix), late)
    )
    with heir.alone("release.lock") as later:
        assert later
    killed.__exit__(None, None, None)  # its thread ends with the test


def _later(found: tuple[Any, Any], by: timedelta) -> tuple[Any, Any]:
    return found[0] + by, found[1]


def test_the_audits_head_never_falls_behind_where_two_processes_write(
    asked: Any, tmp_path: Path
) -> None:
    folder = uuid.uuid4().hex
    (tmp_path / "bikeshare.toml").touch()
    settings = load(tmp_path, {}, {})
    slow, fast = (Workspace(settings, RealClock()) for _ in range(2))

    class Overtaken(S3State):
        """Another process writes a line, and where it ends, just before this one does."""

        overtaken = False

        def replace(self, name: str, body: bytes) -> None:
            if not self.overtaken:
                self.overtaken = True
                records.audit(fast, "gate", why="fast", facts={"city": "boston"})
            super().replace(name, body)

    store = s3.S3Store(asked, bucket=BUCKET, folder=folder)
    slow.__dict__["state"], fast.__dict__["state"] = Overtaken(store), S3State(store)
    records.audit(slow, "gate", why="slow", facts={"city": "boston"})

    assert [entry["why"] for entry in records.audited(slow)] == ["slow", "fast"]
    store.delete("state/audit.jsonl/00000002")
    with pytest.raises(TableError, match="ends with line 1, but 2 lines were written"):
        records.audited(fast)


def test_a_line_that_somebody_removed_is_a_gap_and_no_shorter_log(asked: Any) -> None:
    state = on_s3(asked, uuid.uuid4().hex)
    for line in ("one", "two"):
        with state.appending("audit.jsonl") as log:
            log.append(line)
    state.store.delete("state/audit.jsonl/00000001")

    with pytest.raises(LakeError, match="00000001 is missing, but later lines are there"):
        state.lines("audit.jsonl")


def test_a_lock_that_this_process_does_not_hold_guards_nothing(asked: Any) -> None:
    state = on_s3(asked, uuid.uuid4().hex)
    with pytest.raises(LockLostError, match="another may go on"):
        state.check_alone("release.lock")


def test_a_holder_whose_beats_do_not_arrive_loses_its_lock_before_another_may_have_it(
    asked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, beaten = [0.0], threading.Event()

    class Slow(s3.S3Store):
        """Answers a beat when the time that the lock is held is over."""

        def replace(self, key: str, body: bytes) -> None:
            super().replace(key, body)
            now[0] = s3_state.HELD_S + 1
            beaten.set()

    monkeypatch.setattr(s3_state, "BEAT_S", 0.01)
    slow = Slow(asked, bucket=BUCKET, folder=uuid.uuid4().hex)
    state = S3State(slow, monotonic=lambda: now[0])
    with state.alone("release.lock") as free:
        assert free
        assert beaten.wait(5)
        with pytest.raises(LockLostError, match="could not be told for 30 s"):
            state.check_alone("release.lock")

    assert s3_state.HELD_S < s3_state.SILENT_S
    assert s3_state.BEAT_S + 2 * s3_state.BEAT_TIMEOUT_S < s3_state.HELD_S


def test_a_holder_that_is_heard_keeps_its_lock(asked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    now, late = [0.0], threading.Event()

    class Heard(s3.S3Store):
        """Answers a beat after 12 s, the first four times."""

        def replace(self, key: str, body: bytes) -> None:
            super().replace(key, body)
            if now[0] < 4 * 12:
                now[0] += 12
            else:
                late.set()

    monkeypatch.setattr(s3_state, "BEAT_S", 0.01)
    heard = Heard(asked, bucket=BUCKET, folder=uuid.uuid4().hex)
    state = S3State(heard, monotonic=lambda: now[0])
    with state.alone("release.lock"):
        assert late.wait(5)
        assert now[0] > s3_state.HELD_S
        state.check_alone("release.lock")
