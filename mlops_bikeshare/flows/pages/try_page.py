"""A page with a map of stations and their risk, that refers to nothing outside it.

Input    a frame of stations: name, lat, lon, num_bikes_available, num_docks_available,
         p_bikeout, p_dockout, risk (NaN where unknown).
Output   HTML text with an inline SVG; each dot tells its station when pointed at.
Method   plate carrée, with longitudes shortened by the cosine of the middle latitude: true to
         scale within a city. Colours are those of the City Map: orange bikes, blue docks.
"""

import html
import math
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mlops_bikeshare.domain.label import Label
from mlops_bikeshare.flows.pages.page_style import framed

if TYPE_CHECKING:
    import pandas as pd

WIDTH = 900.0
_MARGIN = 12.0
_STEPS = (0.2, 0.4, 0.6, 0.8)
_BIKES = ("#c2cad3", "#fdbe85", "#fd8d3c", "#d94801", "#8c2d04")
_DOCKS = ("#c2cad3", "#9ecae1", "#5aa3d6", "#2171b5", "#08306b")
_RADII = (3.0, 3.5, 4.5, 5.5, 7.0)


def page(stations: "pd.DataFrame", *, title: str, at: datetime, days: int, label: Label) -> str:
    """The whole page."""
    placed = stations.dropna(subset=["lat", "lon"])
    lost = len(stations) - len(placed)
    note = (
        "Persistence: how often a station with this count was out 30 minutes later in three other"
        f" cities. Out is at most {label.threshold} left. Orange: out of bikes; blue: out of docks;"
        " hollow: unknown."
    )
    collected = f"Collecting: {days} day{'s' if days != 1 else ''} so far."
    body = (
        f"<h1>{html.escape(title)}: risk in 30 minutes</h1>"
        f'<p class="kicker">{at:%F %H:%M} UTC, {len(stations):,} stations'
        f"{f', {lost} without a place' if lost else ''}. {collected}</p>"
        f"<figure>{_map(placed)}</figure><p class='note'>{note}</p>"
    )
    return framed(title, body)


def _map(stations: "pd.DataFrame") -> str:
    if stations.empty:
        return "<p>No station has a place.</p>"
    squeeze = math.cos(math.radians(float(stations["lat"].mean())))
    x, y = stations["lon"] * squeeze, -stations["lat"]
    span = max(float(x.max() - x.min()), 1e-3)
    scale = (WIDTH - 2 * _MARGIN) / span
    height = float(y.max() - y.min()) * scale + 2 * _MARGIN
    rows = stations.assign(
        x=(x - x.min()) * scale + _MARGIN, y=(y - y.min()) * scale + _MARGIN
    ).sort_values("risk", na_position="first")
    dots = "".join(_dot(row) for row in rows.to_dict("records"))
    box = f'viewBox="0 0 {WIDTH:.0f} {height:.0f}"'
    return f'<svg {box} role="img" aria-label="map of risk">{dots}</svg>'


def _dot(row: dict[Any, Any]) -> str:
    risk = float(row["risk"])
    told = html.escape(f"{_text(row['name'])}: {_counts(row)}")
    place = f'cx="{row["x"]:.1f}" cy="{row["y"]:.1f}"'
    if math.isnan(risk):
        ring = 'r="3" fill="none" stroke="#8b949e"'
        return f"<circle {place} {ring}><title>{told}; risk unknown</title></circle>"
    step = sum(risk >= limit for limit in _STEPS)
    bikes = not float(row["p_bikeout"]) < float(row["p_dockout"])
    fill = (_BIKES if bikes else _DOCKS)[step]
    what = "bikes" if bikes else "docks"
    told += f"; {risk:.0%} out of {what} in 30 min"
    return f'<circle {place} r="{_RADII[step]}" fill="{fill}"><title>{told}</title></circle>'


def _counts(row: dict[Any, Any]) -> str:
    return f"{_text(row['num_bikes_available'])} bikes, {_text(row['num_docks_available'])} docks"


def _text(value: object) -> str:
    missing = value is None or value != value or str(value) == "<NA>"  # noqa: PLR0124 - NaN
    return "?" if missing else str(value)
