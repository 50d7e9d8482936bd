"""The metric store on one SQLite file, shared by the endpoint host and the flows.

Input    a path; the file is made and migrated when the store is opened.
Output   see `metrics.MetricStore`. Times are kept to the millisecond.
Raises   LakeError when the file cannot be opened, is not ours or is of a newer version, when it
         cannot be written (a full disk) or read;
         TableError for a value that is not finite or a time without zone.
Source   sqlite.org: WAL (one writer, readers never wait), PRAGMA user_version and synchronous. A
         put is one transaction. When it returns, no kill of this process or of another undoes it;
         where the store is `synced`, no power cut either.
"""

import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import LakeError
from mlops_bikeshare.domain.reports import MetricPoint
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.monitoring.metrics import (
    MINUTE_S,
    Statistic,
    Wanted,
    check_read,
    checked,
    minutes_up_to,
)
from mlops_bikeshare.monitoring.periods import by_period

FILE = "metrics.db"
_BUSY_S = 30.0
_MIGRATIONS = (
    """
    CREATE TABLE metric (
        id INTEGER PRIMARY KEY,
        namespace TEXT NOT NULL, name TEXT NOT NULL, dimensions TEXT NOT NULL, unit TEXT NOT NULL,
        UNIQUE (namespace, name, dimensions));
    CREATE TABLE datum (metric_id INTEGER NOT NULL, at_ms INTEGER NOT NULL, value REAL NOT NULL);
    CREATE INDEX datum_by_time ON datum (metric_id, at_ms, value);
    CREATE TABLE posting (once TEXT PRIMARY KEY) WITHOUT ROWID;
    """,
    "ALTER TABLE posting ADD COLUMN at_ms INTEGER",
)
_Row = tuple[tuple[str, str, str, str], tuple[int, float]]
_OPEN_METRIC = """
    INSERT INTO metric (namespace, name, dimensions, unit) VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET unit = excluded.unit RETURNING id"""
_FORGET = "DELETE FROM datum WHERE"
_BETWEEN = """
    SELECT at_ms, value FROM datum JOIN metric ON metric.id = metric_id
    WHERE namespace = ? AND name = ? AND dimensions = ? AND at_ms >= ? AND at_ms < ?"""


