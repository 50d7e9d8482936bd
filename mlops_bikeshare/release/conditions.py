"""When a release may not start: no fresh pass, a clock that went back, an alias moved by hand.

Input    the gate's report, times of the workspace's clock, versions by name.
Raises   Refused with the reason and what to do.
"""

from datetime import datetime, timedelta

from mlops_bikeshare.domain.errors import Refused
from mlops_bikeshare.domain.reports import GateReport
from mlops_bikeshare.settings import GateSettings

SKEW = timedelta(minutes=1)


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
