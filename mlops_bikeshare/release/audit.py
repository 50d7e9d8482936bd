"""The audit: JSON lines, each sealed with the digest of itself and its predecessor.

Input    facts as plain JSON values, and the digest of the last line (None for the first).
Output   entries (dict) and their text, one line each without a newline at the end.
Raises   TableError naming the first line that was altered, removed, added or torn.
Source   hash chain: digest = sha256 of the canonical JSON (sorted keys, no spaces, UTF-8) of the
         entry without `digest`. It shows tampering inside; cut-off lines at the end show only
         against a digest kept elsewhere (the version's tags), passed as `last`.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mlops_bikeshare.domain.errors import TableError
from mlops_bikeshare.domain.tables import MONITORING_AUDIT

if TYPE_CHECKING:
    import pandas as pd


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


def verify(lines: Iterable[str], *, last: str | None = None) -> str | None:
    """Check the chain and return its last digest (None if empty), which must be `last` if given."""
    previous: str | None = None
    for number, text in enumerate(lines, start=1):
        body = _parse(text, number)
        digest = body.pop("digest", None)
        if body.get("previous") != previous:
            raise TableError(f"audit line {number} does not follow line {number - 1}{_ADVICE}")
        if digest != _digest(body):
            raise TableError(f"audit line {number} was altered: its digest is not its own{_ADVICE}")
        previous = digest
    if last is not None and previous != last:
        raise TableError(f"the audit ends in {previous}, expected {last}: lines are gone{_ADVICE}")
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
