"""Infer: one batch of predictions at dt, on every endpoint of the city.

Features are made once from what was known at dt and stored, then every endpoint is asked for all
stations and horizons. A station that is not answered gets the persistence of the version, marked
as fallback, and the batch has failed all the same. A batch's key is (endpoint, city, dt): one that
is there already is not asked for again. Endpoints are independent: one that fails leaves the
other's batch alone. A heartbeat is posted only for rows that were written and that a model
answered; one that a kill kept from being posted is posted by the next run. Production's batch is
published for others. There are no batches for the past: what nobody could see at dt is no
prediction.
"""

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import EndpointError, InputError
from mlops_bikeshare.domain.tables import INFERENCE
from mlops_bikeshare.domain.windows import floor_time, stamp
from mlops_bikeshare.features.definition import FEATURE_NAMES
from mlops_bikeshare.features.online import row_at
from mlops_bikeshare.flows import publish
from mlops_bikeshare.flows.features import (
    ONLINE,
    check_definition,
    known_at,
    other_features,
    profiles_for,
    station_list,
)
from mlops_bikeshare.flows.judging import beats, predicted
from mlops_bikeshare.flows.process.logged import Told, logged
from mlops_bikeshare.serving import endpoints
from mlops_bikeshare.serving.endpoints import EndpointState
from mlops_bikeshare.serving.predict import Answers, Patience, invoke

