"""A drift report as one page of HTML that refers to nothing outside it.

Input    a DriftReport that had enough, how the worst features and the answers are spread then and
         now, the rules it was judged by, and the largest PSI of the hours before.
Output   HTML text with inline SVG: light and dark by the reader's setting.
"""

import html
from collections.abc import Iterable, Sequence
from datetime import datetime

from mlops_bikeshare.domain.reports import DriftReport, FeedDrift
from mlops_bikeshare.flows.pages.page_style import framed
from mlops_bikeshare.flows.pages.pictures import Line, Panel, svg
from mlops_bikeshare.monitoring.drift import DriftRules, Shift

SPREADS = 4
_BARS, _NAMED = 15, 12
_BADGE = {"ok": "pass", "warn": "unknown", "critical": "fail", "not enough": "unknown"}


def page(
    report: DriftReport,
    shifts: Sequence[Shift],
    rules: DriftRules,
    *,
    history: Sequence[tuple[datetime, float]] = (),
) -> str:
    """The whole page."""
    who = f"{report.endpoint}, version {report.model_version}"
    parts = [
        _head(who, report, rules),
        _part("Features", _figures(_panels(report, rules, history))),
        _part("The features that moved most, and the answers", _figures(map(_spread, shifts))),
        _part("Values of the whole city", _ranges(report)),
        _part("Stations", _stations(report.feed, rules)),
        _part("All features", _table(report, rules)),
    ]
    return framed(f"Drift: {who}", "".join(parts))


def _head(who: str, report: DriftReport, rules: DriftRules) -> str:
    where = f"{_text(who)} · {_text(report.window)} UTC {_level(report)}"
    title = _text(_headline(report, rules))
    return f'<header><p class="kicker">{where}</p><h1>{title}</h1></header>'


def _headline(report: DriftReport, rules: DriftRules) -> str:
    worst = max(report.psi, key=lambda name: report.psi[name])
    above = sum(value > rules.warn for value in report.psi.values())
    return (
        f"{above} of {len(report.psi)} features drift; the largest PSI is"
        f" {report.psi[worst]:.3f} ({worst}), over {report.rows:,} rows"
    )


def _level(report: DriftReport) -> str:
    return f'<span class="badge {_BADGE[report.level]}">{_text(report.level)}</span>'


def _panels(
    report: DriftReport, rules: DriftRules, history: Sequence[tuple[datetime, float]]
) -> list[Panel]:
    limit = (f"warn: {rules.warn:g}", rules.warn)
    worst = sorted(report.psi.items(), key=lambda item: -item[1])[:_BARS]
    bars = Panel(title="PSI by feature", x_label="PSI of the window", bars=worst, limit=limit)
    if len(history) < 2:  # noqa: PLR2004 - one point is no line
        return [bars]
    hours = [(at - history[-1][0]).total_seconds() / 3600 for at, _ in history]
    line = Line(label="largest PSI", role="challenger", x=hours, y=[v for _, v in history])
    over = Panel(
        title="The largest PSI by hour",
        x_label="hours before the end of the window",
        y_label="PSI",
        lines=[line],
        limit=limit,
        least=0,
    )
    return [bars, over]


def _spread(shift: Shift) -> Panel:
    """Shares per bin; the last bin holds what is missing."""
    bins = range(1, len(shift.then) + 1)
    return Panel(
        title=f"{shift.name}: PSI {shift.psi:.3f}",
        x_label="bin of the reference, the last one: missing",
        y_label="share of rows",
        lines=[
            Line(label="trained on", role="persistence", x=bins, y=shift.then),
            Line(label="now", role="challenger", x=bins, y=shift.now),
        ],
        least=0,
    )


def _ranges(report: DriftReport) -> str:
    outside = [f"{name} in {share:.0%}" for name, share in report.out_of_range.items() if share]
    if not outside:
        return _note("Weather, calendar and network fill stayed within their training ranges.")
    return _note(f"Outside the training range, by share of rows: {', '.join(outside)}.")


def _stations(feed: FeedDrift | None, rules: DriftRules) -> str:
    if feed is None:
        return _note("This version does not carry its stations: unknown.")
    moved = [f"{station} by {metres:,.0f} m" for station, metres in feed.moved]
    lines = [
        f"{feed.known} stations are known to the version.",
        f"New: {_named(feed.appeared)}.",
        f"Gone: {_named(feed.vanished)}.",
        f"Moved by {rules.moved_m:g} m or more: {_named(moved)}.",
    ]
    return _note(" ".join(lines))


def _named(stations: Sequence[str]) -> str:
    more = f" and {len(stations) - _NAMED} more" if len(stations) > _NAMED else ""
    return f"{', '.join(stations[:_NAMED])}{more}" if stations else "none"


def _table(report: DriftReport, rules: DriftRules) -> str:
    ordered = sorted(report.psi.items(), key=lambda item: -item[1])
    rows = "".join(
        f'<tr><td data-name="feature">{_text(name)}</td><td data-name="PSI">{value:.3f}</td>'
        f'<td data-name="level"><span class="badge {_BADGE[rules.level(value)]}">'
        f"{rules.level(value)}</span></td></tr>"
        for name, value in ordered
    )
    head = "<thead><tr><th>feature</th><th>PSI</th><th>level</th></tr></thead>"
    return f"<table>{head}<tbody>{rows}</tbody></table>"


def _figures(panels: Iterable[Panel]) -> str:
    shown = "".join(
        f"<figure><figcaption>{_text(panel.title)}</figcaption>{svg(panel)}</figure>"
        for panel in panels
    )
    return f'<div class="figures">{shown}</div>'


def _part(title: str, inner: str) -> str:
    return f"<section><h2>{_text(title)}</h2>{inner}</section>"


def _note(text: str) -> str:
    return f'<p class="note">{_text(text)}</p>'


def _text(value: object) -> str:
    return html.escape(str(value))
