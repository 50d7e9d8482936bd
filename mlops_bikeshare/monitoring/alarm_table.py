"""The catalogue as the tables of docs/ops_sla.md.

Input    alarms and events, and the page as it is.
Output   the page with the part between two comments made anew.
Raises   TableError for a page without those comments.
"""

from collections.abc import Iterable, Sequence

from mlops_bikeshare.domain.errors import TableError
from mlops_bikeshare.monitoring.alarm_catalogue import Catalogue
from mlops_bikeshare.monitoring.alarms import Alarm, Event
from mlops_bikeshare.monitoring.metrics import metric

BEGIN = "<!-- generated from ops/alarms.toml: run `make docs` -->"
END = "<!-- end of the generated part -->"
HEADS = ("alarm", "environment", "severity", "value", "fires when", "no data", "meaning")
_SHORT = {3600: "h", 60: "min"}


def filled(page: str, found: Catalogue) -> str:
    """The page with its tables."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise TableError(f"docs/ops_sla.md: expected the lines {BEGIN!r} and {END!r}")
    return f"{before}{begin}\n\n{tables(found)}\n{end}{after}"


def tables(found: Catalogue) -> str:
    """A row for each alarm, then one for each event."""
    rows = [_alarm(alarm) for alarm in found.alarms]
    news = [_event(event) for event in found.events]
    return f"{_table(HEADS, rows)}\n{_table(('event', 'severity', 'audit', 'meaning'), news)}"


def value(alarm: Alarm) -> str:
    """Such as `Sum of (A + B) / C, 5 min`."""
    signs = {1: " + ", -1: " - "}
    first, *rest = alarm.terms
    total = first[0] + "".join(signs[sign] + name for name, sign in rest)
    if alarm.per:
        total = f"{f'({total})' if rest else total} / {alarm.per}"
    shared = ", variants together" if alarm.variants == "together" else ""
    return f"{alarm.statistic} of {total}{shared}, {span(alarm.period_s)}"


def span(seconds: int) -> str:
    """Such as `10 min`."""
    step = next(step for step in _SHORT if seconds % step == 0)
    return f"{seconds // step} {_SHORT[step]}"


def _alarm(alarm: Alarm) -> tuple[str, ...]:
    unit = {"Microseconds": " µs", "Seconds": " s"}.get(metric(alarm.metric).unit, "")
    limit = f"{alarm.relation} {alarm.threshold:g}{unit}"
    return (
        f"[`{alarm.name}-{alarm.severity}`](runbook.md#{alarm.runbook})",
        alarm.stage,
        alarm.severity,
        value(alarm),
        f"{limit} in {alarm.breaching} of {alarm.periods}",
        alarm.missing,
        alarm.meaning,
    )


def _event(event: Event) -> tuple[str, ...]:
    name = f"[`{event.name}-info`](runbook.md#{event.runbook})"
    return (name, "info", ", ".join(event.kinds), event.meaning)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