log = logging.getLogger(__name__)
# A variant's worker answers one request at a time; a second one would only wait inside its latency.
ONE_BY_ONE = Patience(in_flight=1)
# A release moves an endpoint once or twice; who is asked between two moves is asked in vain.
_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What became of one endpoint's batch; `failure` says why a model did not answer every row.

    `stations` were answered by the model; of the `rows` written, `fallback` were not.
    """

    city: str
    endpoint: str
    dt: datetime
    stations: int
    rows: int
    seconds: float
    fallback: int = 0
    already_there: bool = False
    failure: str | None = None


def _told(done: list[Batch]) -> Told:
    read = {"dt": f"{done[0].dt:%F %H:%M}", "stations": max(b.stations for b in done)}
    return Told(read=read, wrote={batch.endpoint: batch.rows for batch in done})


@logged("infer", _told)
def infer(ws: Workspace, city: City, *, at: datetime | None = None) -> list[Batch]:
    """The batch of the newest decision time at or before `at` (default: now)."""
    now = ws.now
    dt = floor_time(at or now)
    live, unseen = _looked(ws, city)
    if not live:
        for error in unseen.values():
            raise error
        msg = f"{city.name} has no endpoint yet: none of {', '.join(_names(ws, city))} exists"
        raise EndpointError(f"{msg}; run `bikeshare deploy --city {city.name}` first")
    _refuse_the_future(dt, now)
    todo = [state for state in live if not beats.there(ws, city, state.name, dt)]
    done = [_kept(city, state.name, dt) for state in live if state not in todo]
    if todo:
        _refuse_the_past(dt, now)
        done += _batches(ws, city, todo, dt)
    done += [_unasked(city, name, dt, error) for name, error in unseen.items()]
    publish.try_to_publish(ws, city, dt)
    for state in live:
        beats.mend(ws, city, state.name, up_to=dt)
    return done


def _batches(ws: Workspace, city: City, todo: list[EndpointState], dt: datetime) -> list[Batch]:
    """The batches of endpoints that have none yet, beside each other."""
    features = online_features(ws, city, dt)
    with ThreadPoolExecutor(len(todo)) as pool:
        return list(pool.map(lambda state: _batch(ws, city, state, dt, features), todo))


def online_features(ws: Workspace, city: City, dt: datetime) -> pd.DataFrame:
    """The features of every station at dt, stored as evidence of what was asked."""
    check_definition(ws, city)
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
    what += f" ({batch.fallback:,} of them fallback)" if batch.fallback else ""
    failed = f"; failed: {batch.failure}" if batch.failure else ""
    return f"{batch.endpoint} {batch.dt:%F %H:%M}: {what} in {batch.seconds:.2f} s{failed}"


def _refuse_the_future(dt: datetime, now: datetime) -> None:
    if dt > now:
        msg = f"{dt:%F %H:%M} UTC is still to come: the batch of now is that of"
        raise InputError(f"{msg} {floor_time(now):%H:%M}; what is known then is not known yet")


def _refuse_the_past(dt: datetime, now: datetime) -> None:
    if dt < floor_time(now):
        msg = f"{dt:%F %H:%M} UTC is over: the batch of now is that of {floor_time(now):%H:%M}"
        raise InputError(f"{msg}; a prediction for the past would be judged as if it had been made")


def _names(ws: Workspace, city: City) -> list[str]:
    return [ws.settings.endpoint("staging", city.name), ws.settings.endpoint("prod", city.name)]


def _looked(ws: Workspace, city: City) -> tuple[list[EndpointState], dict[str, EndpointError]]:
    """The endpoints that there are, and why one of them cannot be looked at."""
    live, unseen = [], {}
    for name in _names(ws, city):
        try:
            state = endpoints.find(ws.clients, name)
        except EndpointError as error:
            log.error("%s cannot be looked at: %s", name, error)
            unseen[name] = error
        else:
            live += [state] if state is not None else []
    return live, unseen


def _unasked(city: City, endpoint: str, dt: datetime, error: EndpointError) -> Batch:
    """No batch: which version would stand in is not known either; the heartbeat is missing."""
    return Batch(
        city=city.name,
        endpoint=endpoint,
        dt=dt,
        stations=0,
        rows=0,
        seconds=0,
        failure=str(error),
    )


def _kept(city: City, endpoint: str, dt: datetime) -> Batch:
    return Batch(
        city=city.name, endpoint=endpoint, dt=dt, stations=0, rows=0, seconds=0, already_there=True
    )


def _batch(
    ws: Workspace, city: City, state: EndpointState, dt: datetime, features: pd.DataFrame
) -> Batch:
    began = time.perf_counter()
    good, answered, failure = np.zeros(len(features), dtype=bool), None, None
    answering = state
    try:
        asked = features[list(FEATURE_NAMES)]
        answering, answered = answers_of(ws, city, state, asked, dt)
        good = predicted.usable(answered)
        failure = _why(answered, good)
    except EndpointError as error:
        failure = str(error)
    parts = [] if good.all() else [predicted.from_persistence(ws, city, state, dt, features[~good])]
    if answered is not None and good.any():
        stations = features["station_id"]
        parts.insert(0, predicted.from_model(answering, dt, stations, answered, good))
    table = pd.concat([part for part in parts if len(part)] or parts)
    if len(table):
        ws.lake.write(INFERENCE, table, city=city.name, name=beats.object_name(state.name, dt))
    if failure:
        log.error("batch %s of %s failed: %s", stamp(dt), state.name, failure)
    answers = int(good.sum())
    beats.post(ws, city, state.name, dt, asked=len(features), answered=answers, rows=len(table))
    return Batch(
        city=city.name,
        endpoint=state.name,
        dt=dt,
        stations=answers,
        rows=len(table),
        fallback=int((table["source"] == "fallback").sum()) if len(table) else 0,
        seconds=time.perf_counter() - began,
        failure=failure,
    )


def answers_of(
    ws: Workspace, city: City, state: EndpointState, asked: pd.DataFrame, dt: datetime
) -> tuple[EndpointState, Answers]:
    """Answers, and what the endpoint was all the while; without variants where that is unknown.

    A variant keeps its name when its model is replaced: who answered is known only when the
    endpoint was the same before and after.
    """
    for _ in range(_TRIES):
        _refuse_other_features(city, state)
        answers = invoke(ws.clients, state.name, asked, dt=dt, patience=ONE_BY_ONE)
        try:
            after = endpoints.describe(ws.clients, state.name)
        except EndpointError as error:
            log.warning("who answered for %s cannot be told: %s", state.name, error)
            break
        if after.untouched_since(state):
            return state, answers
        state = after
    return replace(state, variants=()), answers


def _refuse_other_features(city: City, state: EndpointState) -> None:
    """EndpointError where a variant learned from other features, or another [labels] threshold."""
    for variant in state.variants:
        other = other_features(variant.tags, city)
        if other is not None:
            msg = f"{state.name}: version {variant.version} was trained on other features"
            raise EndpointError(
                f"{msg} ({other[:12]}) than are made here now; it was not asked. Deploy a version"
                " that was trained on these, or go back to the [labels] and code of before"
            )


def _why(answers: Answers, good: "np.ndarray[Any, np.dtype[np.bool_]]") -> str | None:
    failed = next((chunk.failure for chunk in answers.chunks if chunk.failure), None)
    wrong = int((answers.answered & ~good).sum())
    return failed or (f"{wrong} stations were answered without probabilities" if wrong else None)
