"""What if: both probabilities of a station, or of the whole city, for inputs that are not so.

Input    what is known at the newest decision time (`prepare`, good until the next one), and
         `Changes`: bikes now, weather, hour, weekday, month.
Output   `Answer`: the endpoint's own probabilities, as it is and as supposed, at every horizon; the
         changed inputs that no feature of the model knows. Each request is kept in the table
         `whatif_requests`, never among predictions: neither a batch nor its quality sees it.
Raises   InputError for a station that is not known now, or a value that cannot be; EndpointError
         when the endpoint does not answer.

The endpoint's own meters (calls, latency, data capture) count these requests as any other.
"""

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import EndpointError, InputError
from mlops_bikeshare.domain.tables import WHATIF_REQUESTS
from mlops_bikeshare.domain.targets import HORIZONS_MIN, PROMISE_MIN, TARGETS, probability_column
from mlops_bikeshare.domain.windows import SLOT_S, Window, floor_time, stamp
from mlops_bikeshare.features.definition import FEATURE_NAMES
from mlops_bikeshare.features.grid import LOOKBACK, MISSING
from mlops_bikeshare.features.rows import known_grid
from mlops_bikeshare.flows.features import known_at, profiles_for, station_list
from mlops_bikeshare.flows.supposing.basis import (
    Basis,
    features_of,
    places_of,
    without_influence,
)
from mlops_bikeshare.flows.supposing.changes import WEATHER, Changes
from mlops_bikeshare.serving import endpoints
from mlops_bikeshare.serving.endpoints import EndpointState
from mlops_bikeshare.serving.predict import Answers, Patience, invoke

# A person waits for it: no second attempt after seconds of silence.
HURRIED = Patience(attempts=2, deadline_s=10, in_flight=1)
_CHANCES = [t.probability for t in TARGETS]


@dataclass(frozen=True, eq=False, kw_only=True)
class Answer:
    """`rows`: station_id, horizon_min, p_bikeout, p_dockout, and both as it is (`…_now`).

    `took_ms`: from the changed inputs to the endpoint's answer; `kept_ms`: writing it down.
    """

    request: str
    city: str
    scope: str
    endpoint: str
    model_version: str | None
    variant: str
    dt: datetime
    inputs: Mapping[str, float]
    without_influence: tuple[str, ...]
    took_ms: float
    kept_ms: float
    rows: pd.DataFrame

    def at(self, horizon_min: int) -> pd.DataFrame:
        """The rows of one horizon, by station."""
        chosen: pd.DataFrame = self.rows[self.rows["horizon_min"] == horizon_min]
        return chosen.set_index("station_id")


def prepare(
    ws: Workspace, city: City, *, endpoint: str | None = None, at: datetime | None = None
) -> Basis:
    """Read what is known at the newest decision time at or before `at` (default: now)."""
    dt = floor_time(at or ws.now)
    name = endpoint or ws.settings.endpoint("prod", city.name)
    state = endpoints.find(ws.clients, name)
    if state is None:
        msg = f"there is no endpoint {name}; run `bikeshare deploy`, or name another"
        raise EndpointError(f"{msg} with --endpoint")
    stations = station_list(ws, city, day=dt.date())
    window = Window(dt - LOOKBACK, dt + timedelta(seconds=SLOT_S))
    grid = known_grid(known_at(ws, city, dt), window=window, stations=stations)
    if not (grid.bikes[-1] != MISSING).any():
        msg = f"no station of {city.name} is known at {dt:%F %H:%M} UTC"
        raise InputError(f"{msg}: the feed was down or nothing was ingested")
    return Basis(
        city=city,
        dt=dt,
        endpoint=name,
        versions={variant.name: variant.version for variant in state.variants},
        target=_leading(state),
        grid=grid,
        stations=stations,
        profiles=profiles_for(ws, city, dt.date()),
    )


def ask(ws: Workspace, basis: Basis, changes: Changes, *, station_id: str | None = None) -> Answer:
    """What the endpoint says if `changes` were so, of one station or of all that are known."""
    places, grid = places_of(basis, changes, station_id)
    now = _as_it_is(ws, basis, places)
    began = time.perf_counter()
    answers = _invoke(ws, basis, features_of(basis, changes, places, grid))
    took_ms = 1000 * (time.perf_counter() - began)
    told = Answer(
        request=uuid.uuid4().hex,
        city=basis.city.name,
        scope="city" if station_id is None else "station",
        endpoint=basis.endpoint,
        model_version=basis.versions.get(str(answers.variants[0])),
        variant=str(answers.variants[0]),
        dt=basis.dt,
        inputs=changes.given,
        without_influence=without_influence(basis, changes, places),
        took_ms=took_ms,
        kept_ms=0.0,
        rows=_long([basis.grid.stations[place] for place in places], _said(answers), now),
    )
    return _kept(ws, told)


