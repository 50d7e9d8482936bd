"""What a workspace must remember beside its tables: decisions, plans, locks, small documents.

Names are relative, with forward slashes. Adapters: `local_state` (files of the workspace),
`s3_state`; both pass tests/contract/test_state.py. A document is replaced whole. A log only grows,
line by line, and its lines have numbers: of two writers of one line the second is told. A lock is
held by one process at a time, and does not outlive it for long.

Raises   LakeError when the disk or S3 refuses; LineTakenError when a log grew meanwhile;
         LockLostError from `check_alone` when another process may hold the lock by now.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from mlops_bikeshare.domain.errors import LakeError


class LineTakenError(LakeError):
    """Another process wrote this line of a log in the meantime."""


class LockLostError(LakeError):
    """A lock that this process held may be another's by now: what it guards must stop."""


@dataclass(frozen=True, slots=True)
class Lines:
    """A log as it is: whole lines without their ends, and what a kill left of one more."""

    whole: list[str]
    torn: bytes = b""


class Log(Protocol):
    """A log that is open for one more line."""

    @property
    def found(self) -> Lines:
        """What it held when it was opened."""
        ...

    def append(self, line: str) -> None:
        """Write the next line, durable when this returns; a torn one goes first."""
        ...


class State(Protocol):
    """Documents, logs and locks under names."""

    def read(self, name: str) -> bytes | None:
        """A document; None if there is none."""
        ...

    def replace(self, name: str, body: bytes) -> None:
        """Write a document whole, over the one that was there."""
        ...

    def names(self, folder: str) -> list[str]:
        """Names of the documents directly in a folder, sorted."""
        ...

    def add(self, folder: str, name: str, body: bytes) -> bool:
        """Keep a document for good, in the order of coming; False if there is one of that name."""
        ...

    def added(self, folder: str, suffix: str) -> dict[str, bytes]:
        """Name → document of those that were added and end so, oldest first."""
        ...

    def lines(self, name: str) -> Lines:
        """A log as it is now; empty if there is none."""
        ...

    def appending(self, name: str) -> AbstractContextManager[Log]:
        """Open a log for one more line."""
        ...

    def alone(self, name: str) -> AbstractContextManager[bool]:
        """Whether no other process holds this lock; it is held until the block ends."""
        ...

    def check_alone(self, name: str) -> None:
        """LockLostError unless this process holds the lock still; asks nobody."""
        ...
