"""Which stations of a batch the City Map shows, and in what order.

Input    a reading, minutes ahead, what was asked for.
Output   rows of `CityReading.at`, riskiest first, each with a name; `summary`, them in a line.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import streamlit as st

from dashboards import risk
from dashboards.readings import CityReading
from dashboards.screens import parts
from mlops_bikeshare.domain.targets import BIKEOUT, DOCKOUT, TARGETS

if TYPE_CHECKING:
    import pandas as pd

EITHER = "either"
ALARMING = 0.6


@dataclass(frozen=True, slots=True)
class Filter:
    """What the map shows: `which` of the two stockouts, from which risk on, where, over what."""

    which: str = EITHER
    least: float = 0.0
    neighbourhoods: tuple[str, ...] = ()
    heat: bool = False
    streets: bool = False


def of_reading(reading: CityReading) -> tuple[str, str, str, datetime, datetime]:
    """What tells a reading from another, for caches."""
    return reading.workspace, reading.city.name, reading.endpoint, reading.dt, reading.now


@st.cache_resource(
    ttl=parts.REFRESH_S, max_entries=48, show_spinner=False, hash_funcs={CityReading: of_reading}
)
def ranked(reading: CityReading, horizon_min: int) -> "pd.DataFrame":
    """The stations with their risk, riskiest first."""
    rows = reading.at(horizon_min=horizon_min)
    named = rows["name"].fillna("Station " + rows.index.to_series())
    rows = rows.assign(name=named)
    return rows.sort_values("risk", ascending=False, na_position="last")


@st.cache_resource(
    ttl=parts.REFRESH_S, max_entries=96, show_spinner=False, hash_funcs={CityReading: of_reading}
)
def shown(reading: CityReading, horizon_min: int, wanted: Filter) -> "pd.DataFrame":
    """The rows that were asked for, with the risk and the shade of the stockout asked for."""
    rows = ranked(reading, horizon_min)
    if wanted.which != EITHER:
        other = (DOCKOUT if wanted.which == BIKEOUT.name else BIKEOUT).probability
        risks = rows[f"p_{wanted.which}"]
        shades = risk.shades(rows.assign(**{other: float("nan")}))
    else:
        risks, shades = rows["risk"], risk.shades(rows)
    rows = rows.assign(risk=risks, shade=shades)
    if wanted.least > 0:
        rows = rows[rows["risk"] >= wanted.least]
    if wanted.neighbourhoods:
        rows = rows[rows["neighbourhood"].isin(wanted.neighbourhoods)]
    return rows.sort_values("risk", ascending=False, na_position="last")


def called(rows: "pd.DataFrame", words: str) -> "pd.DataFrame":
    """The stations of this name or id, else those with these words in their name."""
    said = words.strip().casefold()
    names = rows["name"].str.casefold()
    exact = rows[(names == said) | (rows.index.astype(str) == words.strip())]
    return exact if len(exact) else rows[names.str.contains(said, regex=False)]


def summary(rows: "pd.DataFrame", horizon_min: int, *, of: int, which: str = EITHER) -> str:
    """Of the stockout that was asked for: of the other the filter may have left some out."""
    counts = [
        f"**{int((rows[target.probability] >= ALARMING).sum())}** {risk.WORDS[target.name]}"
        for target in TARGETS
        if which in {EITHER, target.name}
    ]
    unplaced = int(rows[["lat", "lon"]].isna().any(axis=1).sum())
    beside = f" {unplaced} have no position: found by name, not on the map." if unplaced else ""
    shown = f"{len(rows):,} stations" if len(rows) == of else f"{len(rows):,} shown of {of:,}"
    return (
        f"Likely in {horizon_min} min ({ALARMING:.0%} or more): {' and '.join(counts)},"
        f" of {shown}.{beside}"
    )
