"""What the host must remember: models, endpoint configs, endpoints, tags; SQLite, survives kill -9.

Input    `host.db`, made when absent. A resource is a JSON document under (kind, name).
Output   documents as dicts, tags as dicts by ARN (or `s3://bucket/key`).
Raises   EndpointError when the file is of a newer version or no database.

Used from the event loop's thread only; each call is one committed transaction.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlops_bikeshare.domain.errors import EndpointError

VERSION = 1
_SCHEMA = """
CREATE TABLE resources (
  kind TEXT NOT NULL, name TEXT NOT NULL, document TEXT NOT NULL, PRIMARY KEY (kind, name)
) WITHOUT ROWID;
CREATE TABLE tags (
  owner TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (owner, key)
) WITHOUT ROWID;
"""


class HostState:
    """The documents and tags of one workspace's host."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, timeout=5.0)
        try:
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._migrate(path)
        except sqlite3.DatabaseError as error:
            self._connection.close()
            msg = f"{path} is not a database of the endpoint host ({error}): move it away"
            raise EndpointError(msg) from error

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """One document, or None."""
        row = self._connection.execute(
            "SELECT document FROM resources WHERE kind = ? AND name = ?", (kind, name)
        ).fetchone()
        return json.loads(row[0]) if row else None

    def all(self, kind: str) -> list[dict[str, Any]]:
        """Every document of a kind, by name."""
        rows = self._connection.execute(
            "SELECT document FROM resources WHERE kind = ? ORDER BY name", (kind,)
        )
        return [json.loads(row[0]) for row in rows]

    def put(self, kind: str, name: str, document: Mapping[str, Any]) -> None:
        """Write or replace a document."""
        with self._connection as connection:
            connection.execute(
                "INSERT OR REPLACE INTO resources VALUES (?, ?, ?)",
                (kind, name, json.dumps(document)),
            )

    def delete(self, kind: str, name: str, *, owner: str) -> None:
        """Forget a document and the tags of its owner ARN."""
        with self._connection as connection:
            connection.execute("DELETE FROM resources WHERE kind = ? AND name = ?", (kind, name))
            connection.execute("DELETE FROM tags WHERE owner = ?", (owner,))

    def tags(self, owner: str) -> dict[str, str]:
        """The tags of an owner, by key."""
        rows = self._connection.execute(
            "SELECT key, value FROM tags WHERE owner = ? ORDER BY key", (owner,)
        )
        return dict(rows.fetchall())

    def tag(self, owner: str, tags: Mapping[str, str]) -> None:
        """Add or replace tags."""
        with self._connection as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO tags VALUES (?, ?, ?)",
                [(owner, key, value) for key, value in tags.items()],
            )

    def untag(self, owner: str, keys: Sequence[str] | None = None) -> None:
        """Remove these tags, or all."""
        with self._connection as connection:
            if keys is None:
                connection.execute("DELETE FROM tags WHERE owner = ?", (owner,))
            else:
                connection.executemany(
                    "DELETE FROM tags WHERE owner = ? AND key = ?", [(owner, key) for key in keys]
                )

    def _migrate(self, path: Path) -> None:
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            self._connection.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version = {VERSION};COMMIT")
        elif version != VERSION:
            self._connection.close()
            raise EndpointError(
                f"{path} has version {version}, this host reads {VERSION}: update the package"
            )
