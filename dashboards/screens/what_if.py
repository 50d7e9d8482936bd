"""What if: move the sliders, and the endpoint says how both probabilities change.

Each change is one request to the real endpoint, kept in the table `whatif_requests`; until a slider
is moved nobody is asked, and the page shows what was predicted.
"""

import math
from calendar import day_name, month_name
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import streamlit as st

from dashboards import asking
from dashboards.readings import Choice, CityReading
from dashboards.risk import PALETTES, WORDS, Theme
from dashboards.screens import parts
from dashboards.screens.city_map import read_city
from dashboards.wording import both_zones, chance, figure
from mlops_bikeshare.domain.targets import PROMISE_MIN, TARGETS, Target
from mlops_bikeshare.flows.supposing.basis import Basis
from mlops_bikeshare.flows.supposing.changes import Changes
from mlops_bikeshare.flows.what_if import Answer

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

WHOLE_CITY = "the whole city"
MOST_MORE = 10
CHART_HEIGHT = 280
_CASES = {"": "as supposed", "_now": "as it is"}
# The weather of now is not known here: a slider stands on `as it is`, left of every value.
_WEATHER = {
    "temperature_c": ("Temperature, °C", range(-30, 46)),
    "humidity_pct": ("Humidity, %", range(101)),
    "precipitation_mm": ("Rain, mm", range(31)),
}


def show(choice: Choice) -> None:
    """Draw the page."""
    parts.head(
        "What if",
        "How likely each stockout would be with other bikes at a station, or at another time. The"
        " endpoint that serves the city answers; none of it counts as a prediction.",
    )
    _live(choice)


# Not every minute: a redraw would ask the endpoint again for who moved a slider and left.
@st.fragment
def _live(choice: Choice) -> None:
    reading = parts.read(lambda: read_city(choice), source="The lake")
    if reading is None:
        return
    known = asking.told(lambda: asking.basis(choice, reading.city.name))
    if known is None:
        return
    station = _station(reading, known)
    inputs, answer = st.columns([2, 3], gap="medium")
    with inputs:
        changes = _changes(known, station)
    with answer:
        if not changes.given:
            _as_it_is(reading, station)
            return
        told = asking.told(lambda: asking.asked(choice, known, changes, station))
        if told is not None:
            _answer(told)


def _station(reading: CityReading, known: Basis) -> str | None:
    """The station asked about; None is the whole city."""
    grid = known.grid
    listed = (p for p, bikes in zip(grid.stations, grid.bikes[-1], strict=True) if bikes >= 0)
    names = reading.stations["name"].fillna("Station").to_dict()
    # Two stations may bear one name.
    called = {place: f"{names.get(place, 'Station')} ({place})" for place in listed}
    picked: str = st.selectbox(
        "Station",
        [WHOLE_CITY, *sorted(called, key=called.__getitem__)],
        format_func=lambda place: called.get(place, place),
    )
    return None if picked == WHOLE_CITY else picked


def _changes(known: Basis, station: str | None) -> Changes:
    """What the sliders say, of those that were moved."""
    local = known.dt.astimezone(known.city.zone)
    st.caption(f"As it is: {both_zones(known.dt, known.city.zone)}")
    if station is None:
        more = st.slider("Bikes more at every station", -MOST_MORE, MOST_MORE, 0)
        bikes = {"bikes_more": more} if more else {}
    else:
        now, most = known.holds(station)
        of_station = st.slider("Bikes now", 0, max(most, 1), now, key=f"bikes-{station}")
        bikes = {"bikes": of_station} if of_station != now else {}
    hour = st.slider("Hour", 0, 23, local.hour)
    weekday = st.select_slider("Weekday", range(7), local.weekday(), format_func=_weekday)
    month = st.select_slider("Month", range(1, 13), local.month, format_func=_month)
    times = {
        "hour": (hour, local.hour),
        "weekday": (weekday, local.weekday()),
        "month": (month, local.month),
    }
    weather = {
        name: st.select_slider(label, [None, *values], format_func=_weather)
        for name, (label, values) in _WEATHER.items()
    }
    moved = {name: value for name, (value, now) in times.items() if value != now}
    moved |= {name: value for name, value in weather.items() if value is not None}
    return Changes(**bikes, **moved)


def _weather(value: int | None) -> str:
    return _CASES["_now"] if value is None else str(value)


def _weekday(number: int) -> str:
    return day_name[number]


def _month(number: int) -> str:
    return month_name[number]


