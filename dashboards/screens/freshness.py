"""Data Freshness: how late each table is, and what is missing."""

import math
from typing import TYPE_CHECKING

import streamlit as st

from dashboards.readings import Choice, freshness
from dashboards.readings.freshness import Freshness
from dashboards.screens import parts
from dashboards.wording import both_zones, figure

if TYPE_CHECKING:
    import pandas as pd

LATE = 2
_ABOUT = (
    "How old the newest rows of each table are by the workspace's clock, how old the feed was when"
    " read, which polls are missing and which rows were put aside."
)


def show(choice: Choice) -> None:
    """Draw the page."""
    parts.head("Data Freshness", _ABOUT)
    _live(choice)


@st.cache_data(ttl=parts.REFRESH_S, show_spinner="Reading the lake …", hash_funcs={Choice: repr})
def _read(choice: Choice) -> Freshness:
    return parts.there(freshness.read(choice, parts.clients(choice)))


@st.fragment(run_every=parts.REFRESH_S)
def _live(choice: Choice) -> None:
    reading = parts.read(lambda: _read(choice), source="The lake or the metric store")
    if reading is None:
        return
    st.caption(f"As of {both_zones(reading.now, reading.city.zone)}")
    _figures(reading)
    st.header("Tables", anchor=False)
    st.markdown("\n".join(_lines(reading)))
    _missing(reading)
    _quarantine(reading)


def _figures(reading: Freshness) -> None:
    polls = reading.newest[reading.newest["table"] == "station_status"]["delay_min"]
    told = {
        "Newest counts, min ago": figure(polls.iloc[0] if len(polls) else None, ".0f"),
        "Feed age when read, s": figure(reading.feed_age_s, ".0f"),
        "Polls failed, 24 h": figure(reading.poll_failures, ".0f"),
        "Missing, min of 24 h": figure(reading.missing_min, ",.0f"),
        "Rows put aside, 24 h": figure(reading.quarantine["rows"].sum(), ",.0f"),
    }
    parts.figures(told)


def _lines(reading: Freshness) -> list[str]:
    lines = ["| table | newest row | delay, min | expected every | |", "|---|---|---|---|---|"]
    for row in reading.newest.to_dict("records"):
        cadence = row["cadence_min"]
        known = not math.isnan(cadence)
        every = f"{cadence:.0f} min" if known else "when it changes"
        if math.isnan(row["delay_min"]):
            lines.append(f"| {row['table']} | no rows yet | | {every} | |")
            continue
        late = row["delay_min"] > LATE * cadence
        state = ":orange-badge[late]" if late else ":green-badge[in time]"
        shown = both_zones(row["at"].to_pydatetime(), reading.city.zone)
        state = state if known else ""
        lines.append(f"| {row['table']} | {shown} | {row['delay_min']:.0f} | {every} | {state} |")
    return lines


def _missing(reading: Freshness) -> None:
    st.header("Gaps of the last 24 hours", anchor=False)
    if reading.slots.empty:
        st.info("No poll landed in the last 24 hours.")
        return
    if reading.gaps.empty:
        st.success("A poll landed in every five minutes.", icon=":material/check:")
        return
    zone = reading.city.zone
    shown = [
        f"- {row['minutes']:.0f} min from {both_zones(row['since'].to_pydatetime(), zone)}"
        for row in reading.gaps.to_dict("records")
    ]
    st.markdown("\n".join(shown))


def _quarantine(reading: Freshness) -> None:
    st.header("Quarantine", anchor=False)
    if reading.quarantine.empty:
        st.success("No row broke its contract in the last 24 hours.", icon=":material/check:")
        return
    st.dataframe(_worded(reading), hide_index=True)


def _worded(reading: Freshness) -> "pd.DataFrame":
    rows = reading.quarantine
    last = [both_zones(at.to_pydatetime(), reading.city.zone) for at in rows["at"]]
    return rows[["what", "rows"]].assign(last=last)