def summary(told: Answer, *, horizon_min: int = PROMISE_MIN, top: int = 8) -> str:
    """Both probabilities for a person, as it is and as supposed."""
    changed = ", ".join(f"{name} = {value:g}" for name, value in told.inputs.items())
    version = f"version {told.model_version or 'unknown'}"
    lines = [f"{told.dt:%F %H:%M} UTC, if {changed or 'nothing changes'}, by {told.endpoint}"]
    lines[0] += f" ({version}), {horizon_min} min ahead"
    rows = told.at(horizon_min)
    if told.scope == "city":
        for target in TARGETS:
            now, then = rows[f"{target.probability}_now"].sum(), rows[target.probability].sum()
            lines.append(
                f"  {target.name}: {now:.1f} → {then:.1f} stations expected of {len(rows)}"
            )
        moved = (rows[_CHANCES].to_numpy() - rows[[f"{n}_now" for n in _CHANCES]].to_numpy()).T
        most = np.argsort(-np.abs(moved).max(axis=0), kind="stable")[:top]
        rows = rows.iloc[most]
    for station, row in rows.iterrows():
        parts = [
            f"{t.name} {row[f'{t.probability}_now']:.3f} → {row[t.probability]:.3f}"
            for t in TARGETS
        ]
        lines.append(f"  {station}: {', '.join(parts)}")
    lines += [f"  {name} has no influence: {_why(name)}" for name in told.without_influence]
    return "\n".join([*lines, f"  answered in {told.took_ms:.0f} ms, kept as {told.request}"])


def to_json(told: Answer) -> dict[str, Any]:
    """The answer as plain values."""
    facts = {name: getattr(told, name) for name in told.__dataclass_fields__ if name != "rows"}
    return {**facts, "rows": told.rows.to_dict("records")}


def _leading(state: EndpointState) -> str | None:
    """The variant with most of the traffic, where several share it."""
    if len(state.variants) <= 1:
        return None
    return max(state.variants, key=lambda variant: variant.weight).name


def _why(name: str) -> str:
    what = "weather" if name in WEATHER else "the time of year"
    return f"no feature of this model knows {what}"


def _invoke(ws: Workspace, basis: Basis, features: NDArray[np.float32]) -> Answers:
    frame = pd.DataFrame(features, columns=list(FEATURE_NAMES))
    answers = invoke(
        ws.clients,
        basis.endpoint,
        frame,
        dt=basis.dt,
        target_variant=basis.target,
        patience=HURRIED,
    )
    if not answers.answered.all():
        failure = next(chunk.failure for chunk in answers.chunks if chunk.failure)
        raise EndpointError(f"endpoint {basis.endpoint}: {failure}")
    return answers


def _as_it_is(ws: Workspace, basis: Basis, places: NDArray[np.intp]) -> NDArray[np.float64]:
    """The endpoint's answers (stations, targets, horizons) without changes, asked for once."""
    new = np.array([p for p in places.tolist() if p not in basis.asked], dtype=np.intp)
    if len(new):
        said = _said(_invoke(ws, basis, features_of(basis, Changes(), new)))
        basis.asked.update(zip(new.tolist(), said, strict=True))
    return np.stack([basis.asked[place] for place in places.tolist()])


def _said(answers: Answers) -> NDArray[np.float64]:
    """Probabilities (stations, targets, horizons)."""
    columns = [probability_column(t, horizon_min=h) for t in TARGETS for h in HORIZONS_MIN]
    values = answers.frame[columns].to_numpy(dtype=np.float64)
    return values.reshape(-1, len(TARGETS), len(HORIZONS_MIN))


def _long(ids: list[str], said: NDArray[np.float64], now: NDArray[np.float64]) -> pd.DataFrame:
    """One row a station and horizon."""
    columns = {t.probability: said[:, i].ravel() for i, t in enumerate(TARGETS)}
    before = {f"{t.probability}_now": now[:, i].ravel() for i, t in enumerate(TARGETS)}
    return pd.DataFrame(
        {
            "station_id": np.repeat(np.array(ids, dtype=object), len(HORIZONS_MIN)),
            "horizon_min": np.tile(np.array(HORIZONS_MIN, dtype=np.int16), len(ids)),
            **columns,
            **before,
        }
    )


def _kept(ws: Workspace, told: Answer) -> Answer:
    """The answer, once its request is in the table."""
    began = time.perf_counter()
    facts: dict[str, Any] = {
        "request": told.request,
        "asked_at": pd.Timestamp(ws.now).as_unit("ms"),
        "scope": told.scope,
        "inputs": json.dumps(dict(told.inputs), sort_keys=True),
        "without_influence": ",".join(told.without_influence),
        "endpoint": told.endpoint,
        "model_version": told.model_version,
        "variant": told.variant,
        "dt": pd.Timestamp(told.dt).as_unit("ms"),
    }
    columns = {name: told.rows[name] for name in ("station_id", "horizon_min", *_CHANCES)}
    table = pd.DataFrame({**columns, **facts}, columns=WHATIF_REQUESTS.names)
    name = f"{stamp(ws.now)}_{told.request}"
    ws.lake.write(WHATIF_REQUESTS, table, city=told.city, name=name)
    kept_ms = 1000 * (time.perf_counter() - began)
    return replace(told, kept_ms=kept_ms)