def _as_it_is(reading: CityReading, station: str | None) -> None:
    """What the newest batch said, with nothing to hold it against yet."""
    path = _predicted(reading, station)
    if path.empty:
        st.info("Nothing was predicted for it in the newest batch; move a slider to ask.")
        return
    for column, target in zip(st.columns(len(TARGETS)), TARGETS, strict=True):
        p = float(path[target.probability].get(PROMISE_MIN, float("nan")))
        words = f"{WORDS[target.name]} in {PROMISE_MIN} min"
        if station is None:
            column.metric(f"Stations {words}", figure(p, ".1f"))
        else:
            column.metric(words.capitalize(), chance(p))
    _draw(path, {"": _CASES["_now"]}, city=station is None)
    said = f"Predicted at {both_zones(reading.dt, reading.city.zone)} by {reading.endpoint}."
    st.caption(f"{said} Move a slider, and the endpoint says what would change.")


def _predicted(reading: CityReading, station: str | None) -> "pd.DataFrame":
    """Both chances of a station by horizon; of the city, the stations expected to be out."""
    if station is not None:
        return reading.trajectory(station)
    return reading.predictions.groupby("horizon_min").sum(min_count=1)


def _answer(told: Answer) -> None:
    path = _path(told)
    for column, target in zip(st.columns(len(TARGETS)), TARGETS, strict=True):
        then, now = (float(path[n][PROMISE_MIN]) for n in (target.probability, _now(target)))
        words = f"{WORDS[target.name]} in {PROMISE_MIN} min"
        if told.scope == "city":
            column.metric(f"Stations {words}", figure(then, ".1f"), _change(then - now), "inverse")
        else:
            change = _change(100 * (then - now), ".0f", " points")
            column.metric(words.capitalize(), chance(then), change, "inverse")
    _draw(path, _CASES, city=told.scope == "city")
    if told.without_influence:
        names = ", ".join(name.rpartition("_")[0] or name for name in told.without_influence)
        st.info(f"No influence: this model has no feature of {names}.", icon=":material/info:")
    version = f"version {told.model_version or 'unknown'}"
    st.caption(f"Answered by {told.endpoint}, {version}, in {told.took_ms:.0f} ms; request kept.")


def _change(by: float, form: str = ".1f", unit: str = "") -> str | None:
    return None if math.isnan(by) else f"{by:+{form}}{unit}"


def _now(target: Target) -> str:
    return f"{target.probability}_now"


def _path(told: Answer) -> "pd.DataFrame":
    """By horizon: the station's chances, or the stations expected out in the city; else NaN."""
    columns = [name for t in TARGETS for name in (t.probability, _now(t))]
    known = told.rows.dropna(subset=columns)  # unknown is not added up, before as after
    path: pd.DataFrame = known.groupby("horizon_min")[columns].sum()
    return path.reindex(sorted(told.rows["horizon_min"].unique()))


def _draw(path: "pd.DataFrame", cases: Mapping[str, str], *, city: bool) -> None:
    st.altair_chart(
        _chart(path, cases, parts.theme(), city=city),
        height=CHART_HEIGHT,
        alt=f"Both stockouts over the next two hours, {' and '.join(cases.values())}",
    )


def _chart(
    path: "pd.DataFrame", cases: Mapping[str, str], theme: Theme, *, city: bool
) -> "alt.Chart":
    """`cases`: ends of the columns' names, and what they are."""
    import altair as alt
    import pandas as pd

    colours = PALETTES[theme].lines
    words = [WORDS[t.name].capitalize() for t in TARGETS]
    rows = pd.concat(
        pd.DataFrame(
            {
                "minutes": path.index.to_numpy(),
                "value": path[f"{t.probability}{end}"].to_numpy(),
                "stockout": WORDS[t.name].capitalize(),
                "case": case,
            }
        )
        for t in TARGETS
        for end, case in cases.items()
    )
    scale = alt.Scale(zero=True) if city else alt.Scale(domain=[0, 1])
    chart = (
        alt.Chart(rows)
        .mark_line(strokeWidth=2.5)
        .encode(
            x=alt.X("minutes:Q", title="minutes ahead", axis=alt.Axis(grid=False)),
            y=alt.Y(
                "value:Q",
                title="stations expected" if city else None,
                scale=scale,
                axis=alt.Axis(format=".0f" if city else "%"),
            ),
            color=alt.Color(
                "stockout:N",
                title=None,
                scale=alt.Scale(domain=words, range=[colours[t.name] for t in TARGETS]),
                legend=alt.Legend(orient="top"),
            ),
            strokeDash=alt.StrokeDash(
                "case:N",
                title=None,
                scale=alt.Scale(domain=list(_CASES.values()), range=[[1, 0], [4, 4]]),
                # Beside the other a phone would cut it off.
                legend=alt.Legend(orient="bottom") if len(cases) > 1 else None,
            ),
        )
    )
    return cast("alt.Chart", chart)
