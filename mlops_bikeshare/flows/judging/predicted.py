"""Rows of `inference`: what the model answered, and what stands in where it did not.

Input    features of the stations asked for, in order; an endpoint's state; its answers.
Output   rows of `inference`, one per station and horizon: `source` is `model` with the version and
         variant that answered, or `fallback` with neither.

An answer counts when it has a probability for every target and horizon. The fallback is the
persistence table of the version that takes most of the traffic: P(out later | count now). A station
whose counts are unknown has none.
"""

import logging
from collections.abc import Mapping
from datetime import datetime
from threading import Lock
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import BikeshareError
from mlops_bikeshare.domain.targets import HORIZONS_MIN, TARGETS, Target, probability_column
from mlops_bikeshare.evaluation.persistence import Persistence
from mlops_bikeshare.features.definition import COUNT_FEATURES
from mlops_bikeshare.flows.judging import judged
from mlops_bikeshare.registry import artefact
from mlops_bikeshare.serving.endpoints import EndpointState
from mlops_bikeshare.serving.predict import Answers

log = logging.getLogger(__name__)
Probabilities = Mapping[str, NDArray[np.float64]]
# Both endpoints may want the same version's table, which is fetched once.
_FETCHING = Lock()


def usable(answers: Answers) -> NDArray[np.bool_]:
    """Which rows a model answered with a probability for everything it was asked."""
    names = [probability_column(t, horizon_min=h) for t in TARGETS for h in HORIZONS_MIN]
    values = answers.frame.reindex(columns=names).to_numpy(dtype=np.float64)
    good: NDArray[np.bool_] = answers.answered & ((values >= 0) & (values <= 1)).all(axis=1)
    return good


def from_model(
    state: EndpointState,
    dt: datetime,
    stations: "pd.Series[str]",
    answers: Answers,
    good: NDArray[np.bool_],
) -> pd.DataFrame:
    """Rows of the stations that were answered."""
    names = {
        t.probability: [probability_column(t, horizon_min=h) for h in HORIZONS_MIN] for t in TARGETS
    }
    said = {p: answers.frame.loc[good, columns].to_numpy(float) for p, columns in names.items()}
    versions = {variant.name: variant.version for variant in state.variants}
    variants = answers.variants[good].astype(str)
    return _rows(state.name, dt, stations[good], said).assign(
        source="model",
        model_version=np.repeat([versions.get(v) for v in variants], len(HORIZONS_MIN)),
        variant=np.repeat(variants, len(HORIZONS_MIN)),
    )


def from_persistence(
    ws: Workspace, city: City, state: EndpointState, dt: datetime, features: pd.DataFrame
) -> pd.DataFrame:
    """Rows of the stations not answered; none when the version's table is out of reach."""
    try:
        said = {t.probability: _persistence(ws, city, state, t, features) for t in TARGETS}
    except BikeshareError as error:
        log.error("no fallback for %s: %s", state.name, error)
        return _rows(state.name, dt, features["station_id"].iloc[:0], {})
    rows = _rows(state.name, dt, features["station_id"], said)
    rows = rows.assign(source="fallback", model_version=None, variant=None)
    known = rows[list(said)].notna().any(axis=1)
    return rows[known]


def _persistence(
    ws: Workspace, city: City, state: EndpointState, target: Target, features: pd.DataFrame
) -> NDArray[np.float64]:
    busiest = max(state.variants, key=lambda variant: variant.weight)
    with _FETCHING:
        folder = judged.artifacts(ws, city, busiest.version or "")
    table = Persistence.from_json(artefact.read_persistence(folder)[target.name])
    counts = features[COUNT_FEATURES[target.count]].fillna(-1).to_numpy(dtype=np.int64)
    return np.column_stack([table.predict(counts, horizon_min=h) for h in HORIZONS_MIN])


def _rows(
    endpoint: str, dt: datetime, stations: "pd.Series[Any]", said: Probabilities
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "endpoint": endpoint,
            "station_id": np.repeat(stations.to_numpy(), len(HORIZONS_MIN)),
            "dt": pd.Timestamp(dt).as_unit("ms"),
            "horizon_min": np.tile(np.array(HORIZONS_MIN, dtype=np.int16), len(stations)),
            **{name: values.ravel() for name, values in said.items()},
        }
    )
