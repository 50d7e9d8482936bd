"""City Map and Top-N: the newest batch of one endpoint, and the stations it is about.

Output   CityReading, from one query: frames of stations and predictions, probabilities in [0, 1],
         NaN where unknown; or Empty.
Method   a neighbourhood is a cell of a 2 km grid, called after the station nearest to its middle.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from dashboards.readings.choosing import SECRETS, Choice, Empty
from dashboards.readings.clients import Clients, connect, literal, located, typed
from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.evaluation.neighbourhoods import cells
from mlops_bikeshare.flows.judging.handled import HANDLED, LASTS
from mlops_bikeshare.sources.weather import ATTRIBUTIONS

if TYPE_CHECKING:
    import pandas as pd

NEIGHBOURHOOD_KM = 2.0
NO_POSITION = "no position"
COUNTS_H = 2
_STATION = ["name", "lat", "lon", "capacity"]
_COUNTS = [
    "num_bikes_available",
    "num_docks_available",
    "is_renting",
    "is_returning",
    "observed_at",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class CityReading:
    """The newest batch of one endpoint, and the stations it is about.

    `stations`: station_id (index), name, lat, lon, capacity, num_bikes_available,
    num_docks_available, is_renting, is_returning, observed_at (of the last `COUNTS_H` before the
    newest poll), handled_at (said within `LASTS`), neighbourhood; one row each, placed or not.
    `predictions`: station_id, horizon_min (index), p_bikeout, p_dockout.
    """

    workspace: str
    city: City
    endpoint: str
    now: datetime
    clock: str
    dt: datetime
    model_versions: tuple[str, ...]
    fallback_share: float
    stale_after: timedelta
    stations: "pd.DataFrame"
    predictions: "pd.DataFrame"
    attribution: str = ""

    @property
    def age(self) -> timedelta:
        """How old the batch is by the workspace's clock."""
        return self.now - self.dt

    @property
    def stale(self) -> bool:
        """Whether a newer batch should be there."""
        return self.age > self.stale_after

    @property
    def horizons_min(self) -> list[int]:
        """The horizons that the batch answers."""
        return sorted(int(h) for h in self.predictions.index.unique("horizon_min"))

    def at(self, *, horizon_min: int) -> "pd.DataFrame":
        """The stations with both probabilities at one horizon (NaN: none) and their risk."""
        rows = self.predictions.reset_index("horizon_min")
        chosen = rows[rows["horizon_min"] == horizon_min].drop(columns="horizon_min")
        joined = self.stations.join(chosen)
        return joined.assign(risk=joined[["p_bikeout", "p_dockout"]].max(axis=1))

    def trajectory(self, station_id: str) -> "pd.DataFrame":
        """Both probabilities of one station by horizon_min (index); empty if there are none."""
        mine = self.predictions.index.get_level_values("station_id") == station_id
        return self.predictions[mine].droplevel("station_id").sort_index()


def read(choice: Choice, clients: Clients | None = None) -> CityReading | Empty:
    """The newest batch, or why there is none."""
    found = located(choice)
    if isinstance(found, Empty):
        return found
    ws, city = found
    asked = clients or connect(choice)
    rows = asked.query.run(_statement(choice, city, ws.now))
    if rows.empty or rows["dt"].isna().all():
        return _no_predictions(ws, choice, asked, city)
    return _reading(ws, choice, city, rows)


