"""What a drill found, as a table for the screen and as a page of HTML.

Input    the document of `flows.drill.drill`.
Output   text; HTML that refers to nothing outside it.
"""

import html
from typing import Any

from mlops_bikeshare.flows.pages.page_style import framed


def table(document: dict[str, Any]) -> str:
    """A block per fault."""
    lines = []
    for found in document["findings"]:
        lines.append(f"{'held  ' if found['held'] else 'FAILED'}  {found['fault']}{_times(found)}")
        lines.append(f"        expected: {found['expected']}")
        lines += [f"        {'yes' if was else 'NO '} {what}" for what, was in _asked(found)]
    lines += ["", "alarms: from the fault's start until told, from its end until quiet"]
    lines += [f"        {_alarm(row)}" for row in document["alarms"]]
    if document["memory_mb"]:
        held = ", ".join(f"{day[5:]} {mb}" for day, mb in document["memory_mb"].items())
        lines.append(f"memory at midnight, MB: {held}")
    count = sum(found["held"] for found in document["findings"])
    head = f"{document['city']}: {count} of {len(document['findings'])} faults held"
    return "\n".join([*lines, f"{head}, {document['days']} days in {document['seconds_total']} s"])


def page(document: dict[str, Any]) -> str:
    """The whole page."""
    rows = "".join(_row(found) for found in document["findings"])
    title = f"Drill of {document['city']}, {document['days']} days"
    head = "<tr><th>fault<th>from, UTC<th>expected<th>what happened<th>detected<th>restored"
    body = f"<h1>{html.escape(title)}</h1><table><thead>{head}<tbody>{rows}</table>"
    return framed(title, body)


def _alarm(row: dict[str, Any]) -> str:
    quiet = _minutes(row["quiet_min"]) or "still standing"
    if (row["quiet_min"] or 0) < 0:
        quiet = "before its end"
    return f"{row['alarm']}: {_minutes(row['detected_min'])}, {quiet} ({row['fault']})"


def _row(found: dict[str, Any]) -> str:
    asked = "".join(
        f'<p><span class="badge {"pass" if was else "fail"}">{"yes" if was else "no"}</span>'
        f" {html.escape(what)}"
        for what, was in _asked(found)
    )
    cells = [
        html.escape(found["fault"]),
        html.escape(str(found["start"])[:16].replace("T", " ")),
        html.escape(found["expected"]),
        asked,
        _minutes(found["detected_min"]),
        _minutes(found["restored_min"]),
    ]
    return "<tr>" + "".join(f"<td>{cell}" for cell in cells)


def _asked(found: dict[str, Any]) -> list[tuple[str, bool]]:
    return list(found["happened"].items())


def _times(found: dict[str, Any]) -> str:
    told = [
        f"{word} after {_minutes(found[key])}"
        for word, key in (("detected", "detected_min"), ("restored", "restored_min"))
        if found[key] is not None
    ]
    return f" ({', '.join(told)})" if told else ""


def _minutes(value: float | None) -> str:
    return "" if value is None else f"{value:.0f} min"
