"""Waivers: a person forgives a check that failed, for one artefact and for some hours.

Input    what was asked for on the command line; entries of the audit.
Output   Waiver, and back from the audit's facts.
Raises   Refused where the catalogue does not allow it, without a reason, or for too long.

A waiver forgives a value that was measured and failed. What is missing, stale or too thin stays
unknown: nobody can forgive what nobody has seen.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from mlops_bikeshare.domain.errors import Refused
from mlops_bikeshare.domain.reports import GateCheck
from mlops_bikeshare.release.catalogue import CATALOGUE, check_of
from mlops_bikeshare.settings import GateSettings

KIND = "waiver"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """Who forgives which check of which artefact, why, and until when."""

    check: str
    endpoint: str
    artefact_digest: str
    reason: str
    author: str
    granted_at: datetime
    expires_at: datetime

    def told(self) -> str:
        """For the line that it forgives."""
        return f"{self.author} until {self.expires_at:%F %H:%M}: {self.reason}"

    def facts(self) -> dict[str, str]:
        """Plain values, read back by `waivers_in`."""
        times = {"granted_at": self.granted_at, "expires_at": self.expires_at}
        names = ("check", "endpoint", "artefact_digest", "reason", "author")
        texts = {name: str(getattr(self, name)) for name in names}
        return {**texts, **{name: at.isoformat() for name, at in times.items()}}


def grant(waiver: Waiver, rules: GateSettings) -> Waiver:
    """The waiver, if it may be given."""
    if not check_of(waiver.check).waivable:
        allowed = ", ".join(check.name for check in CATALOGUE if check.waivable)
        raise Refused(f"check {waiver.check!r} cannot be waived; only {allowed} can")
    if not waiver.reason.strip():
        raise Refused(f"a waiver of {waiver.check} needs a reason: give one with --reason")
    longest = timedelta(hours=rules.waiver_max_h)
    if not timedelta(0) < waiver.expires_at - waiver.granted_at <= longest:
        msg = f"a waiver must end within {rules.waiver_max_h} h of {waiver.granted_at:%F %H:%M}"
        raise Refused(f"{msg}, got {waiver.expires_at:%F %H:%M}; give --until a time before that")
    return waiver


def waivers_in(entries: Iterable[Mapping[str, Any]]) -> list[Waiver]:
    """The waivers that an audit holds."""
    return [_waiver(entry["facts"]) for entry in entries if entry["kind"] == KIND]


def _waiver(facts: Mapping[str, str]) -> Waiver:
    return Waiver(
        check=facts["check"],
        endpoint=facts["endpoint"],
        artefact_digest=facts["artefact_digest"],
        reason=facts["reason"],
        author=facts["author"],
        granted_at=datetime.fromisoformat(facts["granted_at"]),
        expires_at=datetime.fromisoformat(facts["expires_at"]),
    )


def forgiven(
    checks: Sequence[GateCheck],
    waivers: Sequence[Waiver],
    *,
    endpoint: str,
    artefact_digest: str,
    at: datetime,
    rules: GateSettings,
) -> tuple[list[GateCheck], list[Waiver]]:
    """The checks, failures marked that a waiver forgives, and the waivers that were used."""
    # A pass is good for some minutes: it must not outlive the waiver it rests on.
    needed = at + timedelta(minutes=rules.fresh_min)
    holding = {
        waiver.check: waiver
        for waiver in waivers
        if (waiver.endpoint, waiver.artefact_digest) == (endpoint, artefact_digest)
        and waiver.granted_at <= at
        and waiver.expires_at >= needed
        and check_of(waiver.check).waivable
    }
    used = [holding[c.name] for c in checks if c.verdict == "fail" and c.name in holding]
    names = {waiver.check for waiver in used}
    marked = [replace(c, waived=holding[c.name].told()) if c.name in names else c for c in checks]
    return marked, used
