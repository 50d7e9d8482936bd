"""One station: its counts now, both chances, and a view: two hours ahead, a day back, or why."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import streamlit as st

from dashboards.readings import Choice, CityReading
from dashboards.readings import station as of_station
from dashboards.readings.city import COUNTS_H
from dashboards.risk import PALETTES, WORDS, Theme
from dashboards.screens import marking, parts, station_views
from dashboards.wording import both_zones, chance, known, plain, span
from mlops_bikeshare.domain.errors import BikeshareError
from mlops_bikeshare.domain.targets import TARGETS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from mlops_bikeshare.evaluation.persistence import Persistence

CHART_HEIGHT = 230
AHEAD, BACK, WHY = "Next two hours", "Last 24 hours", "What drives it"
_TOOLTIP = [
    {"field": "stockout", "type": "nominal", "title": "Stockout"},
    {"field": "chance", "type": "quantitative", "title": "Chance", "format": ".0%"},
    {"field": "horizon_min", "type": "quantitative", "title": "Minutes ahead"},
    {"field": "time", "type": "nominal", "title": "Time"},
]
_BY_PERSISTENCE = {
    WORDS[target.name].capitalize(): f"{noun}, persistence"
    for target, noun in zip(TARGETS, ("Bikes", "Docks"), strict=True)
}


def show(
    choice: Choice, reading: CityReading, station: str, *, horizon_min: int, theme: Theme
) -> None:
    """Draw the panel: what is known at once first, what must be read or computed below."""
    row = reading.stations.loc[[station]].iloc[0]
    name = row["name"] if isinstance(row["name"], str) else f"Station {station}"
    st.header(plain(name), anchor=False)
    _counts(reading, station, row)
    path = reading.trajectory(station)
    if path.empty:
        st.info(f"{reading.endpoint} made no prediction for this station in the newest batch.")
    else:
        _chances(path, horizon_min)
    marking.show(choice, reading, station, row)
    view = st.segmented_control(
        "View",
        [AHEAD, BACK, WHY],
        default=AHEAD,
        required=True,
        key="station-view",
        label_visibility="collapsed",
    )
    if view == BACK:
        station_views.past(choice, reading, station, horizon_min=horizon_min, theme=theme)
    elif view == WHY:
        station_views.drivers(choice, reading, station, horizon_min=horizon_min, theme=theme)
    elif not path.empty:
        _ahead(choice, reading, station, path, horizon_min=horizon_min, theme=theme, name=name)


def _ahead(
    choice: Choice,
    reading: CityReading,
    station: str,
    path: "pd.DataFrame",
    *,
    horizon_min: int,
    theme: Theme,
    name: str,
) -> None:
    """Both trajectories with what persistence says, drawn and as a table."""
    rows, note = _long(reading, path), ""
    try:
        tables = _persistence(choice, reading, reading.model_versions)
        expected = of_station.expected(tables, reading, station).dropna(how="all")
        rows = _with_persistence(rows, _long(reading, expected)) if len(expected) else rows
        note = "" if len(expected) else "Persistence is unknown without a count."
    except BikeshareError as error:
        note = f"No persistence line: {error}"
    st.vega_lite_chart(
        rows,
        _chart(rows, horizon_min, theme),
        height=CHART_HEIGHT,
        alt=f"Chance of a stockout at {name} over the next two hours, from bikes and from docks",
    )
    if note:
        st.caption(note)
    with st.expander("As a table"):
        st.dataframe(_table(reading, path), hide_index=True)


def _of_city(reading: CityReading) -> tuple[str, str]:
    return reading.workspace, reading.city.name


@st.cache_resource(
    ttl=10 * parts.REFRESH_S,
    show_spinner=False,
    hash_funcs={Choice: repr, CityReading: _of_city},
)
def _persistence(
    choice: Choice, reading: CityReading, versions: tuple[str, ...]
) -> "Mapping[str, Persistence]":
    _ = versions
    return of_station.persistence(choice, reading)


def _with_persistence(model: "pd.DataFrame", expected: "pd.DataFrame") -> "pd.DataFrame":
    import pandas as pd

    named = expected.assign(stockout=expected["stockout"].map(_BY_PERSISTENCE))
    return pd.concat([model, named], ignore_index=True)


def _counts(reading: CityReading, station: str, row: "pd.Series[Any]") -> None:
    parts.figures(
        {
            "Bikes": _number(row["num_bikes_available"]),
            "Docks free": _number(row["num_docks_available"]),
            "Capacity": _number(row["capacity"]),
        }
    )
    facts = [f"Station {plain(station)}"]
    if known(row["observed_at"]):
        seen = row["observed_at"].to_pydatetime()
        facts.append(f"counted {span(reading.now - seen)} ago")
        facts.append(both_zones(seen, reading.city.zone))
    else:
        facts.append(f"no counts in the {COUNTS_H} hours up to the newest poll")
    # Not `is False`: a column without unknowns holds NumPy's.
    if known(row["is_renting"]) and not row["is_renting"]:
        facts.append("**rents no bikes**")
    if known(row["is_returning"]) and not row["is_returning"]:
        facts.append("**takes no bikes back**")
    st.caption(" · ".join(facts))


def _chances(path: "pd.DataFrame", horizon_min: int) -> None:
    said = {target: path[target.probability].get(horizon_min, float("nan")) for target in TARGETS}
    parts.figures(
        {f"{WORDS[t.name].capitalize()} in {horizon_min} min": chance(p) for t, p in said.items()}
    )


def _long(reading: CityReading, path: "pd.DataFrame") -> "pd.DataFrame":
    """One row per target and horizon; `clock` is the city's time, written as if it were UTC."""
    import pandas as pd

    # The chart's axis is in UTC too, so that no browser shifts it to its own zone.
    at = reading.dt + pd.to_timedelta(path.index.to_numpy(), unit="min")
    wall = at.tz_convert(reading.city.zone).strftime("%Y-%m-%dT%H:%M:%SZ")
    frames = [
        pd.DataFrame(
            {
                "clock": wall,
                "chance": path[target.probability].to_numpy(),
                "stockout": WORDS[target.name].capitalize(),
                "time": [both_zones(t.to_pydatetime(), reading.city.zone) for t in at],
                "horizon_min": path.index.to_numpy(),
            }
        )
        for target in TARGETS
    ]
    return pd.concat(frames, ignore_index=True)


