"""Top-N: the stations most at risk, ranked, with what to move; as CSV too."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import streamlit as st

from dashboards import risk
from dashboards.readings import Choice, CityReading
from dashboards.readings.moves import Suggested, suggested
from dashboards.screens import parts
from dashboards.screens.city_map import choose_horizon, read_city, stale
from dashboards.screens.wanted_rows import of_reading
from dashboards.wording import both_zones, span
from mlops_bikeshare.domain.targets import BIKEOUT, DOCKOUT

if TYPE_CHECKING:
    import pandas as pd

MOST, USUAL = 100, 20
_ABOUT = "The stations most likely to run out of bikes or of docks, ranked, for a dispatcher."


def show(choice: Choice) -> None:
    """Draw the page."""
    parts.head("Top-N", _ABOUT)
    _live(choice)


@st.fragment(run_every=parts.REFRESH_S)
def _live(choice: Choice) -> None:
    reading = parts.read(lambda: read_city(choice), source="The lake")
    if reading is None:
        return
    zone = reading.city.zone
    st.caption(
        f"{reading.endpoint}, predicted {span(reading.age)} ago for the two hours from"
        f" {both_zones(reading.dt, zone)}"
    )
    if reading.stale:
        stale(reading)
    left, right = st.columns([2, 3], gap="medium")
    with left:
        count = int(st.number_input("Stations", 1, MOST, USUAL, key="top-n"))
    with right:
        horizon_min = choose_horizon(reading, key="top-horizon")
    plan = _plan(choice, reading)
    rows = ranked(reading, count=count, horizon_min=horizon_min, moves=plan.at)
    if rows.empty:
        st.info("No station has a prediction at this horizon.")
        return
    st.dataframe(rows, hide_index=True, column_config=_columns(), height="content")
    st.caption(plan.note)
    name = f"top_{len(rows)}_{reading.city.name}_{reading.dt:%Y%m%dT%H%MZ}.csv"
    st.download_button(
        "Export CSV",
        csv(rows, reading, horizon_min=horizon_min),
        file_name=name,
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
    )


@st.cache_data(
    ttl=parts.REFRESH_S,
    show_spinner="Planning moves …",
    hash_funcs={Choice: repr, CityReading: of_reading},
)
def _plan(choice: Choice, reading: CityReading) -> Suggested:
    return suggested(choice, reading)


def ranked(
    reading: CityReading, *, count: int, horizon_min: int, moves: Mapping[str, str]
) -> "pd.DataFrame":
    """The riskiest stations, with both chances and the move; unknown stays empty."""
    import pandas as pd

    rows = reading.at(horizon_min=horizon_min).dropna(subset=["risk"])
    rows = rows.sort_values(["risk", "name"], ascending=[False, True]).head(count)
    likelier = rows[BIKEOUT.probability].fillna(-1) >= rows[DOCKOUT.probability].fillna(-1)
    return pd.DataFrame(
        {
            "rank": range(1, len(rows) + 1),
            "station": rows["name"].fillna("Station " + rows.index.to_series()),
            "likelier": likelier.map(
                {True: risk.WORDS[BIKEOUT.name], False: risk.WORDS[DOCKOUT.name]}
            ),
            "risk": rows["risk"],
            "bikes": rows[BIKEOUT.count],
            "docks": rows[DOCKOUT.count],
            "capacity": rows["capacity"],
            "suggest move": [moves.get(str(station)) for station in rows.index],
            "p_bikeout": rows[BIKEOUT.probability],
            "p_dockout": rows[DOCKOUT.probability],
            "neighbourhood": rows["neighbourhood"],
            "station_id": rows.index,
        }
    ).reset_index(drop=True)


def csv(rows: "pd.DataFrame", reading: CityReading, *, horizon_min: int) -> bytes:
    """The table with the time it speaks of; a cell that a spreadsheet would run is text."""
    dated = rows.assign(dt=reading.dt.isoformat(), horizon_min=horizon_min)
    for column in ("station", "station_id", "neighbourhood"):
        dated[column] = ["'" + t if t[:1] in "=+-@\t\r" else t for t in dated[column].astype(str)]
    return dated.to_csv(index=False).encode()


def _columns() -> dict[str, Any]:
    shown = st.column_config
    chance: Any = {"min_value": 0.0, "max_value": 1.0, "format": "percent"}
    return {
        "rank": shown.NumberColumn("#", width="small"),
        "station": shown.TextColumn("Station", width="medium"),
        "station_id": shown.TextColumn("Id", width="small"),
        "likelier": shown.TextColumn("Likelier"),
        "risk": shown.ProgressColumn("Risk", **chance),
        "p_bikeout": shown.NumberColumn("Out of bikes", format="percent"),
        "p_dockout": shown.NumberColumn("Out of docks", format="percent"),
        "bikes": shown.NumberColumn("Bikes now"),
        "docks": shown.NumberColumn("Docks now"),
        "capacity": shown.NumberColumn("Capacity"),
        "neighbourhood": shown.TextColumn("Neighbourhood"),
        "suggest move": shown.TextColumn("Suggest move", width="large"),
    }
