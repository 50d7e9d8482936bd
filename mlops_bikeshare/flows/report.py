"""The demo's report: `report.json` for programs, `report.html` for people, a summary for both.

The page is one file without a reference to anything outside it.
"""

import html
import json
from typing import Any

from mlops_bikeshare.backends import Workspace

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
body{color:#1b1f24}
table{border-collapse:collapse;width:100%;margin:.5rem 0 1.5rem}
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #d8dee4}
td{font-variant-numeric:tabular-nums}
.pass,.fail,.unknown{font-weight:600}
.pass{color:#116329}.fail{color:#a40e26}.unknown{color:#7d4e00}
@media (prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}th,td{border-color:#30363d}
.pass{color:#56d364}.fail{color:#ff7b72}.unknown{color:#e3b341}}
"""


def write(ws: Workspace, document: dict[str, Any]) -> dict[str, Any]:
    """Write both files into the workspace; the document comes back unchanged."""
    ws.path.mkdir(parents=True, exist_ok=True)
    files = {"report.json": json.dumps(document, indent=1), "report.html": page(document)}
    for name, text in files.items():
        draft = ws.path / f".{name}"
        draft.write_text(text, encoding="utf-8")
        draft.replace(ws.path / name)
    return document


def summary(document: dict[str, Any]) -> str:
    """What happened, in about ten lines."""
    lines = [
        f"{document['city']}: {document['stations']} stations, replayed {document['window']}",
        f"trained on {document['train']['rows']:,} rows in {document['train']['seconds']:.0f} s",
    ]
    for target, q in document["quality"].items():
        lines.append(
            f"{target} at 30 min: onset PR-AUC {_number(q['onset_pr_auc'])} (persistence"
            f" {_number(q['persistence']['onset_pr_auc'])}), Brier skill"
            f" {_number(q['brier_skill'])}"
        )
    replay, gate = document["replay"], document["gate"]
    lines.append(
        f"replay: {replay['polls']} polls, {replay['batches']} batches,"
        f" {replay['failed_batches']} failed, {replay['seconds']:.0f} s"
    )
    lines.append(f"gate: {gate['verdict']}")
    lines += [
        f"  {c['name']}: {_number(c['value'])}, needs {c['relation']} {_number(c['threshold'])};"
        f" {c['detail']}"
        for c in gate["checks"]
        if not c["passed"]
    ]
    lines += _moves(document)
    lines.append(f"{document['seconds_total']:.0f} s in all; report: var/demo/report.html")
    return "\n".join(lines)


def page(document: dict[str, Any]) -> str:
    """The report as a self-contained page."""
    quality = [
        [
            target,
            q["rows"],
            q["pr_auc"],
            q["persistence"]["pr_auc"],
            q["onset_pr_auc"],
            q["persistence"]["onset_pr_auc"],
            q["brier_skill"],
            q["onset_brier_skill"],
            q["ece"],
        ]
        for target, q in document["quality"].items()
    ]
    checks = [
        [
            c["name"],
            c["value"],
            f"{c['relation']} {_number(c['threshold'])}",
            c["verdict"],
            c["detail"],
        ]
        for c in document["gate"]["checks"]
    ]
    head = ["target", "rows", "PR-AUC", "persistence", "onset PR-AUC", "persistence"]
    parts = [
        f"<h1>{html.escape(document['city'])}, {html.escape(document['window'])}</h1>",
        "<pre>" + html.escape(summary(document)) + "</pre>",
        "<h2>The challenger on the replayed day, 30 minutes ahead</h2>",
        _table([*head, "Brier skill", "onset Brier skill", "ECE"], quality),
        f"<h2>Gate: <span class={document['gate']['verdict']}>{document['gate']['verdict']}</span>",
        "</h2>",
        _table(["check", "value", "needs", "verdict", "what was seen"], checks),
    ]
    title = f"<title>{html.escape(document['city'])}: lifecycle report</title>"
    frame = f'<!doctype html><html lang="en"><meta charset="utf-8">{title}<style>{_STYLE}</style>'
    return frame + "\n".join(parts) + "</html>\n"


def _moves(document: dict[str, Any]) -> list[str]:
    moves = []
    for kind in ("promotion", "rollback"):
        moved = document[kind]
        if moved is None:
            moves.append(f"{kind}: none, because the gate did not pass")
        else:
            way = f"version {moved['from_version']} to {moved['to_version']}"
            moves.append(f"{kind}: {moved['endpoint']} {way} in {moved['seconds']:.1f} s")
    return moves


def _table(head: list[str], rows: list[list[Any]]) -> str:
    top = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(_number(cell))}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _number(value: Any) -> str:
    if value is None:
        return "unknown"
    return f"{value:.3f}" if isinstance(value, float) else str(value)[:60]