def _chart(rows: "pd.DataFrame", horizon_min: int, theme: Theme) -> dict[str, Any]:
    """Vega-Lite as a dictionary: Altair's checks would take longer than all else of a click."""
    colours = [PALETTES[theme].lines[target.name] for target in TARGETS]
    words = [WORDS[target.name].capitalize() for target in TARGETS]
    dashes = [[1, 0], [6, 3]]
    if rows["stockout"].nunique() > len(words):
        words += [_BY_PERSISTENCE[word] for word in words]
        colours, dashes = colours * 2, [*dashes, [1, 3], [1, 5]]
    legend = {"orient": "top", "symbolType": "stroke", "symbolSize": 150}
    hue = {"domain": words, "range": colours}
    at_horizon = [{"filter": {"field": "horizon_min", "equal": horizon_min}}]
    return {
        "encoding": {
            "x": {
                "field": "clock",
                "type": "temporal",
                "title": "time of day in the city",
                "scale": {"type": "utc"},
                "axis": {"format": "%H:%M", "grid": False, "labelOverlap": True},
            }
        },
        "layer": [
            {
                "transform": at_horizon,
                "mark": {"type": "rule", "strokeDash": [2, 3], "opacity": 0.5},
            },
            {
                "encoding": {
                    "y": {
                        "field": "chance",
                        "type": "quantitative",
                        "title": "chance",
                        "scale": {"domain": [0, 1]},
                        "axis": {"format": "%", "values": [0, 0.25, 0.5, 0.75, 1]},
                    },
                    "color": {
                        "field": "stockout",
                        "type": "nominal",
                        "title": None,
                        "scale": hue,
                        "legend": {**legend, "columns": 2, "labelLimit": 130},
                    },
                    "tooltip": _TOOLTIP,
                },
                "layer": [
                    {
                        "mark": {
                            "type": "line",
                            "strokeWidth": 2.5,
                            "point": {"filled": True, "size": 30},
                        },
                        "encoding": {
                            "strokeDash": {
                                "field": "stockout",
                                "type": "nominal",
                                "title": None,
                                "scale": {"domain": words, "range": dashes},
                            }
                        },
                    },
                    {
                        "transform": at_horizon,
                        "mark": {"type": "point", "filled": True, "size": 120, "opacity": 1},
                    },
                ],
            },
        ],
    }


def _table(reading: CityReading, path: "pd.DataFrame") -> "pd.DataFrame":
    import pandas as pd

    times = [reading.dt + timedelta(minutes=int(minutes)) for minutes in path.index]
    columns: dict[str, list[Any]] = {
        "Minutes ahead": path.index.tolist(),
        "Time": [both_zones(at, reading.city.zone) for at in times],
    }
    for target in TARGETS:
        words = WORDS[target.name].capitalize()
        columns[words] = [chance(p) for p in path[target.probability]]
    return pd.DataFrame(columns)


def _number(value: object) -> str:
    return f"{value:g}" if known(value) else "unknown"
