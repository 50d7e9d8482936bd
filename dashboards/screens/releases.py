"""Releases: what went to production when, who decided it and why."""

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import streamlit as st

from dashboards.readings import Choice, releases
from dashboards.readings.releases import Releases
from dashboards.screens import parts
from dashboards.wording import both_zones, figure, plain

if TYPE_CHECKING:
    from mlops_bikeshare.release.history import Reign

SHOWN = 50
_WHOLE_FROM = 1000
# Of a digest, which would push the other columns off the page; the audit has all of it.
_LONGEST = 12
_ABOUT = (
    "What served production when, and every decision with its verdict, who made it and why, as the"
    " audit has it."
)
_VERDICT = {"pass": ":green-badge[pass]", "fail": ":red-badge[fail]"}


def show(choice: Choice) -> None:
    """Draw the page."""
    parts.head("Releases", _ABOUT)
    _live(choice)


@st.cache_data(ttl=parts.REFRESH_S, show_spinner="Reading the audit …", hash_funcs={Choice: repr})
def _read(choice: Choice) -> Releases:
    return parts.there(releases.read(choice))


@st.fragment(run_every=parts.REFRESH_S)
def _live(choice: Choice) -> None:
    reading = parts.read(lambda: _read(choice), source="The audit")
    if reading is None:
        return
    if reading.proven is not None:
        st.caption(f"The audit's chain of {reading.proven} lines holds: none was altered.")
    if reading.mlflow_runs_here:
        st.caption("Versions link to MLflow's window; `make mlflow-ui` opens it on this machine.")
    st.header("Production", anchor=False)
    _reigns(reading)
    st.header("Decisions", anchor=False)
    rows = reading.decisions.head(SHOWN)
    st.markdown("\n".join(_lines(reading, rows.to_dict("records"))))
    if len(reading.decisions) > SHOWN:
        st.caption(f"The newest {SHOWN} of {len(reading.decisions)}; `bikeshare history` has all.")
    _verdicts(reading)


def _reigns(reading: Releases) -> None:
    if not reading.reigns:
        st.info("Nothing was in production yet.")
        return
    lines = ["| from | until | served | by |", "|---|---|---|---|"]
    zone = reading.city.zone
    for reign in reading.reigns[:SHOWN]:
        until = both_zones(reign.until, zone) if reign.until else "now"
        lines.append(
            f"| {both_zones(reign.since, zone)} | {until} | {_served(reading, reign)}"
            f" | {_cell(reign.kind)}, {_cell(reign.who)} |"
        )
    st.markdown("\n".join(lines))


def _served(reading: Releases, reign: "Reign") -> str:
    shares = [(version, share) for version, share in reign.shares.items() if share > 0]
    return ", ".join(
        _version(reading, version) + ("" if share == 1 else f" {share:.0%}")
        for version, share in shares
    )


def _lines(reading: Releases, rows: list[dict[Hashable, Any]]) -> list[str]:
    lines = ["| when | decision | version | endpoint | who | why |", "|---|---|---|---|---|---|"]
    for row in rows:
        verdict = row["facts"].get("verdict")
        said = f" {_VERDICT.get(verdict, f':gray-badge[{_cell(verdict)}]')}" if verdict else ""
        cells = (
            both_zones(row["decided_at"].to_pydatetime(), reading.city.zone),
            f"{_cell(row['kind'])}{said}",
            _version(reading, row["model_version"]),
            _cell(row["endpoint"]),
            _cell(row["who"]),
            _cell(row["why"]),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _verdicts(reading: Releases) -> None:
    st.header("Verdicts", anchor=False)
    gates = [row for row in reading.decisions.to_dict("records") if row["facts"].get("checks")]
    if not gates:
        st.info("The gate has judged nothing yet.")
        return
    named = {
        row["number"]: f"{row['facts'].get('verdict')}: version {row['model_version']},"
        f" {both_zones(row['decided_at'].to_pydatetime(), reading.city.zone)}"
        for row in gates
    }
    number = st.selectbox("Verdict", list(named), format_func=named.__getitem__, key="verdict")
    (chosen,) = (row for row in gates if row["number"] == number)
    lines = ["| verdict | check | value | needs | what was seen |", "|---|---|---|---|---|"]
    for check in chosen["facts"]["checks"]:
        verdict = _VERDICT.get(check["verdict"], ":gray-badge[unknown]")
        needs = f"{_cell(check['relation'])} {_number(check['threshold'])}"
        lines.append(
            f"| {verdict} | {_cell(check['name'])} | {_number(check['value'])} | {needs}"
            f" | {_cell(check['detail'])} |"
        )
    st.markdown("\n".join(lines))


def _version(reading: Releases, version: object) -> str:
    if not isinstance(version, str) or not version:
        return ""
    return f"[version {_cell(version)}]({reading.version_link(version)})"


def _number(value: object) -> str:
    if value is None:
        return "missing"
    if isinstance(value, int | float):
        return figure(value, ",.0f" if abs(value) >= _WHOLE_FROM else ".4g")
    text = str(value)
    return _cell(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")


def _cell(value: object) -> str:
    """Text of the audit inside a table: what people wrote must not draw anything."""
    return plain(str(value)) if isinstance(value, str | int) else ""
