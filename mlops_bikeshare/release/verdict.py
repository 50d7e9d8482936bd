"""A verdict for readers: a table and an explanation for people, JUnit XML for machines.

Input    GateReport.
Output   text. In JUnit a failed check is a failure, an unknown one an error, a waived one skipped.
Source   JUnit's XML as CI systems read it (testsuites, testsuite, testcase).
"""

from datetime import datetime
from xml.sax.saxutils import escape, quoteattr

from mlops_bikeshare.domain.reports import GateCheck, GateReport

_DIGEST = 64


def table(report: GateReport) -> str:
    """One line per check."""
    head = f"gate {report.verdict.upper()}: {report.endpoint} version {report.model_version},"
    lines = [f"{head} {report.window}"]
    for check in report.checks:
        verdict = "waived" if check.waived else check.verdict
        left = f"  {verdict:<7} {check.name:<32} {_shown(check.value):>12}"
        waived = f"; waived by {check.waived}" if check.waived else ""
        lines.append(f"{left} {check.relation} {_shown(check.threshold)}  {check.detail}{waived}")
    return "\n".join(lines)


def explanation(report: GateReport) -> str:
    """For each check in the way: what it needs, what would flip it, when to look again."""
    if not report.failed:
        return "nothing stands in the way"
    lines = [f"{len(report.failed)} of {len(report.checks)} checks stand in the way:"]
    for check in report.failed:
        needs = f"{check.relation} {_shown(check.threshold)}"
        lines.append(f"  {check.name}: {check.verdict}, {_shown(check.value)}, needs {needs}")
        lines += [f"    seen   {check.detail}"] if check.detail else []
        lines.append(f"    flips  {check.flips}")
        lines.append(f"    again  {_when(check.next_at, report.judged_at)}")
    return "\n".join(lines)


def junit(report: GateReport) -> str:
    """One test case per check."""
    cases = [_case(check, report) for check in report.checks]
    failures = sum("<failure" in case for case in cases)
    errors = sum("<error" in case for case in cases)
    skipped = sum("<skipped" in case for case in cases)
    name = quoteattr(f"gate of {report.endpoint} version {report.model_version}")
    counts = f'tests="{len(cases)}" failures="{failures}" errors="{errors}"'
    at = f"{report.judged_at:%Y-%m-%dT%H:%M:%S}"
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<testsuites name={name} {counts}>\n"
        f'<testsuite name={name} {counts} skipped="{skipped}" timestamp="{at}">\n'
        + "".join(cases)
        + "</testsuite>\n</testsuites>\n"
    )


def _case(check: GateCheck, report: GateReport) -> str:
    head = (
        f"<testcase classname={quoteattr(f'gate.{report.endpoint}')} name={quoteattr(check.name)}"
    )
    needs = f"{_shown(check.value)}, needs {check.relation} {_shown(check.threshold)}"
    if check.waived:
        inner = f"<skipped message={quoteattr(f'waived by {check.waived}')}/>"
    elif check.passed:
        return f"{head}><system-out>{escape(f'{needs}; {check.detail}')}</system-out></testcase>\n"
    else:
        kind = "failure" if check.verdict == "fail" else "error"
        again = f"would flip: {check.flips}; {_when(check.next_at, report.judged_at)}"
        text = escape(f"{check.detail}; {again}")
        inner = f"<{kind} message={quoteattr(f'{check.verdict}: {needs}')}>{text}</{kind}>"
    return f"{head}>{inner}</testcase>\n"


def _shown(value: float | str | None) -> str:
    if value is None:
        return "missing"
    if isinstance(value, str):
        return value[:12] if len(value) == _DIGEST else value
    return f"{value:.4g}" if value % 1 else f"{value:.0f}"


def _when(at: datetime | None, now: datetime) -> str:
    if at is None:
        return "as soon as that is done"
    minutes = max(0, round((at - now).total_seconds() / 60))
    hours = f" ({minutes // 60} h {minutes % 60} min)" if minutes else ""
    return f"at {at:%F %H:%M} at the earliest{hours}"
