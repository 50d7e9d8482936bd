"""System Health: whether the endpoints answer, how fast, and which alarms fire."""

from typing import TYPE_CHECKING

import streamlit as st

from dashboards import charts
from dashboards.readings import Choice, system_health
from dashboards.readings.system_health import SystemHealth
from dashboards.screens import parts
from dashboards.wording import both_zones, figure

if TYPE_CHECKING:
    import pandas as pd

CHART_HEIGHT = 260
_SPANS = {"2 hours": 2, "24 hours": 24}
_BADGE = {
    "OK": (":green-badge[:material/check: OK]", 2),
    "ALARM": (":red-badge[:material/notifications_active: ALARM]", 0),
    "INSUFFICIENT_DATA": (":gray-badge[:material/help: not enough data]", 1),
}
_UNITS = {"Microseconds": (1000, " ms"), "Seconds": (1, " s")}
_WHOLE_FROM = 1000
_ABOUT = (
    "Whether the endpoints answer and how fast, whether batches arrive, and which alarms of"
    " production fire, in five-minute periods."
)


def show(choice: Choice) -> None:
    """Draw the page."""
    parts.head("System Health", _ABOUT)
    _live(choice)


@st.cache_data(ttl=parts.REFRESH_S, show_spinner="Reading metrics …", hash_funcs={Choice: repr})
def _read(choice: Choice, hours: int) -> SystemHealth:
    return parts.there(system_health.read(choice, parts.clients(choice), hours=hours))


@st.fragment(run_every=parts.REFRESH_S)
def _live(choice: Choice) -> None:
    span = st.segmented_control(
        "Window", list(_SPANS), default="24 hours", required=True, key="system-span"
    )
    hours = _SPANS[span or "24 hours"]
    reading = parts.read(lambda: _read(choice, hours), source="The metric store")
    if reading is None:
        return
    st.caption(f"Up to {both_zones(reading.now, reading.city.zone)}")
    _alarms(reading)
    for endpoint in reading.endpoints:
        st.header(endpoint, anchor=False)
        _endpoint(reading, endpoint)


def _alarms(reading: SystemHealth) -> None:
    st.header("Alarms now", anchor=False)
    if not reading.alarms:
        st.info("No alarm is watched: nothing was served in production yet.")
        return
    ordered = sorted(reading.alarms, key=lambda alarm: (_BADGE[alarm.state][1], alarm.name))
    lines = ["| state | alarm | severity | value | fires when |", "|---|---|---|---|---|"]
    for alarm in ordered:
        value = "no data" if alarm.value is None else _in_unit(alarm.value, alarm.unit)
        when = f"{alarm.meaning} ({alarm.relation} {_in_unit(alarm.threshold, alarm.unit)})"
        lines.append(
            f"| {_BADGE[alarm.state][0]} | {alarm.name} | {alarm.severity} | {value} | {when} |"
        )
    firing = sum(alarm.state == "ALARM" for alarm in ordered)
    st.markdown(f"**{firing}** of {len(ordered)} alarms of production fire.")
    with st.expander("Every alarm", expanded=firing > 0):
        st.markdown("\n".join(lines))


def _in_unit(value: float, unit: str) -> str:
    """Of CloudWatch's units, as people say them."""
    scale, name = _UNITS.get(unit, (1, ""))
    number = value / scale
    return (f"{number:,.0f}" if abs(number) >= _WHOLE_FROM else f"{number:.4g}") + name


def _endpoint(reading: SystemHealth, endpoint: str) -> None:
    latency, counts, batches = (
        rows[rows["endpoint"] == endpoint]
        for rows in (reading.latency, reading.counts, reading.batches)
    )
    if latency.empty and batches.empty:
        st.info("Nothing was asked of it in this window.")
        return
    _figures(latency, counts, batches)
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown("**Latency**")
        _chart(reading, latency, title="milliseconds", says=f"Latency of {endpoint}")
        limit = f"{reading.latency_limit_ms:g} ms"
        st.caption(f"The gate asks for a p95 of the model of at most {limit} in every hour.")
    with right:
        st.markdown("**Requests and errors**")
        _chart(reading, counts, title="requests in 5 min", says=f"Requests to {endpoint}")


def _figures(latency: "pd.DataFrame", counts: "pd.DataFrame", batches: "pd.DataFrame") -> None:
    """Averages over all requests, percentiles of periods, sums of the window."""
    periods = latency.groupby("what")["value"]
    summed = counts.groupby("what")["value"].sum()
    ran = batches[batches["what"] == "batches"]
    answered = batches[batches["what"] == "answered"]
    told = {
        "Average, ms": figure(_mean(latency, counts, "model, average"), ".1f"),
        "p50, ms, usual 5 min": figure(periods.median().get("model, p50"), ".1f"),
        "p95, ms, worst 5 min": figure(periods.max().get("model, p95"), ".1f"),
        "Overhead, ms": figure(_mean(latency, counts, "overhead, average"), ".2f"),
        "4xx": figure(summed.get("4xx"), ".0f"),
        "5xx": figure(summed.get("5xx"), ".0f"),
        "Batches": figure(ran["value"].sum() if len(ran) else None, ".0f"),
        "Rows answered, worst batch": figure(
            answered["value"].min() if len(answered) else None, ".0%"
        ),
    }
    parts.figures(told)


def _mean(latency: "pd.DataFrame", counts: "pd.DataFrame", what: str) -> float | None:
    """Over the requests of the periods in which both are known."""
    keys = ["at", "variant"]
    asked = counts[counts["what"] == "requests"].set_index(keys)["value"]
    mine = latency[latency["what"] == what].set_index(keys)["value"]
    both = mine.to_frame("ms").join(asked.rename("requests"), how="inner")
    total = float(both["requests"].sum())
    return float((both["ms"] * both["requests"]).sum()) / total if total else None


def _chart(reading: SystemHealth, rows: "pd.DataFrame", *, title: str, says: str) -> None:
    if rows.empty:
        st.caption("No data in this window.")
        return
    several = len(set(rows["variant"])) > 1
    named = rows["variant"] + ": " + rows["what"] if several else rows["what"]
    st.altair_chart(
        charts.lines(
            rows.assign(series=named),
            by="series",
            zone=reading.city.zone,
            theme=parts.theme(),
            title=title,
            number=",.4~g",
            zero=True,
        ),
        height=CHART_HEIGHT,
        alt=f"{says}, in five-minute periods",
    )
