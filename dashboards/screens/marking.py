"""A station is marked on the map: who was there says `handled`, who sees otherwise says `wrong`.

That somebody was there is shown to everyone for the hour which quality leaves out.
"""

from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import streamlit as st

from dashboards import asking
from dashboards.readings import Choice, CityReading
from dashboards.wording import both_zones, known, plain, span
from mlops_bikeshare.domain.errors import BikeshareError
from mlops_bikeshare.flows.feedback import WRONG, Said
from mlops_bikeshare.flows.judging.handled import HANDLED, LASTS

if TYPE_CHECKING:
    import pandas as pd

_SAID = "said"
_BUTTONS = (
    ("Mark as handled", "check", HANDLED, "A van was there: quality leaves out an hour."),
    ("Prediction is wrong", "flag", WRONG, "Is kept for people; changes no figure."),
)


def show(choice: Choice, reading: CityReading, station: str, row: "pd.Series[Any]") -> None:
    """Two buttons, and what was said of the station."""
    with st.container(horizontal=True):
        for label, icon, what, tells in _BUTTONS:
            st.button(
                label,
                icon=f":material/{icon}:",
                key=f"{what}-{station}",
                help=tells,
                on_click=_say,
                args=(choice, reading, station, what),
            )
    # Until the next reading, which has it from the table.
    about, words, kept = st.session_state.get(_SAID, (None, "", False))
    if about == (station, reading.now):
        (st.success if kept else st.error)(words)
    elif known(row["handled_at"]):
        at = row["handled_at"].to_pydatetime()
        until = both_zones(at + LASTS, reading.city.zone)
        st.info(f"Handled {span(reading.now - at)} ago; not judged until {until}.")


def _say(choice: Choice, reading: CityReading, station: str, what: str) -> None:
    about = station, reading.now
    try:
        said = asking.said(choice, reading.city.name, station, what)
    except BikeshareError as error:
        st.session_state[_SAID] = about, str(error), False
    else:
        st.session_state[_SAID] = about, line(said, reading.city.zone), True


def line(said: Said, zone: ZoneInfo) -> str:
    """What was kept, in the city's time."""
    where, at = f"Station {plain(said.station_id)}", both_zones(said.said_at, zone)
    if not said.new:
        return f"{where}: something was said at {at} already; that one counts."
    then = f" Not judged until {both_zones(said.said_at + LASTS, zone)}."
    kept = f"{where}: {said.what}, {at}, by {plain(said.who)}."
    return kept + (then if said.what == HANDLED else "")
