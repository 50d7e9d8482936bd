"""Predict: probabilities for records of features that somebody brings, from an endpoint.

Input    records, each a mapping of every feature of the deployed version to a number, or to None
         where it is not known.
Output   Predicted: chances per record in its order, and which version answered: its digest, when it
         was trained. Nothing is kept: neither a batch nor its quality sees it, but the endpoint's
         own meters (calls, latency, data capture) count it as any other request.
Raises   InputError for a feature that is missing or that the version does not know, and for an
         endpoint of another city; EndpointError when the endpoint does not answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Any

import pandas as pd

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import EndpointError, InputError
from mlops_bikeshare.domain.targets import TARGETS
from mlops_bikeshare.domain.windows import floor_time
from mlops_bikeshare.flows import tracking
from mlops_bikeshare.flows.infer import answers_of
from mlops_bikeshare.flows.judging import judged
from mlops_bikeshare.registry import artefact, versions
from mlops_bikeshare.serving import endpoints
from mlops_bikeshare.serving.endpoints import EndpointState

Record = Mapping[str, float | None]
_NAMED = 5
# boto3's clients may be shared by threads, making one may not; a version is fetched once.
_ONE_AT_A_TIME = Lock()
_known: dict[tuple[str, str, str], "Version"] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A registered version as those who ask it need to know it; it never changes."""

    version: str
    artefact_digest: str
    trained_at: datetime
    features: tuple[str, ...]
    horizons_min: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chances:
    """One record's answer, in the order of the horizons; `model_version` None: not known."""

    model_version: str | None
    p_bikeout: tuple[float, ...]
    p_dockout: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """What an endpoint said; `model` is the version that takes most of its traffic."""

    endpoint: str
    model: Version
    predictions: tuple[Chances, ...]


def predict(
    ws: Workspace, city: City, records: Sequence[Record], *, endpoint: str | None = None
) -> Predicted:
    """Ask an endpoint (default: the city's production)."""
    name = endpoint or ws.settings.endpoint("prod", city.name)
    state = _endpoint(ws, name)
    model = _leading(ws, city, state)
    asked = _frame(records, model)
    state, answers = answers_of(ws, city, state, asked, floor_time(ws.now))
    if not answers.answered.all():
        failure = next(chunk.failure for chunk in answers.chunks if chunk.failure)
        raise EndpointError(f"endpoint {name}: {failure}")
    model = _leading(ws, city, state) if state.variants else model  # it may have moved meanwhile
    by = {variant.name: variant.version for variant in state.variants}
    said = [
        answers.frame[[f"{t.probability}_{h}" for h in model.horizons_min]].to_numpy(float).tolist()
        for t in TARGETS
    ]
    chances = tuple(
        Chances(model_version=by.get(who), p_bikeout=tuple(bikes), p_dockout=tuple(docks))
        for who, bikes, docks in zip(answers.variants, *said, strict=True)
    )
    return Predicted(endpoint=name, model=model, predictions=chances)


def version_of(ws: Workspace, city: City, version: str) -> Version:
    """A registered version; looked up once."""
    key = (ws.settings.mlflow_uri, city.registered_model, version)
    with _ONE_AT_A_TIME:
        if key not in _known:
            tracking.connect(ws)
            found = versions.find(city.registered_model, version)
            spec = artefact.read_scorer(judged.artifacts(ws, city, version))
            _known[key] = Version(
                version=version,
                artefact_digest=found.digest,
                trained_at=versions.registered_at(found),
                features=tuple(spec["features"]),
                horizons_min=tuple(spec["horizons_min"]),
            )
        return _known[key]


def _leading(ws: Workspace, city: City, state: EndpointState) -> Version:
    """The version that leads; another city has versions of the same numbers."""
    model = version_of(ws, city, state.leading.version or "")
    if state.leading.digest != model.artefact_digest:
        msg = f"endpoint {state.name} does not serve version {model.version} of {city.name}"
        raise InputError(f"{msg}, but another of that number; name the city that it is of")
    return model


def _endpoint(ws: Workspace, name: str) -> EndpointState:
    clients = ws.clients
    with _ONE_AT_A_TIME:
        _ = clients.sagemaker, clients.runtime
    return endpoints.describe(clients, name)


def _frame(records: Sequence[Record], model: Version) -> pd.DataFrame:
    names = set(model.features)
    for number, record in enumerate(records):
        missing, unknown = sorted(names - set(record)), sorted(set(record) - names)
        if missing or unknown:
            msg = f"record {number}: missing {_some(missing)}; unknown {_some(unknown)}"
            msg = f"{msg}. Version {model.version} takes {len(names)} features"
            raise InputError(f"{msg}; null stands for one that is not known")
    rows: list[Mapping[str, Any]] = list(records)
    return pd.DataFrame(rows, columns=list(model.features)).astype("float32")


def _some(names: list[str]) -> str:
    if not names:
        return "none"
    rest = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + rest
