"""The state of a workspace on this machine: plain files that people can read.

Documents are written beside their place and moved there. A log is a file of lines, locked while it
is appended to and flushed to the disk line by line. A lock is the kernel's: it goes with its
process, so a kill leaves nothing to clean up.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mlops_bikeshare.lake.state import Lines


@dataclass(frozen=True)
class LocalLog:
    """A log, locked."""

    file: IO[str]
    found: Lines

    def append(self, line: str) -> None:
        """A line torn by a kill was never acted upon: it goes, the next one starts clean."""
        if self.found.torn:
            self.file.truncate(os.fstat(self.file.fileno()).st_size - len(self.found.torn))
        self.file.write(line + "\n")
        self.file.flush()
        os.fsync(self.file.fileno())


class LocalState:
    """Files below `root`, which is made with the first one."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, name: str) -> bytes | None:
        """A document; None if there is none."""
        path = self._root / name
        return path.read_bytes() if path.is_file() else None

    def replace(self, name: str, body: bytes) -> None:
        """Write a document whole; two processes, or two threads, may do so at once."""
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        try:
            draft.write_bytes(body)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)

    def names(self, folder: str) -> list[str]:
        """Names of the files directly in a folder, sorted."""
        return sorted(path.name for path in self._files(folder))

    def add(self, folder: str, name: str, body: bytes) -> bool:
        """Keep a document for good; False if there is one of that name."""
        if (self._root / folder / name).exists():
            return False
        self.replace(f"{folder}/{name}", body)
        return True

    def added(self, folder: str, suffix: str) -> dict[str, bytes]:
        """Name → document of those that end so, oldest first."""
        found = [path for path in self._files(folder) if path.name.endswith(suffix)]
        ordered = sorted(found, key=lambda path: path.stat().st_mtime_ns)
        return {path.name: path.read_bytes() for path in ordered}

    def lines(self, name: str) -> Lines:
        """A log as it is now."""
        *whole, torn = (self.read(name) or b"").split(b"\n")
        return Lines([line.decode(errors="replace") for line in whole], torn)

    @contextmanager
    def appending(self, name: str) -> Iterator[LocalLog]:
        """Open a log for one more line; others wait meanwhile."""
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield LocalLog(file, self.lines(name))

    @contextmanager
    def alone(self, name: str) -> Iterator[bool]:
        """Whether no other process holds this lock."""
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def check_alone(self, name: str) -> None:
        """The kernel takes a lock from nobody who lives."""

    def _files(self, folder: str) -> list[Path]:
        path = self._root / folder
        inside = path.iterdir() if path.is_dir() else ()
        return [child for child in inside if child.is_file() and not child.name.startswith(".")]