class SqliteMetricStore:
    """A `MetricStore`; safe to share between threads, and between processes by its path."""

    def __init__(self, path: Path, *, synced: bool = True) -> None:
        self._path = path
        self._synced = synced
        self._lock = threading.Lock()
        self._ids: dict[tuple[str, str, str, str], int] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            raise LakeError(f"metric store {path}: {error}") from None
        try:
            self._prepare()
        except sqlite3.Error as error:
            self._db.close()
            raise LakeError(f"metric store {path}: {error}; move the file away") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._db.close()

    def put(self, points: Sequence[MetricPoint], *, once: str | None = None) -> bool:
        """Keep all points or none. False, and nothing kept, if the key `once` was used before."""
        rows = [(_metric(point), _datum(point)) for point in points]
        with self._transaction() as db:
            if once is not None and not _first_time(db, once, rows):
                return False
            new = {key for key, _ in rows} - self._ids.keys()
            ids = {key: db.execute(_OPEN_METRIC, key).fetchall()[0][0] for key in new} | self._ids
            data = [(ids[key], at_ms, value) for key, (at_ms, value) in rows]
            db.executemany("INSERT INTO datum VALUES (?, ?, ?)", data)
        if new:
            # a metric whose unit changed is known under the new unit alone
            named = {key[:3] for key in new}
            self._ids = {k: i for k, i in ids.items() if k in new or k[:3] not in named}
        return True

    def series(
        self,
        namespace: str,
        name: str,
        dimensions: Mapping[str, str],
        *,
        window: Window,
        statistic: Statistic,
        period_s: int,
    ) -> list[tuple[datetime, float]]:
        """The statistic of each period that has data, oldest first."""
        check_read(window, statistic=statistic, period_s=period_s)
        table = self._between(namespace, name, dimensions, window.start, window.end)
        found = by_period(table[:, 0] / 1e3, table[:, 1], statistic=statistic, period_s=period_s)
        return [(_time(start * 1000), value) for start, value in found]

    def several(
        self, wanted: Sequence[Wanted], *, window: Window, period_s: int
    ) -> list[list[tuple[datetime, float]]]:
        """The series of each, one after the other."""
        return [
            self.series(
                one.namespace,
                one.name,
                one.dimensions,
                window=window,
                statistic=one.statistic,
                period_s=period_s,
            )
            for one in wanted
        ]

    def latest(
        self,
        namespace: str,
        name: str,
        dimensions: Mapping[str, str],
        *,
        before: datetime,
        within_s: int,
    ) -> tuple[datetime, float] | None:
        """The newest minute with data up to `before`, at most `within_s` older, and its average."""
        minute = minutes_up_to(before, within_s=within_s)
        table = self._between(namespace, name, dimensions, minute.start, minute.end)
        minutes = by_period(table[:, 0] / 1e3, table[:, 1], statistic="Average", period_s=MINUTE_S)
        return (_time(minutes[-1][0] * 1000), minutes[-1][1]) if minutes else None

    def names(self, namespace: str) -> list[tuple[str, dict[str, str]]]:
        """Every name with its dimensions, sorted."""
        ask = "SELECT name, dimensions FROM metric WHERE namespace = ? ORDER BY name, dimensions"
        with self._spoken(), self._lock:
            rows = self._db.execute(ask, (namespace,)).fetchall()
        return [(name, json.loads(dimensions)) for name, dimensions in rows]

    def forget(self, before: datetime) -> int:
        """Remove what is older; how many values that were. Their room is used again.

        A name stays, though all its values are gone: another process may be about to post one.
        """
        with self._spoken(), self._lock:
            ids = self._db.execute("SELECT id FROM metric").fetchall()
        gone = 0
        for (metric_id,) in ids:  # one by one: nobody waits for all of it
            with self._transaction() as db:
                old = (metric_id, _ms(before))
                gone += db.execute(f"{_FORGET} metric_id = ? AND at_ms < ?", old).rowcount
        with self._transaction() as db:
            db.execute("DELETE FROM posting WHERE at_ms < ?", (_ms(before),))
        return gone

    def _between(
        self,
        namespace: str,
        name: str,
        dimensions: Mapping[str, str],
        start: datetime,
        end: datetime,
    ) -> NDArray[np.float64]:
        """Milliseconds and value of each datum with start <= at < end, by time."""
        key = (namespace, name, _text(dimensions), _ms(start), _ms(end))
        with self._spoken(), self._lock:
            rows = self._db.execute(f"{_BETWEEN} ORDER BY at_ms", key).fetchall()
        return np.array(rows, dtype=np.float64).reshape(-1, 2)

    def _prepare(self) -> None:
        import stamina

        # To the second of two that make the store at once SQLite says "locked" without waiting.
        for attempt in stamina.retry_context(
            on=_is_locked, attempts=None, timeout=_BUSY_S, wait_initial=0.01, wait_max=0.2
        ):
            with attempt:
                self._db.execute("PRAGMA journal_mode = WAL").fetchall()
        self._db.execute(f"PRAGMA synchronous = {'FULL' if self._synced else 'NORMAL'}")
        with self._begun() as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version > len(_MIGRATIONS):
                msg = f"version {version} is newer than this program's {len(_MIGRATIONS)}"
                raise sqlite3.DatabaseError(msg)
            for migration in _MIGRATIONS[version:]:
                for statement in migration.split(";"):
                    db.execute(statement)
            db.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._spoken(), self._begun() as db:
            yield db

    @contextmanager
    def _begun(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # SQLite ends it itself when the disk is full
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _spoken(self) -> Iterator[None]:
        """SQLite's errors as one that callers know how to take."""
        try:
            yield
        except sqlite3.Error as error:
            raise LakeError(f"metric store {self._path}: {error}") from error


def _is_locked(error: Exception) -> bool:
    busy = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode in busy


def _first_time(db: sqlite3.Connection, once: str, rows: Sequence[_Row]) -> bool:
    """Whether the key is new; it is forgotten with the newest of its values."""
    newest = max((at_ms for _, (at_ms, _) in rows), default=None)
    ask = "INSERT OR IGNORE INTO posting VALUES (?, ?)"
    return db.execute(ask, (once, newest)).rowcount == 1


def _metric(point: MetricPoint) -> tuple[str, str, str, str]:
    return point.namespace, point.name, _text(point.dimensions), point.unit


def _datum(point: MetricPoint) -> tuple[int, float]:
    return _ms(checked(point).at), float(point.value)


def _text(dimensions: Mapping[str, str]) -> str:
    return json.dumps(dict(dimensions), sort_keys=True, ensure_ascii=False)


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _time(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
