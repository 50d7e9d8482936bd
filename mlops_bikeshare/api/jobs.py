"""Jobs: what was asked for, and what became of it; SQLite, so that a restart forgets nothing.

Input    `jobs.db`, made when absent; times are aware UTC datetimes.
Output   Job. The states: queued → running → done | refused (a decision went against) | failed |
         interrupted (the process ended under it).
Raises   FullError when too many wait; SettingsError for a file of a newer version.

Used by the API and by its worker at once: each call is one transaction on a connection of its own,
and a job leaves `running` only once.
"""

import json
import sqlite3
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from mlops_bikeshare.domain.errors import BikeshareError, SettingsError

State = Literal["queued", "running", "done", "refused", "failed", "interrupted"]
ENDED = ("done", "refused", "failed", "interrupted")
VERSION = 1
_BUSY_S = 30.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
  number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, city TEXT NOT NULL,
  asked TEXT NOT NULL, state TEXT NOT NULL, asked_at TEXT NOT NULL, began_at TEXT, ended_at TEXT,
  attempts INTEGER NOT NULL DEFAULT 0, result TEXT, error TEXT
)
"""
_COLUMNS = "id, kind, city, asked, state, asked_at, began_at, ended_at, attempts, result, error"


class FullError(BikeshareError):
    """As many jobs wait as may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job; `result` is what its flow returned, `error` what went wrong, in words."""

    id: str
    kind: str
    city: str
    asked: Mapping[str, Any]
    state: State
    asked_at: datetime
    began_at: datetime | None
    ended_at: datetime | None
    attempts: int
    result: Mapping[str, Any] | None
    error: str | None


class Jobs:
    """The jobs of one workspace."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._transaction() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > VERSION:
                msg = f"{path} was written by a newer version of this project ({version})"
                raise SettingsError(f"{msg} than this one ({VERSION}); use that one")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(_SCHEMA)
            connection.execute(f"PRAGMA user_version = {VERSION}")

    def ask(self, kind: str, city: str, asked: Mapping[str, Any], *, most_waiting: int) -> Job:
        """Queue a job; FullError when `most_waiting` wait already."""
        name = uuid.uuid4().hex
        with self._transaction() as connection:
            connection.execute("BEGIN IMMEDIATE")  # sqlite3 itself begins with the first write
            query = "SELECT COUNT(*) FROM jobs WHERE state = 'queued'"
            (waiting,) = connection.execute(query).fetchone()
            if waiting >= most_waiting:
                msg = f"{waiting} jobs wait already, as many as may"
                raise FullError(f"{msg}; ask again when one is done")
            connection.execute(
                "INSERT INTO jobs (id, kind, city, asked, state, asked_at)"
                " VALUES (?, ?, ?, ?, 'queued', ?)",
                (name, kind, city, json.dumps(dict(asked)), _now()),
            )
        found = self.find(name)
        assert found is not None  # noqa: S101 - it was committed above
        return found

    def find(self, name: str) -> Job | None:
        """One job, or None."""
        found = self._select("WHERE id = ?", name)
        return found[0] if found else None

    def newest(self, *, most: int) -> list[Job]:
        """The last that were asked for, the newest first."""
        return self._select("ORDER BY number DESC LIMIT ?", most)

    def running(self) -> list[Job]:
        """Those that were begun and not ended."""
        return self._select("WHERE state = 'running' ORDER BY number")

    def waiting(self) -> list[Job]:
        """Those that were not begun, the next one first."""
        return self._select("WHERE state = 'queued' ORDER BY number")

    def begin_next(self) -> Job | None:
        """Take the oldest that waits; None when none does."""
        with self._transaction() as connection:
            connection.execute("BEGIN IMMEDIATE")
            query = "SELECT id FROM jobs WHERE state = 'queued' ORDER BY number LIMIT 1"
            row = connection.execute(query).fetchone()
            if row is None:
                return None
            connection.execute(
                "UPDATE jobs SET state = 'running', began_at = ?, attempts = attempts + 1"
                " WHERE id = ?",
                (_now(), row[0]),
            )
        return self.find(row[0])

    def end(
        self,
        name: str,
        state: State,
        *,
        result: Mapping[str, Any] | None = None,
        error: str | None = None,
    ) -> None:
        """Say what became of a running job; one that has ended stays as it ended."""
        told = None if result is None else json.dumps(dict(result))
        with self._transaction() as connection:
            connection.execute(
                "UPDATE jobs SET state = ?, ended_at = ?, result = ?, error = ?"
                " WHERE id = ? AND state = 'running'",
                (state, _now(), told, error, name),
            )

    def again(self, name: str) -> None:
        """Queue a running job once more, before all that came after it."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE jobs SET state = 'queued' WHERE id = ? AND state = 'running'", (name,)
            )

    def _select(self, rest: str, *values: object) -> list[Job]:
        with self._transaction() as connection:
            rows = connection.execute(f"SELECT {_COLUMNS} FROM jobs {rest}", values).fetchall()
        return [_job(row) for row in rows]

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level="IMMEDIATE")
        try:
            with connection:
                yield connection
        finally:
            connection.close()


def _job(row: tuple[Any, ...]) -> Job:
    name, kind, city, asked, state, asked_at, began_at, ended_at, attempts, result, error = row
    return Job(
        id=name,
        kind=kind,
        city=city,
        asked=json.loads(asked),
        state=state,
        asked_at=datetime.fromisoformat(asked_at),
        began_at=_time(began_at),
        ended_at=_time(ended_at),
        attempts=attempts,
        result=None if result is None else json.loads(result),
        error=error,
    )


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
