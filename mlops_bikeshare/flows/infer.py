"""Infer: one batch of predictions at dt, on every endpoint of the city.

Features are made once from what was known at dt and stored, then every endpoint is asked for all
stations and horizons. A batch's key is (endpoint, city, dt): one that is there already is not asked
for again. Endpoints are independent: one that fails leaves the other's batch alone. A heartbeat is
posted only for rows that were written.
"""

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import EndpointError, InputError
from mlops_bikeshare.domain.tables import INFERENCE
from mlops_bikeshare.domain.targets import HORIZONS_MIN, TARGETS, probability_column
from mlops_bikeshare.domain.windows import floor_time, stamp
from mlops_bikeshare.features.definition import FEATURE_NAMES
from mlops_bikeshare.features.online import row_at
from mlops_bikeshare.flows.features import ONLINE, known_at, profiles_for, station_list
from mlops_bikeshare.flows.logged import Told, logged
from mlops_bikeshare.monitoring.heartbeat import batch_points
from mlops_bikeshare.serving import endpoints
from mlops_bikeshare.serving.endpoints import EndpointState
from mlops_bikeshare.serving.predict import Answers, Patience, invoke

log = logging.getLogger(__name__)
# A variant's worker answers one request at a time; a second one would only wait inside its latency.
ONE_BY_ONE = Patience(in_flight=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What became of one endpoint's batch; `failure` says why there are fewer rows than asked."""

    city: str
    endpoint: str
    dt: datetime
    stations: int
    rows: int
    seconds: float
    already_there: bool = False
    failure: str | None = None


def _told(done: list[Batch]) -> Told:
    read = {"dt": f"{done[0].dt:%F %H:%M}", "stations": max(b.stations for b in done)}
    return Told(read=read, wrote={batch.endpoint: batch.rows for batch in done})


@logged("infer", _told)
def infer(ws: Workspace, city: City, *, at: datetime | None = None) -> list[Batch]:
    """The batch of the newest decision time at or before `at` (default: now)."""
    dt = floor_time(at or ws.now)
    asked = [endpoints.find(ws.clients, name) for name in _names(ws, city)]
    live = [state for state in asked if state is not None]
    if not live:
        msg = f"{city.name} has no endpoint yet: none of {', '.join(_names(ws, city))} exists"
        raise EndpointError(f"{msg}; run `bikeshare deploy --city {city.name}` first")
    todo = [state for state in live if not _there(ws, city, state.name, dt)]
    done = [_kept(city, state.name, dt) for state in live if state not in todo]
    if not todo:
        return done
    features = online_features(ws, city, dt)
    with ThreadPoolExecutor(len(todo)) as pool:
        made = pool.map(lambda state: _batch(ws, city, state, dt, features), todo)
        return [*done, *made]


def online_features(ws: Workspace, city: City, dt: datetime) -> pd.DataFrame:
    """The features of every station at dt, stored as evidence of what was asked."""
    rows = row_at(
        known_at(ws, city, dt),
        dt=dt,
        stations=station_list(ws, city, day=dt.date()),
        city=city,
        profiles=profiles_for(ws, city, dt.date()),
    )
    if rows.empty:
        msg = f"no station of {city.name} is known at {dt:%F %H:%M} UTC"
        raise InputError(f"{msg}: the feed was down or nothing was ingested; predict nothing")
    ws.lake.write(ONLINE, rows, city=city.name, name=stamp(dt))
    return rows


def summary(batch: Batch) -> str:
    """One line for a person."""
    what = "was there already" if batch.already_there else f"{batch.rows:,} rows"
    failed = f"; failed: {batch.failure}" if batch.failure else ""
    return f"{batch.endpoint} {batch.dt:%F %H:%M}: {what} in {batch.seconds:.2f} s{failed}"


def _names(ws: Workspace, city: City) -> list[str]:
    return [ws.settings.endpoint("staging", city.name), ws.settings.endpoint("prod", city.name)]


def _object(endpoint: str, dt: datetime) -> str:
    return f"{endpoint}_{stamp(dt)}"


def _there(ws: Workspace, city: City, endpoint: str, dt: datetime) -> bool:
    return ws.lake.has(INFERENCE, city=city.name, day=dt.date(), name=_object(endpoint, dt))


def _kept(city: City, endpoint: str, dt: datetime) -> Batch:
    return Batch(
        city=city.name, endpoint=endpoint, dt=dt, stations=0, rows=0, seconds=0, already_there=True
    )


def _batch(
    ws: Workspace, city: City, state: EndpointState, dt: datetime, features: pd.DataFrame
) -> Batch:
    began = time.perf_counter()
    rows, answered, failure = 0, 0, None
    try:
        asked = features[list(FEATURE_NAMES)]
        answers = invoke(ws.clients, state.name, asked, dt=dt, patience=ONE_BY_ONE)
        table = _table(state, dt, features["station_id"], answers)
        ws.lake.write(INFERENCE, table, city=city.name, name=_object(state.name, dt))
        rows, answered = len(table), int(answers.answered.sum())
        failure = next((c.failure for c in answers.chunks if c.failure), None)
    except EndpointError as error:
        failure = str(error)
    if failure:
        log.error("batch %s of %s failed: %s", stamp(dt), state.name, failure)
    points = batch_points(
        endpoint=state.name,
        city=city.name,
        dt=dt,
        asked=len(features),
        answered=answered,
        written=rows,
    )
    ws.metrics.put(points, once=f"batch {city.name} {_object(state.name, dt)} {rows > 0}")
    return Batch(
        city=city.name,
        endpoint=state.name,
        dt=dt,
        stations=answered,
        rows=rows,
        seconds=time.perf_counter() - began,
        failure=failure,
    )


def _table(
    state: EndpointState, dt: datetime, stations: "pd.Series[str]", answers: Answers
) -> pd.DataFrame:
    """Wide answers to rows of `inference`: one per answered station and horizon."""
    answered = answers.answered
    count, horizons = int(answered.sum()), len(HORIZONS_MIN)
    variants = answers.variants[answered].astype(str)
    versions = {variant.name: variant.version for variant in state.variants}
    table = pd.DataFrame(
        {
            "endpoint": state.name,
            "model_version": np.repeat([versions.get(v) for v in variants], horizons),
            "variant": np.repeat(variants, horizons),
            "station_id": np.repeat(stations.to_numpy()[answered], horizons),
            "dt": pd.Timestamp(dt).as_unit("ms"),
            "horizon_min": np.tile(np.array(HORIZONS_MIN, dtype=np.int16), count),
            "source": "model",
        }
    )
    for target in TARGETS:
        names = [probability_column(target, horizon_min=h) for h in HORIZONS_MIN]
        table[target.probability] = answers.frame.loc[answered, names].to_numpy().ravel()
    return table
