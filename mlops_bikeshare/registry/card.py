"""The card of a version: what it is, what it learned from, how good it was, where it is weak.

Input    `Card`, plain values; `evidence` per target as `flows.evidence` makes it, empty without a
         test. Nothing here knows the problem but by those names.
Output   Markdown, short enough for a tag of an MLflow run (`LONGEST` characters).
Source   Mitchell et al. 2019, Model cards for model reporting.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CARD = "card.md"
LONGEST = 7500
_TOP = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What a card says."""

    title: str
    summary: str
    intended_use: Sequence[str]
    limits: Sequence[str]
    facts: Mapping[str, str]
    contributions: Mapping[str, Mapping[str, float]]
    evidence: Mapping[str, Any]
    warnings: Sequence[str] = ()


def render(card: Card) -> str:
    """The card as Markdown."""
    parts = [
        f"# {card.title}",
        card.summary,
        _section("Intended use", _bullets(card.intended_use)),
        _section("Data and lineage", _table(("what", "value"), list(card.facts.items()))),
        *(_target(name, told) for name, told in card.evidence.items()),
    ]
    if not card.evidence:
        parts.append(_section("Figures", "No days were kept for a test; see how it served."))
    parts += [
        _section("What it looks at", _bullets(_looks(card.contributions))),
        _section("Limits", _bullets([*card.limits, *card.warnings])),
    ]
    text = "\n\n".join(parts) + "\n"
    return text if len(text) <= LONGEST else text[: LONGEST - 20].rsplit("\n", 1)[0] + "\n\n(cut)\n"


def _target(name: str, told: Mapping[str, Any]) -> str:
    return _section(
        name,
        "\n\n".join([_head(told["figures"]), _dispatch(told["dispatch"]["model"]), *_rest(told)]),
    )


def _head(figures: Mapping[str, Any]) -> str:
    rates = f"base rate {_text(figures['base_rate'])}, onset {_text(figures['onset_base_rate'])}"
    rows = f"{figures['rows']:,} rows, {figures['onset_rows']:,} of them onset rows (not out yet)"
    lines = [
        (score, _text(v["model"]), _between(v["interval"]), _text(v["persistence"]))
        for score, v in figures["scores"].items()
    ]
    return (
        f"{rows}; {rates}.\n\n{_table(('score', 'model', '95 % interval', 'persistence'), lines)}"
    )


def _dispatch(budgets: Sequence[Mapping[str, Any]]) -> str:
    head = ("alerts an hour", "precision", "recall", "best recall", "lead min", "minutes covered")
    return _table(head, [_budget(b) for b in budgets])


def _rest(told: Mapping[str, Any]) -> list[str]:
    """What alarms are worth, and the worst slices where there are any."""
    alarms, worst = told["alarms"], told["slices"]["worst"]
    line = (
        f"Alarms from {_text(alarms['threshold'])} on, if a miss costs {alarms['cost_ratio']:g}"
        f" false alarms: precision {_text(alarms['precision'])}, recall {_text(alarms['recall'])},"
        f" {_text(alarms['cost_saved'])} of the cost of no alarm saved."
    )
    rows = [
        (dim, p["name"], _text(p["skill"]), _between(p["interval"]), f"{p['onsets']:,}")
        for dim, p in worst.items()
    ]
    head = ("worst", "slice", "onset Brier skill", "95 % interval", "onsets")
    return [line, _table(head, rows)] if rows else [line]


def _budget(b: Mapping[str, Any]) -> tuple[str, ...]:
    names = ("precision", "recall", "best_recall")
    lead = "unknown" if b["lead_min"] is None else f"{b['lead_min']:.0f}"
    shares = (_text(b[name]) for name in names)
    return str(b["stations_per_hour"]), *shares, lead, _text(b["minutes_covered"])


def _looks(contributions: Mapping[str, Mapping[str, float]]) -> list[str]:
    return [
        f"{target}: "
        + ", ".join(f"{name} {value:.2f}" for name, value in list(parts.items())[:_TOP])
        for target, parts in contributions.items()
    ]


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n{text}"


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _between(interval: Sequence[float] | None) -> str:
    return "none" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"


def _text(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
