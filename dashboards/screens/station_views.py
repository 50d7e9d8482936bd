"""Two more views of a station: the last 24 hours, and what drives the model's answers."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import streamlit as st

from dashboards import charts
from dashboards.readings import Choice, CityReading
from dashboards.readings import station as of_station
from dashboards.readings.station import Past
from dashboards.risk import PALETTES, WORDS, Theme
from dashboards.screens import parts
from dashboards.wording import chance, figure
from mlops_bikeshare.domain.targets import TARGETS

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

    from mlops_bikeshare.flows.explain import Explained, Told

COUNTS_HEIGHT, CHANCES_HEIGHT, BARS_HEIGHT = 230, 230, 220
_COUNTED = {"num_bikes_available": "Bikes", "num_docks_available": "Docks"}
_SLOT_S = 300


def _of_batch(reading: CityReading) -> tuple[object, ...]:
    return reading.workspace, reading.city.name, reading.endpoint, reading.dt, reading.now


_HASHED: dict[str | type[Any], Callable[[Any], Any]] = {Choice: repr, CityReading: _of_batch}


@st.cache_data(ttl=parts.REFRESH_S, show_spinner=False, hash_funcs=_HASHED)
def _past(choice: Choice, reading: CityReading, station: str, horizon_min: int) -> Past:
    return of_station.past(parts.clients(choice), reading, station, horizon_min=horizon_min)


@st.cache_data(ttl=10 * parts.REFRESH_S, show_spinner=False, hash_funcs=_HASHED)
def _drivers(choice: Choice, reading: CityReading, station: str, horizon_min: int) -> "Explained":
    return of_station.drivers(choice, reading, station, horizon_min=horizon_min)


def past(
    choice: Choice, reading: CityReading, station: str, *, horizon_min: int, theme: Theme
) -> None:
    """What was counted, and what had been predicted for that time."""
    with st.spinner("Reading the last 24 hours …"):
        found = parts.read(
            lambda: _past(choice, reading, station, horizon_min), source="The last 24 hours"
        )
    if found is None:
        return
    if found.seen.empty:
        st.info("No counts of this station in the last 24 hours.")
    else:
        st.markdown("**What was counted**")
        st.altair_chart(
            _counts(found, reading, theme),
            height=COUNTS_HEIGHT,
            alt="Bikes and docks of the last 24 hours",
        )
    if found.said.empty:
        st.info("No prediction for this station in the last 24 hours.")
        return
    st.markdown(f"**What had been predicted {horizon_min} min before**")
    st.altair_chart(
        _said(found, reading, theme),
        height=CHANCES_HEIGHT,
        alt="Chances predicted for the last 24 hours; shaded where it was out",
    )
    st.caption(f"Shaded: {reading.city.label.threshold} or fewer were left.")


def _counts(found: Past, reading: CityReading, theme: Theme) -> "alt.LayerChart":
    rows = found.seen.melt("at", list(_COUNTED), var_name="count").dropna(subset=["value"])
    return charts.lines(
        rows.assign(count=rows["count"].map(_COUNTED)),
        by="count",
        zone=reading.city.zone,
        theme=theme,
        title="at the station",
        number="d",
        limit=float(reading.city.label.threshold),
        limit_says="out at",
        order=list(_COUNTED.values()),
        zero=True,
    )


def _said(found: Past, reading: CityReading, theme: Theme) -> "alt.LayerChart":
    import altair as alt
    import pandas as pd

    colours = [PALETTES[theme].lines[target.name] for target in TARGETS]
    words = [WORDS[target.name].capitalize() for target in TARGETS]
    names = {t.probability: word for t, word in zip(TARGETS, words, strict=True)}
    rows = found.said.melt("at", list(names), var_name="stockout").dropna(subset=["value"])
    rows = charts.parted(rows.assign(stockout=rows["stockout"].map(names)), by="stockout")
    rows = charts.timed(rows, reading.city.zone)
    hue = alt.Scale(domain=words, range=colours)
    colour = alt.Color("stockout:N", title=None, scale=hue, legend=alt.Legend(orient="top"))
    out = [
        seen.assign(stockout=word)[["at", "stockout"]]
        for target, word in zip(TARGETS, words, strict=True)
        for seen in [found.seen[found.seen[target.count] <= reading.city.label.threshold]]
    ]
    shaded = charts.timed(pd.concat(out, ignore_index=True), reading.city.zone)
    ends = pd.to_datetime(shaded["clock"], utc=True) + pd.Timedelta(seconds=_SLOT_S)
    shaded = shaded.assign(until=ends.dt.strftime("%Y-%m-%dT%H:%M:%SZ") if len(ends) else [])
    bands = alt.Chart(shaded[["clock", "until", "stockout"]]).mark_rect(opacity=0.22)
    bands = bands.encode(x=charts.clock_axis(), x2="until:T", color=colour)
    drawn = alt.Chart(rows).mark_line(strokeWidth=2)
    drawn = drawn.encode(
        x=charts.clock_axis(),
        y=alt.Y(
            "value:Q",
            title="chance",
            scale=alt.Scale(domain=[0, 1]),
            axis=alt.Axis(format="%", values=[0, 0.5, 1]),
        ),
        color=colour,
        strokeDash=alt.StrokeDash(
            "stockout:N", title=None, scale=alt.Scale(domain=words, range=[[1, 0], [6, 3]])
        ),
        tooltip=[
            alt.Tooltip("stockout:N", title="Stockout"),
            alt.Tooltip("value:Q", title="Chance", format=".0%"),
            alt.Tooltip("time:N", title="For"),
        ],
    )
    return cast("alt.LayerChart", alt.layer(bands, drawn))


def drivers(
    choice: Choice, reading: CityReading, station: str, *, horizon_min: int, theme: Theme
) -> None:
    """The features that moved both answers, by TreeSHAP."""
    with st.spinner("Asking the trees …"):
        found = parts.read(
            lambda: _drivers(choice, reading, station, horizon_min),
            source="What drives the prediction",
        )
    if found is None:
        return
    for target in TARGETS:
        told = found.targets[target.name]
        words = WORDS[target.name]
        st.markdown(f"**{words.capitalize()} in {horizon_min} min: {chance(told.p)}**")
        st.altair_chart(
            _bars(told, theme),
            height=BARS_HEIGHT,
            alt=f"What moves the chance of running {words}, in log-odds",
        )
    st.caption(
        f"Version {found.model_version}. Right of the line: makes a stockout likelier. In log-odds"
        " before calibration; point at a bar for what the feature means."
    )


def _bars(told: "Told", theme: Theme) -> "alt.Chart":
    import altair as alt

    rows = _shares(told)
    raises, lowers = PALETTES[theme].lines["bikeout"], PALETTES[theme].outline
    up = alt.condition(alt.datum.share > 0, alt.value(raises), alt.value(lowers))
    drawn = (
        alt.Chart(rows)
        .mark_bar()
        .encode(
            x=alt.X("share:Q", title="log-odds"),
            y=alt.Y("feature:N", title=None, sort=None, axis=alt.Axis(labelLimit=190)),
            color=up,
            tooltip=[
                alt.Tooltip("meaning:N", title="Means"),
                alt.Tooltip("share:Q", title="Log-odds", format="+.2f"),
            ],
        )
    )
    return cast("alt.Chart", drawn)


def _shares(told: "Told") -> "pd.DataFrame":
    import pandas as pd

    rows = [
        (
            f"{part.feature} = {figure(part.value, '.4g')}"
            + ("" if part.unit == "1" else f" {part.unit}"),
            part.meaning,
            part.contribution,
        )
        for part in told.parts
    ]
    rows.append(("all others", "every other feature together", told.others))
    return pd.DataFrame(rows, columns=["feature", "meaning", "share"])
