"""City Map: where stations will run out of bikes or of docks, and one station's next two hours.

Everything below the title is one fragment, redrawn every minute, by a new horizon or by a click;
the map itself stays in the browser, only its dots are exchanged, and only when they differ.
"""

from typing import TYPE_CHECKING

import streamlit as st

from dashboards import readings, risk, station_layer
from dashboards.pages import station_panel
from dashboards.readings import Choice, CityReading, Empty
from dashboards.wording import both_zones, chance, span
from mlops_bikeshare.domain.targets import BIKEOUT, DOCKOUT, PROMISE_MIN, TARGETS

if TYPE_CHECKING:
    import pandas as pd

REFRESH_S = 60
MAP_HEIGHT = 560
ALARMING = 0.6
LISTED = 8
_MAP, _CHOSEN, _LISTED, _RINGED, _HORIZON = "map", "chosen", "listed", "ringed", "horizon_min"


def show(choice: Choice) -> None:
    """Draw the page."""
    st.title("City Map", anchor=False)
    _live(choice)


@st.fragment(run_every=REFRESH_S)
def _live(choice: Choice) -> None:
    reading = _read(choice)
    if isinstance(reading, Empty):
        _empty(reading)
        return
    _headline(choice, reading)
    horizon_min = _choose_horizon(reading)
    rows = _rows(reading, horizon_min)
    st.write(_summary(rows, horizon_min))
    chart, panel = st.columns([3, 2], gap="medium")
    with chart:
        st.html(risk.legend(_theme(), horizon_min=horizon_min))
        _map(choice, rows)
    with panel:
        chosen = _choose_station(rows)
        if chosen is None:
            _riskiest(rows)
        else:
            station_panel.show(reading, chosen, horizon_min=horizon_min, theme=_theme())


@st.cache_resource(ttl=REFRESH_S - 5, show_spinner="Reading the lake …", hash_funcs={Choice: repr})
def _read(choice: Choice) -> CityReading | Empty:
    return readings.read(choice)


def _empty(empty: Empty) -> None:
    st.info(f"**{empty.what}** {empty.todo}", icon=":material/info:")
    st.code(empty.command, language="shell")


def _headline(choice: Choice, reading: CityReading) -> None:
    zone = reading.city.zone
    st.write(
        f"Which stations of **{reading.city.name.title()}** will run out of bikes or of docks in"
        f" the two hours from **{both_zones(reading.dt, zone)}**."
    )
    facts = [
        f"predicted {span(reading.age)} ago by {reading.endpoint} ({choice.endpoint.origin})",
        f"model version {', '.join(reading.model_versions) or 'unknown'}",
        f"workspace {reading.workspace} ({choice.workspace.origin})",
        f"its {reading.clock} clock: {both_zones(reading.now, zone)}",
    ]
    if reading.attribution:
        facts.append(reading.attribution)
    st.caption(" · ".join(facts))
    if reading.stale:
        st.warning(
            f"**Stale:** the newest predictions are {span(reading.age)} old. For new ones type"
            f" `bikeshare --workspace {reading.workspace} infer --city {reading.city.name}`",
            icon=":material/schedule:",
        )
    if reading.fallback_share > 0:
        share = chance(reading.fallback_share)
        st.warning(f"{share} of these answers are the fallback's, not the model's.")


def _choose_horizon(reading: CityReading) -> int:
    horizons = reading.horizons_min
    usual = PROMISE_MIN if PROMISE_MIN in horizons else horizons[0]
    picked = st.segmented_control(
        "Minutes ahead",
        horizons,
        default=usual,
        required=True,
        key=_HORIZON,
        on_change=_ring_the_chosen,
    )
    return picked or usual


def _rows(reading: CityReading, horizon_min: int) -> "pd.DataFrame":
    """The stations with risk, shade and a line for the tooltip, riskiest first."""
    rows = reading.at(horizon_min=horizon_min)
    told = zip(rows[BIKEOUT.probability], rows[DOCKOUT.probability], strict=True)
    about = [f"out of bikes {chance(b)}, out of docks {chance(d)}" for b, d in told]
    named = rows["name"].fillna("Station " + rows.index.to_series())
    rows = rows.assign(shade=risk.shades(rows), about=about, name=named)
    return rows.sort_values("risk", ascending=False, na_position="last")


def _summary(rows: "pd.DataFrame", horizon_min: int) -> str:
    counts = [
        f"**{int((rows[target.probability] >= ALARMING).sum())}** {risk.WORDS[target.name]}"
        for target in TARGETS
    ]
    unplaced = int(rows[["lat", "lon"]].isna().any(axis=1).sum())
    beside = f" {unplaced} have no position: in the list, not on the map." if unplaced else ""
    return (
        f"Likely in {horizon_min} min ({ALARMING:.0%} or more): {' and '.join(counts)},"
        f" of {len(rows):,} stations.{beside}"
    )


def _map(choice: Choice, rows: "pd.DataFrame") -> None:
    from streamlit_folium import st_folium

    placed = rows.dropna(subset=["lat", "lon"])
    if placed.empty:
        st.info("No station of this city has a position; choose one from the list.")
        return
    palette = risk.PALETTES[_theme()]
    st_folium(
        station_layer.ground(placed, street_tiles=choice.street_tiles),
        key=_MAP,
        height=MAP_HEIGHT,
        use_container_width=True,
        returned_objects=[station_layer.RETURNED],
        feature_group_to_add=station_layer.dots(
            placed, palette, chosen=st.session_state.get(_RINGED)
        ),
        on_change=_take_click,
    )


def _choose_station(rows: "pd.DataFrame") -> str | None:
    """A list for the keyboard and for finding a name; a click on the map sets it too."""
    by_name = rows["name"].sort_values()
    names = dict(zip(by_name.index.astype(str), by_name, strict=True))
    chosen = st.session_state.get(_CHOSEN)
    st.session_state[_LISTED] = chosen if chosen in names else None
    picked: str | None = st.selectbox(
        "Station",
        list(names),
        index=None,
        format_func=names.__getitem__,
        placeholder="Click a dot, or type a name",
        key=_LISTED,
        on_change=lambda: _choose(st.session_state[_LISTED]),
    )
    return picked


def _riskiest(rows: "pd.DataFrame") -> None:
    """What a dispatcher looks at first."""
    known = rows.dropna(subset=["risk"]).head(LISTED)
    st.markdown("**Most at risk**")
    for station, name, about in zip(known.index, known["name"], known["about"], strict=True):
        st.button(
            f"{name}: {about}",
            key=f"riskiest-{station}",
            on_click=_choose,
            args=(station,),
            width="stretch",
        )


def _take_click() -> None:
    """The browser has drawn the ring already."""
    station = station_layer.clicked(st.session_state.get(_MAP))
    if station:
        st.session_state[_CHOSEN] = station


def _choose(station: str | None) -> None:
    st.session_state[_CHOSEN] = station
    _ring_the_chosen()


def _ring_the_chosen() -> None:
    """Send the ring with the dots."""
    st.session_state[_RINGED] = st.session_state.get(_CHOSEN)


def _theme() -> risk.Theme:
    return "dark" if st.context.theme.type == "dark" else "light"
