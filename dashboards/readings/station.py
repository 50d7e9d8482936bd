"""One station: its last 24 hours, what persistence would say, and what drives the model.

Output   Past: what was predicted, at the time it spoke of, and what was counted; a table of
         persistence by target; flows.explain.Explained.
Raises   ModelError when the version is not registered, InputError when the station was silent.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from dashboards.readings.choosing import Choice, Empty
from dashboards.readings.city import CityReading
from dashboards.readings.clients import Clients, literal, opened
from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.errors import ModelError
from mlops_bikeshare.domain.targets import TARGETS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from mlops_bikeshare.evaluation.persistence import Persistence
    from mlops_bikeshare.flows.explain import Explained

PAST_H = 24


@dataclass(frozen=True, slots=True)
class Past:
    """`said`: at, p_bikeout, p_dockout; `seen`: at, num_bikes_available, num_docks_available."""

    said: "pd.DataFrame"
    seen: "pd.DataFrame"


def past(clients: Clients, reading: CityReading, station: str, *, horizon_min: int) -> Past:
    """The 24 hours before the newest batch, from one query."""
    import pandas as pd

    until, since = reading.now, reading.dt - timedelta(hours=PAST_H)
    of = (
        f"city = {literal(reading.city.name)} AND station_id = {literal(station)}"
        f" AND date >= DATE '{since:%Y-%m-%d}'"
    )
    start, end = (f"TIMESTAMP '{at:%Y-%m-%d %H:%M:%S}'" for at in (since, until))
    rows = clients.query.run(
        "SELECT 'said' AS kind, dt AS at, p_bikeout, p_dockout,"
        " CAST(NULL AS SMALLINT) AS num_bikes_available,"
        " CAST(NULL AS SMALLINT) AS num_docks_available"
        f" FROM inference WHERE {of} AND endpoint = {literal(reading.endpoint)}"
        f" AND horizon_min = {int(horizon_min)} AND dt > {start}"
        " UNION ALL SELECT 'seen', observed_at, NULL, NULL, num_bikes_available,"
        f" num_docks_available FROM station_status WHERE {of} AND observed_at > {start}"
        f" AND fetched_at <= {end} ORDER BY 2"
    )
    said = rows.loc[rows["kind"] == "said", ["at", "p_bikeout", "p_dockout"]]
    said = said.assign(at=said["at"] + pd.Timedelta(minutes=horizon_min))
    counts = ["at", "num_bikes_available", "num_docks_available"]
    return Past(said=said, seen=rows.loc[rows["kind"] == "seen", counts])


def persistence(choice: Choice, reading: CityReading) -> "Mapping[str, Persistence]":
    """P(out later | count now) of the version that answered, by target."""
    from mlops_bikeshare.flows.judging.judged import yardsticks

    ws, version = _registered(choice, reading)
    found = yardsticks(ws, reading.city, version)
    return {target: yardstick.persistence for target, yardstick in found.items()}


def expected(
    tables: "Mapping[str, Persistence]", reading: CityReading, station: str
) -> "pd.DataFrame":
    """What persistence says of a station at each horizon: p_bikeout, p_dockout."""
    import numpy as np
    import pandas as pd

    row, horizons = reading.stations.loc[station], reading.horizons_min
    columns = {}
    for target in TARGETS:
        count = row[target.count]
        known = np.array([-1 if pd.isna(count) else int(count)])
        table = tables[target.name]
        columns[target.probability] = [
            float(table.predict(known, horizon_min=h)[0]) if h in table.rates else float("nan")
            for h in horizons
        ]
    return pd.DataFrame(columns, index=pd.Index(horizons, name="horizon_min"))


def drivers(choice: Choice, reading: CityReading, station: str, *, horizon_min: int) -> "Explained":
    """What moved the answers for a station, by TreeSHAP."""
    from mlops_bikeshare.flows.explain import explain

    ws, version = _registered(choice, reading)
    return explain(
        ws,
        reading.city,
        station_id=station,
        at=reading.dt,
        reference=version,
        horizon_min=horizon_min,
        top=6,
    )


def _registered(choice: Choice, reading: CityReading) -> tuple[Workspace, str]:
    """The version that answered most recently; ModelError where nothing is registered."""
    from mlops_bikeshare.flows.status import store_of

    ws = opened(choice)
    if isinstance(ws, Empty) or not reading.model_versions:
        raise ModelError("no registered version answered this batch")
    version = reading.model_versions[-1]
    kept = ws.path / "models" / f"{reading.city.registered_model}-{version}"
    if not kept.is_dir() and store_of(ws.settings) is None:
        where = "there is no MLflow store yet"
        raise ModelError(f"version {version} of {reading.city.registered_model}: {where}")
    return ws, version
