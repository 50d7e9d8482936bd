"""The report as one page of HTML that refers to nothing outside it.

Input    the document of docs/report.md, what happened in order, and sections of pictures.
Output   HTML text: light and dark by the reader's setting, readable from 360 px; pictures are
         inline SVG in the page's own colours.
"""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mlops_bikeshare.flows.pages.page_style import framed
from mlops_bikeshare.flows.pages.pictures import Panel, svg

SMALL, LARGE = 0.01, 10
FILES = (
    ("report.json", "this report for programs (docs/report.md)"),
    ("gate/", "every verdict with its evidence"),
    ("journal/", "promotions and rollbacks, step by step"),
    ("audit.jsonl", "who decided what and why, hash-chained"),
    ("lake/", "polls, slots, features, predictions, quality, drift (Parquet)"),
    ("metrics.db", "the metrics that CloudWatch would hold"),
    ("mlflow.db", "runs and registry"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One step of what happened; `when` is the workspace's time, UTC, or empty."""

    when: str
    title: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Pictures that answer one question."""

    title: str
    text: str
    panels: Sequence[Panel]


def page(document: dict[str, Any], story: Sequence[Event], sections: Sequence[Section]) -> str:
    """The whole page."""
    title = f"{document['city']}: a model's life, {document['window']}"
    body = [
        _head(document),
        _part("What happened", _timeline(story)),
        _part("Quality on the replayed day, 30 minutes ahead", _quality(document)),
        *_dispatch(document.get("dispatch", {})),
        *(_part(s.title, _figures(s)) for s in sections if s.panels),
        _part("The gate", _gate(document["gate"])),
        _part("Promotion and rollback", _moves(document)),
        _part("Look further", _further()),
    ]
    return framed(title, "".join(body))


def number(value: Any) -> str:
    """A value for people: three digits that matter, long digests cut, None unknown."""
    if value is None:
        return "unknown"
    if isinstance(value, str):
        return value[:12] if len(value) > 40 else value  # noqa: PLR2004 - a digest has 64
    if float(value).is_integer():
        return f"{value:,.0f}"
    if abs(value) < SMALL:
        return f"{value:.2g}"
    return f"{value:.3f}" if abs(value) < LARGE else f"{value:,.1f}"


def _head(document: dict[str, Any]) -> str:
    gate, replay = document["gate"], document["replay"]
    latency = [c["value"] for c in gate["checks"] if c["name"].startswith("ModelLatency")]
    known = [value for value in latency if value is not None]
    facts = [
        (f"{document['stations']:,}", "stations"),
        (f"{document['train']['rows']:,}", "rows learned from"),
        (f"{replay['batches'] - replay['failed_batches']} of {replay['batches']}", "batches"),
        (f"{max(known):.0f} ms" if known else "unknown", "slowest hour, p95"),
        (f"{document['seconds_total']:.0f} s", "for all of it"),
    ]
    cards = "".join(f"<div><b>{_text(v)}</b><span>{_text(k)}</span></div>" for v, k in facts)
    where = f"{_text(document['city'])} · {_text(document['window'])} UTC"
    headline = _text(document["headline"]).replace(" s;", "&nbsp;s;").replace(" s.", "&nbsp;s.")
    verdict = f'<span class="badge {gate["verdict"]}">gate: {_text(gate["verdict"])}</span>'
    return (
        f'<header><p class="kicker">{where} {verdict}</p><h1>{headline}</h1>'
        f'<div class="cards">{cards}</div></header>'
    )


def _timeline(story: Sequence[Event]) -> str:
    items = "".join(
        f"<li><h3>{_text(e.title)} <time>{_text(e.when)}</time></h3><p>{_text(e.text)}</p></li>"
        for e in story
    )
    return f'<ol class="timeline">{items}</ol>'


def _quality(document: dict[str, Any]) -> str:
    keys = ("onset_pr_auc", "pr_auc", "brier", "onset_brier_skill", "brier_skill", "ece", "f1")
    head = ["target", "who", "onset PR-AUC", "PR-AUC", "Brier", "onset skill", "skill", "ECE", "F1"]
    challenger, champion = document["gate"]["model_version"], document.get("champion")
    rows: list[list[str]] = []
    for target, q in document["quality"].items():
        said = [(f"version {challenger} (challenger)", q)]
        if champion is not None and target in champion["quality"]:
            said.append((f"version {champion['version']} (champion)", champion["quality"][target]))
        said.append(("persistence", q["persistence"]))
        rows += [
            [target, who, *(number(s[key]) if key in s else "" for key in keys)] for who, s in said
        ]
    note = (
        "Higher is better, but for Brier and ECE. Onset: stations not out at the time of the"
        " prediction. Persistence answers with how often a station with that count was out later;"
        " skill is the share of its Brier score that the model removes."
    )
    return _table(head, [[_text(cell) for cell in row] for row in rows]) + _note(note)


def _dispatch(told: dict[str, Any]) -> list[str]:
    """What alert budgets are worth; nothing where no hour could be judged."""
    keys = ("precision", "recall", "best_recall", "lead_min", "minutes_covered")
    head = ["target", "who", "alerts an hour", "precision", "recall", "best recall", "lead, min"]
    rows = [
        [target, who, str(b["stations_per_hour"]), *(number(b[key]) for key in keys)]
        for target, methods in told.items()
        for who, budgets in methods.items()
        for b in budgets
    ]
    if not rows:
        return []
    note = (
        "Every full hour the stations most likely to run out, of those not out, are alerted; the"
        " following hour judges. Best recall: perfect foresight under the same budget. Minutes"
        " covered: the share of the stockout minutes that fell on alerted stations."
    )
    table = _table([*head, "minutes covered"], [[_text(cell) for cell in row] for row in rows])
    return [_part("What dispatch feels", table + _note(note))]


def _figures(section: Section) -> str:
    shown = "".join(
        f"<figure><figcaption>{_text(panel.title)}</figcaption>{svg(panel)}</figure>"
        for panel in section.panels
    )
    return _note(section.text) + f'<div class="figures">{shown}</div>'


def _gate(gate: dict[str, Any]) -> str:
    rows = [
        [
            _text(c["name"]),
            _text(number(c["value"]) if c["value"] is not None else "missing"),
            _text(f"{c['relation']} {number(c['threshold'])}"),
            f'<span class="badge {c["verdict"]}">{c["verdict"]}</span>',
            _text(c["detail"]),
        ]
        for c in gate["checks"]
    ]
    return _table(["check", "value", "needs", "verdict", "what was seen"], rows)


def _moves(document: dict[str, Any]) -> str:
    parts = []
    for kind in ("promotion", "rollback"):
        moved = document[kind]
        if moved is None:
            parts.append(_note(f"No {kind}: the gate did not pass."))
            continue
        way = f"version {moved['from_version'] or 'none'} → {moved['to_version']}"
        facts = [
            ("endpoint", moved.get("endpoint")),
            ("EndpointConfig", moved.get("endpoint_config")),
            ("artefact digest", moved.get("artefact_digest")),
            ("took", f"{moved['seconds']:.1f} s"),
        ]
        listed = "".join(
            f"<dt>{_text(name)}</dt><dd><code>{_text(value)}</code></dd>"
            for name, value in facts
            if value is not None
        )
        parts.append(f"<div><h3>{kind.capitalize()}: {_text(way)}</h3><dl>{listed}</dl></div>")
    return f'<div class="moves">{"".join(parts)}</div>'


def _further() -> str:
    windows = [
        ("make dashboard", "the city map: which station runs out, and when"),
        ("make mlflow-ui", "runs side by side, the registry, the gate's evidence"),
    ]
    listed = [f"<dt><code>{command}</code></dt><dd>{text}</dd>" for command, text in windows]
    listed += [
        f'<dt><a href="{name}"><code>{name}</code></a></dt><dd>{text}</dd>' for name, text in FILES
    ]
    return f'<dl class="further">{"".join(listed)}</dl>'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells are HTML; on a narrow screen a row becomes a card that names its cells."""
    top = "".join(f"<th>{_text(name)}</th>" for name in head)
    body = "".join(
        "<tr>"
        + "".join(
            f'<td data-name="{_text(name)}">{cell}</td>'
            for name, cell in zip(head, row, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _part(title: str, content: str) -> str:
    return f"<section><h2>{_text(title)}</h2>{content}</section>"


def _note(text: str) -> str:
    return f'<p class="note">{_text(text)}</p>'


def _text(value: Any) -> str:
    return html.escape(str(value))
