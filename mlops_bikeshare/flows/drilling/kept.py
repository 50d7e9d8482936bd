"""Faults of what is kept: features that cannot be read, an audit that somebody altered.

Each is done to the files of the workspace, undone, then looked at, and becomes one `Finding`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.errors import LakeError
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows import alarms, records, retrain
from mlops_bikeshare.flows.drilling.findings import Finding, minutes_from, why_not, within
from mlops_bikeshare.flows.drilling.production import Production
from mlops_bikeshare.flows.features import OFFLINE
from mlops_bikeshare.flows.train import by_shares, train


def broken_features(p: Production, start: datetime, *, history: Window) -> Finding:
    """Half of a file of features is lost, and somebody trains, and somebody retrains."""
    p.run(start)
    # Whoever trains is another process, which remembers nothing of what was read before.
    ws = Workspace(p.ws.settings, p.ws.clock)
    day = ws.lake.days(OFFLINE, city=p.city.name)[0]
    (key,) = ws.lake.keys(OFFLINE, city=p.city.name, day=day)
    with _instead(p.ws.path / "lake" / key, _half):
        untrained = why_not(lambda: train(ws, p.city, by_shares(history)), LakeError)
        unlearned = why_not(lambda: retrain.retrain(ws, p.city, force=True), LakeError)
    p.run(start + timedelta(hours=1))
    training, again = p.seen("training-failed-warn", start), p.seen("retrain-failed-warn", start)
    return Finding(
        fault="a file of features is damaged when a training and a retraining read it",
        start=start,
        end=start,
        expected="both fail and say so; each is an alarm at once, for a day; production goes on",
        happened={
            "the training fails and names the file": key in (untrained or ""),
            "the retraining fails and names the file": key in (unlearned or ""),
            "the failed training is an alarm within 10 min": within(training.fired, start, 10),
            "so is the failed retraining": within(again.fired, start, 10),
            "the next batch is full": within(p.full_again(start), start, 0),
        },
        detected_min=minutes_from(start, training.fired),
    )


def altered_audit(p: Production, start: datetime, *, minutes: int = 20) -> Finding:
    """A word of the audit is changed, so that nobody can say what is in production, and why."""
    p.run(start)
    end, name = start + timedelta(minutes=minutes), f"{p.prod}-{alarms.UNSEEN}-critical"
    before = len(p.webhook.taken)
    told: dict[str, datetime] = {}

    def look(at: datetime) -> None:
        for line in "\n".join(p.webhook.taken[before:]).splitlines():
            told.setdefault(line.partition(":")[0], at)

    p.beside = look
    with _instead(p.ws.path / records.AUDIT, _altered):
        p.run(end)
    p.run(end + timedelta(hours=1))
    p.beside = None
    fired, quiet = told.get(f"ALARM {name}"), told.get(f"OK {name}")
    return Finding(
        fault="the audit is altered",
        start=start,
        end=end,
        expected="whoever watches is told within 10 min that nobody can look at the alarms, and"
        " when it ends; batches are full meanwhile",
        happened={
            "it is told within 10 min": within(fired, start, 10),
            "batches are full meanwhile": within(p.full_again(start), start, 0),
            "its end is told within 20 min": within(quiet, end, 20),
        },
        detected_min=minutes_from(start, fired),
        restored_min=minutes_from(end, quiet),
    )


def _half(whole: bytes) -> bytes:
    return whole[: len(whole) // 2]


def _altered(whole: bytes) -> bytes:
    return whole.replace(b"deploy", b"depart", 1)


@contextmanager
def _instead(file: Path, damage: Callable[[bytes], bytes]) -> Iterator[None]:
    """A file is damaged for as long as the block runs."""
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    try:
        yield
    finally:
        file.write_bytes(whole)
