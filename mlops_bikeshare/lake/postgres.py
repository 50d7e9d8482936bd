"""The audit's copy in PostgreSQL: rows that are added and never changed.

Input    an address as SQLAlchemy and libpq know it (`postgresql://user@host/database`); entries of
         the audit in order, with their line from 1.
Output   table `bikeshare_audit`, a row per workspace and line, made when absent; the database
         itself refuses to update, delete or truncate it.
Raises   LakeError when the database cannot be reached or refuses; TableError where it holds another
         entry under a line than the audit does.

Whoever can write the audit's file cannot change what the copy holds, unless they own the database
too: give the project an account that may only INSERT and SELECT.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from mlops_bikeshare.domain.errors import LakeError, SettingsError, TableError
from mlops_bikeshare.domain.wording import masked, masked_of

SCHEMES = ("postgresql://", "postgres://")
_TIMEOUT_S = 10
_MAKE = """
CREATE TABLE IF NOT EXISTS bikeshare_audit (
  workspace text NOT NULL, number bigint NOT NULL, digest text NOT NULL, previous text,
  decided_at timestamptz NOT NULL, kind text NOT NULL, who text NOT NULL, why text NOT NULL,
  facts jsonb NOT NULL, PRIMARY KEY (workspace, number)
);
CREATE OR REPLACE FUNCTION bikeshare_audit_stays() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'bikeshare_audit is never changed'; END $$;
CREATE OR REPLACE TRIGGER bikeshare_audit_stays
  BEFORE UPDATE OR DELETE OR TRUNCATE ON bikeshare_audit
  FOR EACH STATEMENT EXECUTE FUNCTION bikeshare_audit_stays();
"""
_ADD = """
INSERT INTO bikeshare_audit
  (workspace, number, digest, previous, decided_at, kind, who, why, facts)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
_THERE = "SELECT to_regclass('bikeshare_audit') IS NOT NULL"
_NEWEST = "SELECT number, digest FROM bikeshare_audit WHERE workspace = %s"
_LAST = f"{_NEWEST} ORDER BY number DESC LIMIT 1"
_AT = f"{_NEWEST} AND number = %s"


class PostgresAudit:
    """The copy of one workspace's audit."""

    def __init__(self, url: str, *, workspace: str) -> None:
        if not url.startswith(SCHEMES):
            msg = "audit.mirror: expected an address such as postgresql://user@host/database"
            raise SettingsError(f"{msg}, got {masked(url)!r}")
        self._url, self._workspace = url, workspace

    def newest(self) -> tuple[int, str] | None:
        """Line and digest of the newest entry; None while there is none."""
        with self._cursor() as cursor:
            return _newest(cursor, self._workspace) if _there(cursor) else None

    def keep(self, entries: Sequence[Mapping[str, Any]]) -> int:
        """Add the entries that the copy does not have yet; how many they were."""
        with self._cursor() as cursor:
            if not _there(cursor):
                cursor.execute(_MAKE)
            last = _newest(cursor, self._workspace)
            had = last[0] if last else 0
            if last is not None and (had > len(entries) or entries[had - 1]["digest"] != last[1]):
                raise TableError(
                    f"line {had} of the audit is not the one that its copy in PostgreSQL has"
                    f" ({last[1][:12]}): keep both as they are and compare them"
                )
            for number, entry in enumerate(entries[had:], start=had + 1):
                cursor.execute(_ADD, self._row(number, entry))
                cursor.execute(_AT, (self._workspace, number))
                if cursor.fetchone() != (number, entry["digest"]):
                    raise TableError(f"another writer put line {number} into the audit's copy")
        return len(entries) - had

    def _row(self, number: int, entry: Mapping[str, Any]) -> tuple[Any, ...]:
        names = ("digest", "previous", "at", "kind", "who", "why")
        facts = json.dumps(entry["facts"], sort_keys=True)
        return (self._workspace, number, *(entry[name] for name in names), facts)

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        """One transaction on a connection of its own: decisions are rare."""
        try:
            import psycopg
        except ImportError:
            msg = "audit.mirror needs psycopg: pip install 'mlops_bikeshare[postgres]'"
            raise SettingsError(msg) from None

        try:
            with (
                psycopg.connect(self._url, connect_timeout=_TIMEOUT_S) as connection,
                connection.cursor() as cursor,
            ):
                yield cursor
        except psycopg.Error as error:
            said = masked_of(" ".join(str(error).split()), address=self._url)
            # Without the cause, which may show a part of the password.
            raise LakeError(f"the audit's copy at {masked(self._url)}: {said}") from None


def _there(cursor: Any) -> bool:
    cursor.execute(_THERE)
    return bool(cursor.fetchone()[0])


def _newest(cursor: Any, workspace: str) -> tuple[int, str] | None:
    cursor.execute(_LAST, (workspace,))
    row = cursor.fetchone()
    return None if row is None else (int(row[0]), str(row[1]))
