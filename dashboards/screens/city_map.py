"""City Map: where stations will run out of bikes or of docks, and one station's next two hours.

Everything below the title is one fragment, redrawn every minute or by a new horizon. The map with
its station is a fragment inside: a click redraws nothing else, and the station before the map. The
map itself stays in the browser, only its dots are exchanged, and only when they differ.
"""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import streamlit as st

from dashboards import readings, risk, station_layer
from dashboards.readings import Choice, CityReading
from dashboards.readings.city import NO_POSITION
from dashboards.risk import Theme
from dashboards.screens import parts, station_panel, wanted_rows
from dashboards.screens.wanted_rows import EITHER, Filter, of_reading
from dashboards.station_layer import Layer
from dashboards.wording import both_zones, chance, plain, span
from mlops_bikeshare.domain.targets import BIKEOUT, DOCKOUT, PROMISE_MIN

if TYPE_CHECKING:
    import pandas as pd

MAP_HEIGHT = 560
LISTED = 8
_WHICH = {EITHER: "Either", BIKEOUT.name: "Bikes", DOCKOUT.name: "Docks"}
_LEAST = (0.0, 0.2, 0.4, 0.6, 0.8)
_MAP, _CHOSEN, _SOUGHT, _RINGED, _HORIZON = "map", "chosen", "sought", "ringed", "horizon_min"
_ABOUT = "Where riders will find no bike, or no free dock, in the next two hours."


def show(choice: Choice) -> None:
    """Draw the page."""
    parts.head("City Map", _ABOUT)
    _live(choice)


@st.fragment(run_every=parts.REFRESH_S)
def _live(choice: Choice) -> None:
    reading = parts.read(lambda: read_city(choice), source="The lake")
    if reading is None:
        return
    head, row = st.container(), st.container(horizontal=True, vertical_alignment="bottom")
    said = st.container()
    # First what the browser needs longest for, by what the controls were set to.
    horizon_min, wanted = _as_set(choice, reading)
    _ring_the_chosen()  # new dots come without the ring and the card that a click drew
    _looked_at(choice, reading, horizon_min, wanted)
    with row:
        _controls(choice, reading)
    with head:
        _headline(choice, reading)
    with said:
        rows = wanted_rows.shown(reading, horizon_min, wanted)
        st.write(
            wanted_rows.summary(rows, horizon_min, of=len(reading.stations), which=wanted.which)
        )


@st.fragment
def _looked_at(choice: Choice, reading: CityReading, horizon_min: int, wanted: Filter) -> None:
    """The map and one station; the station first where there is one: a click waits for it."""
    chart, panel = st.columns([3, 2], gap="medium")
    chosen = str(st.session_state.get(_CHOSEN))
    if chosen in reading.stations.index:
        with panel:
            _find_station(reading)
            _station(choice, reading, chosen, horizon_min)
        with chart:
            _map(choice, reading, horizon_min, wanted)
    else:
        with chart:
            _map(choice, reading, horizon_min, wanted)
        with panel:
            _find_station(reading)
            if st.session_state.get(_SOUGHT):
                _listed(wanted_rows.ranked(reading, horizon_min))
            else:
                _listed(wanted_rows.shown(reading, horizon_min, wanted))


def _station(choice: Choice, reading: CityReading, station: str, horizon_min: int) -> None:
    st.button("Back to the list", icon=":material/arrow_back:", on_click=_choose, args=(None,))
    station_panel.show(choice, reading, station, horizon_min=horizon_min, theme=parts.theme())


# Not cache_data: that would copy every station and horizon at every click.
@st.cache_resource(
    ttl=parts.REFRESH_S - 5, show_spinner="Reading the lake …", hash_funcs={Choice: repr}
)
def read_city(choice: Choice) -> CityReading:
    """The newest batch, read once a minute for all visitors and for the pages that show it."""
    return parts.there(readings.read(choice, parts.clients(choice)))


def usual_horizon(reading: CityReading) -> int:
    """The promised one, where the batch answers it."""
    horizons = reading.horizons_min
    return PROMISE_MIN if PROMISE_MIN in horizons else horizons[0]


def choose_horizon(reading: CityReading, *, key: str = _HORIZON) -> int:
    """Minutes ahead; the promised ones unless another is chosen."""
    horizons, usual = reading.horizons_min, usual_horizon(reading)
    picked = st.segmented_control(
        "Minutes ahead",
        horizons,
        default=usual,
        required=True,
        key=key,
    )
    return picked or usual


def _headline(choice: Choice, reading: CityReading) -> None:
    zone = reading.city.zone
    facts = [
        f"**{reading.city.name.title()}** from {both_zones(reading.dt, zone)}",
        f"predicted {span(reading.age)} ago by {reading.endpoint} ({choice.endpoint.origin})",
        f"model version {', '.join(reading.model_versions) or 'unknown'}",
        f"workspace {reading.workspace} ({choice.workspace.origin})",
        f"its {reading.clock} clock: {both_zones(reading.now, zone)}",
    ]
    if reading.attribution:
        facts.append(reading.attribution)
    st.caption(" · ".join(facts))
    if reading.stale:
        stale(reading)
    if reading.fallback_share > 0:
        share = chance(reading.fallback_share)
        st.warning(f"{share} of these answers are the fallback's, not the model's.")