def _statement(choice: Choice, city: City, now: datetime) -> str:
    """Stations, their newest counts and marks at `now`, the newest batch and who answered it."""
    since = now - LASTS
    of_city, seen = f"city = {literal(city.name)}", f"TIMESTAMP '{now:%Y-%m-%d %H:%M:%S}'"
    known = (
        f"{of_city} AND date >= DATE '{now - timedelta(days=1):%Y-%m-%d}' AND fetched_at <= {seen}"
    )
    counts, shown = ", ".join(_COUNTS), ", ".join(f"s.{name}" for name in _STATION)
    return f"""
WITH said AS (
  SELECT station_id, dt, horizon_min, p_bikeout, p_dockout FROM {choice.views.predictions}
  WHERE {of_city} AND endpoint = {literal(choice.endpoint.value)}
), answered AS (
  SELECT ARRAY_JOIN(ARRAY_AGG(DISTINCT model_version), ', ') AS model_versions,
    AVG(CASE WHEN source = 'fallback' THEN 1.0 ELSE 0.0 END) AS fallback_share
  FROM inference
  WHERE {of_city} AND endpoint = {literal(choice.endpoint.value)}
    AND date >= (SELECT CAST(MIN(dt) AS DATE) FROM said) AND dt = (SELECT MIN(dt) FROM said)
), counted AS (
  SELECT station_id, {counts},
    ROW_NUMBER() OVER (PARTITION BY station_id ORDER BY fetched_at DESC) AS newest
  FROM station_status
  WHERE {known} AND slot > (SELECT MAX(slot) FROM station_status WHERE {known})
    - INTERVAL '{COUNTS_H}' HOUR
), marked AS (
  SELECT station_id, MAX(said_at) AS handled_at FROM station_feedback
  WHERE {of_city} AND date >= DATE '{since:%Y-%m-%d}' AND what = {literal(HANDLED)}
    AND said_at > TIMESTAMP '{since:%Y-%m-%d %H:%M:%S}' AND said_at <= {seen}
  GROUP BY station_id
)
SELECT s.station_id, {shown}, {", ".join(f"c.{name}" for name in _COUNTS)},
  m.handled_at, p.dt, p.horizon_min, p.p_bikeout, p.p_dockout, a.model_versions, a.fallback_share
FROM {choice.views.stations} AS s
LEFT JOIN said AS p ON p.station_id = s.station_id
LEFT JOIN counted AS c ON c.station_id = s.station_id AND c.newest = 1
LEFT JOIN marked AS m ON m.station_id = s.station_id
CROSS JOIN answered AS a
WHERE s.{of_city}
ORDER BY s.station_id, p.horizon_min"""


def _reading(ws: Workspace, choice: Choice, city: City, rows: "pd.DataFrame") -> CityReading:
    first = rows.drop_duplicates("station_id")
    stations = first.set_index("station_id")[[*_STATION, *_COUNTS, "handled_at"]]
    said = rows.loc[rows["dt"].notna(), ["station_id", "horizon_min", "p_bikeout", "p_dockout"]]
    versions = first["model_versions"].iloc[0]
    return CityReading(
        workspace=ws.settings.workspace,
        city=city,
        endpoint=choice.endpoint.value,
        now=ws.now,
        clock=ws.clock.kind,
        dt=rows["dt"].max().to_pydatetime(),
        model_versions=tuple(sorted(versions.split(", "))) if versions else (),
        fallback_share=float(first["fallback_share"].iloc[0] or 0),
        stale_after=timedelta(minutes=ws.settings.gate.stale_min),
        stations=stations.assign(neighbourhood=neighbourhoods(stations)),
        predictions=said.astype({"horizon_min": "int16"}).set_index(["station_id", "horizon_min"]),
        attribution=ATTRIBUTIONS.get(ws.settings.weather.provider, ""),
    )


def neighbourhoods(stations: "pd.DataFrame") -> "np.ndarray[tuple[int], np.dtype[np.object_]]":
    """The neighbourhood of each station, in words."""
    lat, lon = (stations[n].to_numpy(dtype=np.float64, na_value=np.nan) for n in ("lat", "lon"))
    cell, middles = cells(lat, lon, km=NEIGHBOURHOOD_KM)
    found = np.full(len(stations), NO_POSITION, dtype=object)
    names = stations["name"].fillna("station " + stations.index.to_series()).to_numpy()
    for number, middle in enumerate(middles):
        inside = np.flatnonzero(cell == number)
        up, across = (float(part) for part in middle.split(","))
        squeezed = (lon[inside] - across) * np.cos(np.radians(up))
        nearest = inside[np.argmin((lat[inside] - up) ** 2 + squeezed**2)]
        found[inside] = f"around {names[nearest]}"
    return found


def _no_predictions(ws: Workspace, choice: Choice, asked: Clients, city: City) -> Empty:
    found = asked.query.run(
        f"SELECT DISTINCT endpoint FROM {choice.views.predictions}"
        f" WHERE city = {literal(city.name)}"
    )
    others = ", ".join(sorted(found["endpoint"]))
    endpoint = choice.endpoint
    what = f"Endpoint {endpoint.value!r} ({endpoint.origin}) has no predictions for {city.name}."
    if others:
        todo = f"Endpoints that have some: {others}. Name one in {SECRETS}, or start with:"
        first = others.split(", ", maxsplit=1)[0]
        return Empty(what, todo, f"BIKESHARE_SM_ENDPOINT={first} make dashboard")
    return Empty(what, "Run one batch of predictions.", typed(ws, f"infer --city {city.name}"))
