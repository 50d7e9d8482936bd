"""The state of a workspace on S3, so that nothing depends on one machine's disk.

A line of a log, and a document that is kept for good, is an object of its own with a number,
created once (`If-None-Match: *`): two writers of one line cannot both succeed, whatever they
believe about each other. That, not the lock, is what keeps the audit's chain and a plan's journal
whole; the lock saves people from finding out late.

A lock is a generation `<number>` that one process created. Its holder puts `<number>.alive` again
and again, and `<number>.done` in the end; the next generation may be made when the newest is done,
or was silent for `SILENT_S` by the clock of S3 (a machine's own may be wrong). A process that was
away between its look and its put sees a newer generation after it, and steps back. A holder that
could not say for `HELD_S` that it is alive has lost the lock, whether or not anybody took it:
`check_alone` tells it so before its next step.

Source   Amazon S3 user guide, "Conditional requests"; reads and listings are consistent at once.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from mlops_bikeshare.domain.errors import LakeError
from mlops_bikeshare.lake.s3 import S3Store
from mlops_bikeshare.lake.state import Lines, LineTakenError, LockLostError
from mlops_bikeshare.lake.store import ObjectGoneError

FOLDER = "state"
SILENT_S = 45
# By the holder's own clock, from before a put that was answered: sooner than anybody may take over.
HELD_S = 30.0
BEAT_S = 8.0
# A beat that takes longer is left for the next one: two fit into the time that a lock is held.
BEAT_TIMEOUT_S = 5.0
_READERS = 8
_TRIES = 5


@dataclass(frozen=True)
class _Numbered:
    """A log, as it was when it was opened."""

    state: "S3State"
    name: str
    found: Lines

    def append(self, line: str) -> None:
        """Create the next line; LineTakenError if another process did."""
        number = len(self.found.whole) + 1
        key = f"{FOLDER}/{self.name}/{number:08d}"
        if not self.state.store.create(key, line.encode()):
            msg = f"another process wrote line {number} of {self.name} in the meantime"
            raise LineTakenError(f"{msg}; run the same command again")


class _Lease:
    """Until when a lock is surely held; once that is over it stays lost."""

    def __init__(self, began: float, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._until = began + HELD_S

    @property
    def held(self) -> bool:
        return self._monotonic() <= self._until

    def extend(self, began: float) -> None:
        """Since S3 has answered a put that began then; an answer that came too late is none."""
        if self.held:
            self._until = began + HELD_S


class S3State:
    """Objects below `state/` of the workspace's folder in the bucket.

    `beats`: the same store by a client that does not wait for long.
    """

    def __init__(
        self,
        store: S3Store,
        *,
        beats: S3Store | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.store = store
        self._beats = beats or store
        self._monotonic = monotonic
        self._leases: dict[str, _Lease] = {}
        self._read: dict[str, bytes] = {}

    def read(self, name: str) -> bytes | None:
        """A document; None if there is none."""
        try:
            return self.store.read(f"{FOLDER}/{name}")
        except ObjectGoneError:
            return None

    def replace(self, name: str, body: bytes) -> None:
        """Write a document whole; of two at once, the later stands."""
        self.store.replace(f"{FOLDER}/{name}", body)

    def names(self, folder: str) -> list[str]:
        """Names of the documents directly in a folder, sorted."""
        start = f"{FOLDER}/{folder}/"
        found = [key.removeprefix(start) for key in self.store.keys(start)]
        return [name for name in found if "/" not in name]

    def add(self, folder: str, name: str, body: bytes) -> bool:
        """Keep a document for good, in the order of coming; False if there is one."""
        for _ in range(_TRIES):
            keys = self.store.keys(f"{FOLDER}/{folder}/added")
            if any(_name(key) == name for key in keys):
                return False
            if self.store.create(f"{FOLDER}/{folder}/added/{len(keys) + 1:08d}-{name}", body):
                return True
        raise LakeError(f"{folder}/{name}: others kept adding; run the same command again")

    def added(self, folder: str, suffix: str) -> dict[str, bytes]:
        """Name → document of those that end so, oldest first."""
        found = self.store.keys(f"{FOLDER}/{folder}/added")
        keys = [key for key in found if key.endswith(suffix)]
        return dict(zip(map(_name, keys), self._once(keys), strict=True))

    def lines(self, name: str) -> Lines:
        """A log as it is now; a gap in its numbers is no end, but an error."""
        keys = self.store.keys(f"{FOLDER}/{name}")
        wanted = [f"{FOLDER}/{name}/{number:08d}" for number in range(1, len(keys) + 1)]
        if keys != wanted:
            missing = min(set(wanted) - set(keys))
            msg = f"{missing} is missing, but later lines are there"
            raise LakeError(f"{msg}; restore it from the bucket's versions")
        return Lines([body.decode() for body in self._once(keys)])

    @contextmanager
    def appending(self, name: str) -> Iterator[_Numbered]:
        """Open a log for one more line; nobody waits, the later of two is told."""
        yield _Numbered(self, name, self.lines(name))

    @contextmanager
    def alone(self, name: str) -> Iterator[bool]:
        """Whether no other process holds this lock."""
        folder, began = f"{FOLDER}/locks/{name}", self._monotonic()
        mine = self._generation(folder)
        if mine is None:
            yield False
            return
        ended, lease = threading.Event(), _Lease(began, self._monotonic)
        self._leases[name] = lease
        beating = threading.Thread(target=self._beat, args=(mine, lease, ended), daemon=True)
        beating.start()
        try:
            yield True
        finally:
            del self._leases[name]
            ended.set()
            beating.join()
            self.store.create(f"{mine}.done", b"")

    def check_alone(self, name: str) -> None:
        """LockLostError unless S3 was told not long ago that this process holds the lock."""
        lease = self._leases.get(name)
        if lease is None or not lease.held:
            msg = f"{name}: S3 could not be told for {HELD_S:.0f} s that this process is alive"
            raise LockLostError(f"{msg}, so another may go on; run the same command again")

    def _generation(self, folder: str) -> str | None:
        """A generation of this process's own; None while the newest is held."""
        newest = self._newest(folder)
        if newest and self._held(folder, newest):
            return None
        mine = f"{folder}/{newest + 1:08d}"
        if not self.store.create(mine, b"") or self._newest(folder) != newest + 1:
            return None
        for key in self.store.keys(folder):
            if _number(key) < newest + 1:
                self.store.delete(key)
        return mine

    def _newest(self, folder: str) -> int:
        return max(map(_number, self.store.keys(folder)), default=0)

    def _held(self, folder: str, number: int) -> bool:
        now, changed = self.store.changed(folder)
        mine = {key: at for key, at in changed.items() if _number(key) == number}
        if f"{folder}/{number:08d}.done" in mine:
            return False
        return bool(mine) and now - max(mine.values()) < timedelta(seconds=SILENT_S)

    def _beat(self, mine: str, lease: _Lease, ended: threading.Event) -> None:
        while not ended.wait(BEAT_S):
            began = self._monotonic()
            try:
                self._beats.replace(f"{mine}.alive", b"")
            except LakeError:  # S3 is away: silence is what the others judge by
                continue
            lease.extend(began)

    def _once(self, keys: list[str]) -> list[bytes]:
        """Objects that never change are read once in a process."""
        missing = [key for key in keys if key not in self._read]
        if missing:
            with ThreadPoolExecutor(_READERS) as pool:
                self._read |= zip(missing, pool.map(self.store.read, missing), strict=True)
        return [self._read[key] for key in keys]


def _number(key: str) -> int:
    return int(key.rpartition("/")[2].partition(".")[0])


def _name(key: str) -> str:
    """The name under which a document was added."""
    return key.rpartition("/")[2].partition("-")[2]
