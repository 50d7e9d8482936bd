"""When a release may not start: no fresh pass, a clock that went back, an alias moved by hand.

Input    the gate's report, times of the workspace's clock, versions by name.
Raises   Refused with the reason and what to do.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from mlops_bikeshare.domain.errors import Refused
from mlops_bikeshare.domain.reports import GateReport, to_json
from mlops_bikeshare.settings import GateSettings

SKEW = timedelta(minutes=1)
TAKEN_BACK = ("rollback", "promotion failed", "rollback failed")


def check_fresh(
    report: GateReport | None, digest: str, now: datetime, rules: GateSettings
) -> GateReport:
    """The report, if it is a fresh pass of this very artefact; else Refused with the reason."""
    again = "run `bikeshare gate` again"
    if report is None:
        raise Refused(f"no gate report for artefact {digest[:12]}; run `bikeshare gate` first")
    if report.verdict != "pass":
        lines = ", ".join(f"{check.name} {check.verdict}" for check in report.failed)
        raise Refused(
            f"the gate's verdict on version {report.model_version} is {report.verdict}: {lines}"
        )
    if report.artefact_digest != digest:
        msg = f"the gate judged artefact {report.artefact_digest[:12]}, not {digest[:12]}"
        raise Refused(f"{msg}; deploy this one to staging and {again}")
    age = now - report.judged_at
    if not timedelta(0) <= age <= timedelta(minutes=rules.fresh_min):
        msg = f"the pass of {report.judged_at:%F %H:%M} is {age} old at {now:%F %H:%M}"
        raise Refused(f"{msg}; it holds for {rules.fresh_min} min. {again.capitalize()}")
    return report


def check_compared(report: GateReport, champion: str | None) -> None:
    """Refused when a pass did not compare with the version that is the champion today."""
    again = "run `bikeshare gate` again"
    if champion is None:
        return
    if report.initial:
        msg = f"the pass is of a first deploy (--initial), but version {champion} is the champion"
        raise Refused(f"{msg}; {again}, without --initial")
    compared = report.pinned.get("champion_version")
    if compared != champion:
        msg = f"the pass compared with champion {compared or 'unknown'}, which is now {champion}"
        raise Refused(f"{msg}; {again}")


def check_not_taken_back(
    entries: Sequence[Mapping[str, Any]], report: GateReport, endpoint: str
) -> None:
    """Refused when production was taken back after the pass; the order of the audit decides."""
    judged = [i for i, e in enumerate(entries) if e["kind"] == "gate" and _is_of(e, report)]
    backs = [
        i
        for i, e in enumerate(entries)
        if e["kind"] in TAKEN_BACK and e["facts"].get("endpoint") == endpoint
    ]
    if backs and backs[-1] > max(judged, default=-1):
        back = entries[backs[-1]]
        msg = f"{endpoint} was taken back ({back['kind']}, {back['at']}) after that pass"
        raise Refused(f"{msg}; run `bikeshare gate` again")


def _is_of(entry: Mapping[str, Any], report: GateReport) -> bool:
    facts = entry["facts"]
    told = facts.get("artefact_digest"), facts.get("judged_at")
    return told == (report.artefact_digest, to_json(report.judged_at))


def check_clock(now: datetime, last: datetime | None) -> None:
    """Refused when the clock stands before the last decision: freshness could not be judged."""
    if last is not None and now < last - SKEW:
        msg = f"the clock says {now:%F %H:%M}, but the last decision was at {last:%F %H:%M}"
        raise Refused(f"{msg}; set the clock right, then start again")


def check_champion(served: str | None, champion: str | None, endpoint: str) -> None:
    """Refused when the alias does not stand for what production serves: somebody moved it."""
    if served is not None and served != champion:
        stands = f"version {champion}" if champion else "no version"
        msg = f"alias champion stands for {stands}, but {endpoint} serves version {served}"
        raise Refused(f"{msg}: it was moved by hand. Put it back, or `bikeshare rollback`")
