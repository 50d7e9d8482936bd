"""The audit: JSON lines, each sealed with the digest of itself and its predecessor.

Input    facts as plain JSON values, and the digest of the last line (None for the first).
Output   entries (dict) and their text, one line each without a newline at the end.
Raises   TableError naming the first line that was altered, removed, added or torn.
Source   hash chain: digest = sha256 of the canonical JSON (sorted keys, no spaces, UTF-8) of the
         entry without `digest`. It shows tampering inside; lines cut off at the end show only
         against a `Head` kept elsewhere.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mlops_bikeshare.domain.errors import TableError
from mlops_bikeshare.domain.tables import MONITORING_AUDIT

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Head:
    """How long the audit was, and the digest (or its beginning) of its last line then."""

    count: int
    digest: str


def entry(
    previous: str | None, *, kind: str, at: datetime, who: str, why: str, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """One line of the audit: what happened, when, by whom, why, on what evidence."""
    body = {
        "previous": previous,
        "kind": kind,
        "at": at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "who": who,
        "why": why,
        "facts": dict(facts),
    }
    return {**body, "digest": _digest(body)}


def line(entry: Mapping[str, Any]) -> str:
    """The text of an entry, canonical, without a newline."""
    return json.dumps(
        entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def verify(lines: Iterable[str], *, head: Head | None = None) -> str | None:
    """Check the chain and return its last digest (None if empty); `head` must lie on it."""
    previous: str | None = None
    number = 0
    for number, text in enumerate(lines, start=1):
        body = _parse(text, number)
        digest = body.pop("digest", None)
        if body.get("previous") != previous:
            raise TableError(f"audit line {number} does not follow line {number - 1}{_ADVICE}")
        if digest != _digest(body):
            raise TableError(f"audit line {number} was altered: its digest is not its own{_ADVICE}")
        if head and number == head.count and not str(digest).startswith(head.digest):
            raise TableError(f"audit line {number} is not the one that was written{_ADVICE}")
        previous = digest
    if head and number < head.count:
        msg = f"the audit ends with line {number}, but {head.count} lines were written"
        raise TableError(f"{msg}: it was shortened{_ADVICE}")
    return previous


def table(entry: Mapping[str, Any], *, number: int) -> "pd.DataFrame":
    """One entry as a row of `monitoring_audit`; `number` is its line, from 1."""
    import pandas as pd

    facts = entry["facts"]
    row = {
        "number": number,
        "decided_at": pd.Timestamp(entry["at"]).as_unit("ms"),
        **{name: entry[name] for name in ("kind", "who", "why", "previous", "digest")},
        "endpoint": facts.get("endpoint"),
        "model_version": facts.get("version") or facts.get("model_version"),
        "artefact_digest": facts.get("digest") or facts.get("artefact_digest"),
        "facts": line(facts),
    }
    return pd.DataFrame([row])[MONITORING_AUDIT.names]


_ADVICE = "; keep the file as it is and compare it with a backup"


def _parse(text: str, number: int) -> dict[str, Any]:
    try:
        body = json.loads(text)
        same = isinstance(body, dict) and line(body).encode() == text.rstrip("\n").encode()
    except ValueError:
        raise TableError(f"audit line {number} is torn: not valid JSON{_ADVICE}") from None
    if not same:
        raise TableError(f"audit line {number} was altered: not as it was written{_ADVICE}")
    return dict(body)


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(line(body).encode()).hexdigest()