def stale(reading: CityReading) -> None:
    """That the newest predictions are too old to act upon."""
    infer = f"bikeshare --workspace {reading.workspace} infer --city {reading.city.name}"
    parts.stale("the newest predictions are", reading.age, infer)


def _as_set(choice: Choice, reading: CityReading) -> tuple[int, Filter]:
    """Horizon and filter, as the controls stand before they are drawn."""
    kept = st.session_state
    horizon_min = kept.get(_HORIZON)
    if horizon_min not in reading.horizons_min:
        horizon_min = usual_horizon(reading)
    return int(horizon_min), Filter(
        which=kept.get("which") or EITHER,
        least=float(kept.get("least") or 0.0),
        neighbourhoods=tuple(kept.get("places") or ()),
        heat=bool(kept.get("heat")),
        streets=choice.street_tiles is not None and bool(kept.get("streets", choice.streets)),
    )


def _controls(choice: Choice, reading: CityReading) -> None:
    """Horizon and filter."""
    choose_horizon(reading)
    st.segmented_control(
        "Out of",
        list(_WHICH),
        default=EITHER,
        required=True,
        format_func=_WHICH.__getitem__,
        key="which",
    )
    with st.popover("Filter", icon=":material/filter_alt:"):
        st.select_slider(
            "Risk of at least",
            _LEAST,
            format_func=lambda p: f"{p:.0%}",
            key="least",
        )
        st.multiselect(
            "Neighbourhoods",
            sorted(set(reading.stations["neighbourhood"]) - {NO_POSITION}),
            key="places",
            placeholder="All of the city",
        )
        st.toggle("Heat layer", key="heat")
        if choice.street_tiles is not None:
            st.toggle(
                "Street map",
                value=choice.streets,
                key="streets",
                help=f"Asks {urlsplit(choice.street_tiles).hostname} for tiles.",
            )


@st.cache_resource(
    ttl=parts.REFRESH_S, max_entries=96, show_spinner=False, hash_funcs={CityReading: of_reading}
)
def _layer(reading: CityReading, horizon_min: int, wanted: Filter, theme: Theme) -> Layer:
    """The dots as they are sent; the same for all who look at the same."""
    rows = wanted_rows.shown(reading, horizon_min, wanted)
    placed = rows.dropna(subset=["lat", "lon"])
    return station_layer.layer(placed, risk.PALETTES[theme], heat=wanted.heat)


def _map(choice: Choice, reading: CityReading, horizon_min: int, wanted: Filter) -> None:
    from streamlit_folium import st_folium

    st.html(risk.legend(parts.theme(), horizon_min=horizon_min, which=wanted.which))
    placed = reading.stations.dropna(subset=["lat", "lon"])
    if placed.empty:
        st.info("No station of this city has a position; find one by its name.")
        return
    theme = parts.theme()
    layer = _layer(reading, horizon_min, wanted, theme)
    st_folium(
        station_layer.ground(placed, street_tiles=choice.street_tiles if wanted.streets else None),
        key=_MAP,
        height=MAP_HEIGHT,
        use_container_width=True,
        returned_objects=[station_layer.RETURNED],
        feature_group_to_add=station_layer.dots(
            layer,
            risk.PALETTES[theme],
            chosen=st.session_state.get(_RINGED),
            horizon_min=horizon_min,
        ),
        on_change=_take_click,
    )


def _find_station(reading: CityReading) -> None:
    """For the keyboard, and for who knows the name.

    No list to choose from: of thousands of stations it takes the browser longer than the map.
    """
    st.text_input(
        "Find a station",
        key=_SOUGHT,
        placeholder="Part of its name, then Enter",
        on_change=_take_name,
        args=(reading,),
    )


def _listed(rows: "pd.DataFrame") -> None:
    """What a dispatcher looks at first, or what was sought."""
    sought = str(st.session_state.get(_SOUGHT) or "").strip()
    if sought:
        found = wanted_rows.called(rows, sought)
        known = found.head(LISTED)
        st.markdown(f"**{len(found):,} found, most at risk first**")
    else:
        known = rows.dropna(subset=["risk"]).head(LISTED)
        st.markdown("**Most at risk**")
    if known.empty:
        st.caption("No station is called so." if sought else "No station fits the filter.")
    for station, row in known.iterrows():
        bikes, docks = chance(row[BIKEOUT.probability]), chance(row[DOCKOUT.probability])
        st.button(
            f"{plain(row['name'])}: out of bikes {bikes}, out of docks {docks}",
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


def _take_name(reading: CityReading) -> None:
    """The station where only one is meant, else the list of those that may be."""
    rows = wanted_rows.ranked(reading, reading.horizons_min[0])
    found = wanted_rows.called(rows, st.session_state[_SOUGHT])
    if len(found) == 1:
        st.session_state[_SOUGHT] = ""
    _choose(str(found.index[0]) if len(found) == 1 else None)


def _choose(station: str | None) -> None:
    st.session_state[_CHOSEN] = station
    _ring_the_chosen()


def _ring_the_chosen() -> None:
    """Send the ring with the dots."""
    st.session_state[_RINGED] = st.session_state.get(_CHOSEN)
