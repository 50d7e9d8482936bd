"""Who served when, told from the audit alone.

Input    the audit's entries (dict), oldest first, and the name of an endpoint.
Output   Reigns, oldest first: half-open [since, until), until None for what serves now. A canary
         is a reign of its own, with the share of each version.
Source   the entries' order is the order of events; where a clock went back, a reign starts when the
         one before it did at the earliest, so that no time has two answers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

MOVES = ("deploy", "canary", "promotion", "rollback", "promotion failed", "rollback failed")
SETTLED = ("deploy", "promotion", "rollback")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reign:
    """What an endpoint served for a time; `shares` maps version to its share of the traffic."""

    endpoint: str
    version: str
    artefact_digest: str
    endpoint_config: str
    shares: Mapping[str, float]
    since: datetime
    until: datetime | None
    kind: str
    who: str
    why: str
    audit_digest: str


def reigns(entries: Sequence[Mapping[str, Any]], endpoint: str) -> list[Reign]:
    """Every reign of an endpoint."""
    found: list[Reign] = []
    for entry in entries:
        facts = entry["facts"]
        if facts.get("endpoint") != endpoint or entry["kind"] not in MOVES:
            continue
        if facts.get("version") is None:  # it failed, and nothing was there before
            continue
        since = datetime.fromisoformat(entry["at"])
        if found:
            since = max(since, found[-1].since)
            found[-1] = replace(found[-1], until=since)
        found.append(_reign(entry, since))
    return found


def at(found: Sequence[Reign], when: datetime) -> Reign | None:
    """What served at a time; None before the first deploy."""
    return next((r for r in found if r.since <= when and (r.until is None or when < r.until)), None)


def last_settled(
    entries: Sequence[Mapping[str, Any]], endpoint: str, version: str
) -> Mapping[str, Any] | None:
    """The facts of the newest deploy, promotion or rollback that put a version on an endpoint."""
    for entry in reversed(entries):
        facts = entry["facts"]
        mine = (facts.get("endpoint"), facts.get("version")) == (endpoint, version)
        if mine and entry["kind"] in SETTLED:
            return dict(facts)
    return None


def came_before(entries: Sequence[Mapping[str, Any]], endpoint: str, version: str) -> str | None:
    """The champion that a version took over from, when it was last deployed or promoted."""
    forward = [entry for entry in entries if entry["kind"] in {"deploy", "promotion"}]
    facts = last_settled(forward, endpoint, version) or {}
    before = facts.get("from_version")
    return None if before in (None, version) else str(before)


def _reign(entry: Mapping[str, Any], since: datetime) -> Reign:
    facts = entry["facts"]
    version = str(facts["version"])
    return Reign(
        endpoint=facts["endpoint"],
        version=version,
        artefact_digest=str(facts.get("digest") or facts.get("artefact_digest") or ""),
        endpoint_config=str(facts.get("endpoint_config") or ""),
        shares=dict(facts.get("shares") or {version: 1.0}),
        since=since,
        until=None,
        kind=entry["kind"],
        who=entry["who"],
        why=entry["why"],
        audit_digest=entry["digest"],
    )
