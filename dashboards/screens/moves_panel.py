"""Moves: which bikes to take where in the next round, with what that is expected to save."""

from typing import TYPE_CHECKING

import streamlit as st

from dashboards import asking
from dashboards.readings import Choice, CityReading
from dashboards.screens import marking, parts
from dashboards.screens.city_map import read_city
from dashboards.wording import both_zones
from mlops_bikeshare.flows import moves
from mlops_bikeshare.flows.feedback import LONGEST_NOTE, WORDS
from mlops_bikeshare.flows.moves import Round

if TYPE_CHECKING:
    import pandas as pd

MOST_VANS, MOST_BIKES = 50, 60


def show(choice: Choice) -> None:
    """Draw the page."""
    parts.head(
        "Moves",
        "Which bikes to take where in the next round of the vans, so that stations are out of bikes"
        " or of docks for the fewest minutes in the next two hours.",
    )
    _live(choice)


@st.fragment(run_every=parts.REFRESH_S)
def _live(choice: Choice) -> None:
    """The fleet, the plan, its download, and what was done."""
    reading = parts.read(lambda: read_city(choice), source="The lake")
    if reading is None:
        return
    left, right = st.columns(2)
    vans = int(left.number_input("Vans", 1, MOST_VANS, moves.VANS))
    capacity = int(right.number_input("Bikes a van holds", 1, MOST_BIKES, moves.CAPACITY))
    city = reading.city.name
    plan = asking.told(
        lambda: asking.suggested(choice, city, reading.dt, vans=vans, capacity=capacity)
    )
    if plan is not None and plan.left_out >= len(reading.stations):
        st.info("No round can be planned: of every station too little is known, or it is closed.")
    elif plan is not None:
        _headline(plan, reading)
        _table(plan)
    _feedback(choice, reading)


def frame(plan: Round) -> "pd.DataFrame":
    """The plan as people read it."""
    import pandas as pd

    return pd.DataFrame(
        {
            "Van": [m.van for m in plan.moves],
            "From": [f"{m.giver_name} ({m.giver})" for m in plan.moves],
            "To": [f"{m.taker_name} ({m.taker})" for m in plan.moves],
            "Bikes": [m.bikes for m in plan.moves],
            "km": [m.km for m in plan.moves],
            "Stockout minutes saved": [m.minutes_saved for m in plan.moves],
        }
    )


def _headline(plan: Round, reading: CityReading) -> None:
    parts.figures(
        {
            "Stockout minutes expected": f"{plan.at_risk_min:,.0f}",
            "Saved by these moves": f"{plan.minutes_saved:,.0f}",
            "Bikes moved": f"{plan.bikes} of {plan.vans * plan.capacity}",
        }
    )
    facts = [
        f"two hours from {both_zones(plan.dt, reading.city.zone)}",
        f"predicted by {plan.endpoint}",
        f"{plan.rides_lost:,.0f} departures expected without a bike if nothing is moved",
    ]
    if plan.left_out:
        facts.append(f"{plan.left_out} stations left out: closed, or too little is known")
    st.caption(" · ".join(facts))


def _table(plan: Round) -> None:
    if not plan.moves:
        st.success("No move is worth a van now.", icon=":material/check:")
        return
    st.dataframe(
        frame(plan),
        hide_index=True,
        column_config={
            "km": st.column_config.NumberColumn(format="%.1f"),
            "Stockout minutes saved": st.column_config.NumberColumn(format="%.0f"),
        },
    )
    st.download_button(
        "Download as CSV",
        moves.as_csv(plan),
        file_name=f"moves-{plan.city}-{plan.dt:%Y%m%dT%H%M}Z.csv",
        mime="text/csv",
        on_click="ignore",
    )


def _feedback(choice: Choice, reading: CityReading) -> None:
    """Say that somebody went there, or that it was not so."""
    # Two stations may bear one name.
    named = reading.stations["name"].fillna("Station").items()
    called = {str(place): f"{name} ({place})" for place, name in named}
    with st.form("feedback", clear_on_submit=True):
        st.markdown("**What was done or seen**")
        by_name = sorted(called, key=called.__getitem__)
        station = st.selectbox("Station", by_name, index=None, format_func=called.__getitem__)
        what = st.radio("It is", WORDS, horizontal=True)
        note = st.text_input("Note", max_chars=LONGEST_NOTE)
        if not st.form_submit_button("Keep it"):
            return
    if station is None or what is None:
        st.warning("Choose a station first.")
        return
    city = reading.city.name
    kept = asking.told(lambda: asking.said(choice, city, station, what, note))
    if kept is not None:
        st.success(marking.line(kept, reading.city.zone), icon=":material/check:")
