"""The gate: may this version go to production.

Input    GateEvidence: what the metric store, the endpoint and the lake had to say, None or absent
         where they said nothing; GateSettings: the thresholds; waivers.
Output   GateReport. A check is `unknown` where its evidence is missing, stale or too thin, never
         `pass`. One `fail` that is not waived fails the gate; else one `unknown` leaves it unknown.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from mlops_bikeshare.domain.reports import GateCheck, GateReport, Verdict
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.release import against, checks
from mlops_bikeshare.release.evidence import GateEvidence
from mlops_bikeshare.release.waivers import Waiver, forgiven
from mlops_bikeshare.settings import GateSettings


def judge(
    evidence: GateEvidence,
    rules: GateSettings,
    *,
    initial: bool = False,
    waivers: Sequence[Waiver] = (),
) -> GateReport:
    """The verdict; `initial` leaves out the champion, for there is none yet."""
    found = [*checks.all_of(evidence, rules), *against.persistence(evidence, rules)]
    if not initial:
        found += [*against.champion(evidence, rules), *against.neighbourhoods(evidence, rules)]
    judged, used = forgiven(
        found,
        waivers,
        endpoint=evidence.endpoint,
        artefact_digest=evidence.artefact_digest,
        at=evidence.judged_at,
        rules=rules,
    )
    return GateReport(
        verdict=overall(judged),
        city=evidence.city,
        endpoint=evidence.endpoint,
        model_version=evidence.model_version,
        artefact_digest=evidence.artefact_digest,
        window=evidence.window,
        judged_at=evidence.judged_at,
        checks=tuple(judged),
        initial=initial,
        waivers=tuple(waiver.facts() for waiver in used),
        pinned=evidence.pinned,
    )


def overall(checks: Sequence[GateCheck]) -> Verdict:
    """Fail if one fails, else unknown if one is (or there is none), else pass."""
    verdicts = {check.verdict for check in checks if not check.waived}
    if "fail" in verdicts:
        return "fail"
    return "pass" if checks and verdicts <= {"pass"} else "unknown"


def report_from_json(document: Mapping[str, Any]) -> GateReport:
    """A report as `domain.reports.to_json` wrote it."""
    return GateReport(
        **{
            **document,
            "window": Window.parse(document["window"], key="window"),
            "judged_at": datetime.fromisoformat(document["judged_at"]),
            "checks": tuple(_check(check) for check in document["checks"]),
            "waivers": tuple(document["waivers"]),
        }
    )


def _check(document: Mapping[str, Any]) -> GateCheck:
    facts = {name: value for name, value in document.items() if name != "passed"}
    at = facts.get("next_at")
    return GateCheck(**{**facts, "next_at": datetime.fromisoformat(at) if at else None})
