"""The queue of jobs, and the process that does them: nothing is lost, nothing is done twice."""

import sqlite3
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from mlops_bikeshare.api.jobs import FullError, Job, Jobs
from mlops_bikeshare.api.server import settle
from mlops_bikeshare.api.worker import Worker
from mlops_bikeshare.backends import open_workspace
from mlops_bikeshare.domain.errors import SettingsError
from mlops_bikeshare.settings import Settings

# A worker that crashes on one kind, and cannot even begin another.
PROGRAM = """
import os, sys
from pathlib import Path
from mlops_bikeshare.api.jobs import Jobs

jobs = Jobs(Path(sys.argv[1]))
for _ in sys.stdin:
    if jobs.waiting() and jobs.waiting()[0].kind == "poison":
        os._exit(7)
    while (job := jobs.begin_next()) is not None:
        if job.kind == "crash":
            os._exit(9)
        jobs.end(job.id, "done", result={"kind": job.kind})
"""


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    return Jobs(tmp_path / "jobs.db")


def ask(jobs: Jobs, kind: str, *, most: int = 20) -> Job:
    return jobs.ask(kind, "small", {"kind": kind}, most_waiting=most)


def test_jobs_are_taken_in_order_and_a_reopened_file_knows_them(jobs: Jobs, tmp_path: Path) -> None:
    first, second = ask(jobs, "train"), ask(jobs, "gate")
    taken = Jobs(tmp_path / "jobs.db").begin_next()
    assert taken is not None
    assert (taken.id, taken.state, taken.attempts) == (first.id, "running", 1)
    assert [job.id for job in jobs.running()] == [first.id]
    jobs.end(first.id, "done", result={"x": 1})
    found = jobs.find(first.id)
    assert found is not None
    assert (found.state, found.result, found.asked) == ("done", {"x": 1}, {"kind": "train"})
    assert [job.id for job in jobs.newest(most=1)] == [second.id]
    assert jobs.find("none") is None


def test_a_job_ends_once(jobs: Jobs) -> None:
    job = ask(jobs, "train")
    jobs.end(job.id, "done", result={})
    assert jobs.waiting(), "one that was not begun cannot end"
    jobs.begin_next()
    jobs.end(job.id, "interrupted", error="killed")
    jobs.end(job.id, "done", result={})
    jobs.again(job.id)
    found = jobs.find(job.id)
    assert found is not None
    assert (found.state, found.error, found.result) == ("interrupted", "killed", None)


def test_one_that_goes_on_is_first_again(jobs: Jobs) -> None:
    first, _ = ask(jobs, "promote"), ask(jobs, "gate")
    jobs.begin_next()
    jobs.again(first.id)
    again = jobs.begin_next()
    assert again is not None
    assert (again.id, again.attempts) == (first.id, 2)


def test_a_file_of_a_newer_version_is_left_alone(jobs: Jobs, tmp_path: Path) -> None:
    assert jobs.waiting() == []
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as file:
        file.execute("PRAGMA user_version = 99")
    with pytest.raises(SettingsError, match="newer version"):
        Jobs(tmp_path / "jobs.db")


def test_more_than_may_wait_are_refused(jobs: Jobs) -> None:
    ask(jobs, "train", most=1)
    with pytest.raises(FullError, match="1 jobs wait already"):
        ask(jobs, "train", most=1)
    jobs.begin_next()
    ask(jobs, "train", most=1)


def test_many_that_ask_at_once_are_not_more_than_may_wait(jobs: Jobs) -> None:
    together = threading.Barrier(8)

    def asked(_: int) -> bool:
        together.wait()
        try:
            ask(jobs, "train", most=3)
        except FullError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(asked, range(8))) == len(jobs.waiting()) == 3


def settled(jobs: Jobs, tmp_path: Path, *kinds: str, ends: int) -> dict[str, str]:
    """What became of jobs after the process ended so many times."""
    seen, enough = list[str](), threading.Event()

    def settle(why: str) -> None:
        for job in jobs.running():
            jobs.end(job.id, "interrupted", error=why)
        seen.append(why)
        if len(seen) == ends:
            enough.set()

    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "jobs.db")]
    worker = Worker(jobs, command, settle=settle)
    asked = [ask(jobs, kind) for kind in kinds]
    worker.wake()
    assert enough.wait(60)
    while "poison" not in kinds and jobs.waiting():
        continue
    worker.stop()
    return {
        job.kind: f"{job.state} {job.error or ''}".strip()
        for job in (jobs.find(one.id) for one in asked)
        if job is not None
    }


def test_a_job_that_crashes_the_worker_takes_nothing_else_with_it(
    jobs: Jobs, tmp_path: Path
) -> None:
    told = settled(jobs, tmp_path, "train", "crash", "gate", ends=1)
    assert told["train"] == "done"
    assert told["crash"] == "interrupted its process ended (9)"
    assert told["gate"] in {"done", "interrupted the API was stopped"}


def test_a_job_that_comes_while_a_crash_is_settled_is_done(jobs: Jobs, tmp_path: Path) -> None:
    told = threading.Event()

    def settled_and_asked(why: str) -> None:
        for job in jobs.running():
            jobs.end(job.id, "interrupted", error=why)
            ask(jobs, "gate")
            worker.wake()
            told.set()

    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "jobs.db")]
    worker = Worker(jobs, command, settle=settled_and_asked)
    ask(jobs, "crash")
    worker.wake()
    assert told.wait(60)
    until = time.monotonic() + 60
    while jobs.newest(most=1)[0].state != "done" and time.monotonic() < until:
        continue
    worker.stop()
    assert [job.state for job in jobs.newest(most=2)] == ["done", "interrupted"]


def test_a_journal_that_cannot_be_read_goes_on_with_nothing(jobs: Jobs, tmp_path: Path) -> None:
    ws = open_workspace(Settings(root=tmp_path), simulated=True)
    ws.state.replace("journal/p.plan.json", b"torn")
    job = ask(jobs, "promote")
    jobs.begin_next()

    settle(ws, jobs, "the API ended")

    found = jobs.find(job.id)
    assert found is not None
    assert found.state == "interrupted"


def test_a_worker_that_can_begin_nothing_is_not_started_for_ever(
    jobs: Jobs, tmp_path: Path
) -> None:
    assert settled(jobs, tmp_path, "poison", ends=3) == {"poison": "queued"}
