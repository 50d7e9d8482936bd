"""Verify what an endpoint serves, to the end: identity, archive, arithmetic, a live request.

Input    an endpoint's state, the registered version it should serve, a variant (default: the
         leading one).
Raises   EndpointError when the tags, the digest of the deployed archive, one of the answers to the
         golden batch, or the live request is not the version's.

The golden batch is made from the version's own feature names and a fixed seed; the registry's model
answers it in this process, the endpoint over the wire, and they may differ by 1e-9. The live
request is the newest stored features; it is found again in the endpoint's metrics.
"""

import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import EndpointError
from mlops_bikeshare.domain.windows import Window, floor_time
from mlops_bikeshare.flows.features import OFFLINE, ONLINE
from mlops_bikeshare.monitoring.metrics import ENDPOINT
from mlops_bikeshare.registry import versions
from mlops_bikeshare.registry.artefact import artefact_digest, read_scorer
from mlops_bikeshare.registry.versions import ModelVersion
from mlops_bikeshare.serving import endpoints
from mlops_bikeshare.serving.endpoints import EndpointState, EndpointVariant
from mlops_bikeshare.serving.predict import Patience, invoke

GOLDEN_ROWS, LIVE_ROWS = 64, 5
SEED = 20_210_901
TOLERANCE = 1e-9
FOUND_AGAIN_S = 60.0
ONE_BY_ONE = Patience(in_flight=1)


def verify(
    ws: Workspace, city: City, state: EndpointState, version: ModelVersion, *, variant: str = ""
) -> None:
    """All of it, for one variant; the others of the endpoint are left alone."""
    served = state.variant(variant) if variant else state.leading
    if served.version != version.version:
        msg = f"endpoint {state.name} serves version {served.version}, not {version.version}"
        raise EndpointError(f"{msg}; deploy again")
    found = deployed_digest(ws, state, variant=served.name)
    if found != version.digest:
        msg = f"endpoint {state.name} serves an archive with digest {found}, but version"
        raise EndpointError(f"{msg} {version.version} was registered as {version.digest}")
    with tempfile.TemporaryDirectory(prefix="bikeshare-") as scratch:
        folder = versions.download(version, Path(scratch))
        asked = golden_rows(read_scorer(folder / "artifacts")["features"])
        expected = _registered(folder, asked)
    at, live = _newest(ws, city)
    _golden(ws, state, served, version, asked, expected, dt=at)
    _live(ws, state, served, asked.head(LIVE_ROWS) if live is None else live, dt=at)


def deployed_digest(ws: Workspace, state: EndpointState, *, variant: str = "") -> str:
    """The digest recomputed from the archive of a variant (default: the leading one)."""
    served = state.variant(variant) if variant else state.leading
    with tempfile.TemporaryDirectory(prefix="bikeshare-") as scratch:
        return artefact_digest(endpoints.fetch_archive(ws.clients, served, Path(scratch)))


def golden_rows(features: list[str]) -> pd.DataFrame:
    """The same rows for the same features, a tenth of the values unknown: float32."""
    rng = np.random.default_rng(SEED)
    values = rng.normal(5, 10, (GOLDEN_ROWS, len(features))).astype(np.float32)
    values[rng.random(values.shape) < 0.1] = np.nan  # noqa: PLR2004 - a tenth
    return pd.DataFrame(values, columns=features)


def _registered(folder: Path, asked: pd.DataFrame) -> pd.DataFrame:
    import mlflow

    answer: pd.DataFrame = mlflow.pyfunc.load_model(str(folder)).predict(asked)
    return answer


def _golden(
    ws: Workspace,
    state: EndpointState,
    served: EndpointVariant,
    version: ModelVersion,
    asked: pd.DataFrame,
    expected: pd.DataFrame,
    *,
    dt: datetime,
) -> None:
    answers = invoke(
        ws.clients, state.name, asked, dt=dt, target_variant=served.name, patience=ONE_BY_ONE
    )
    if sorted(answers.frame.columns) != sorted(expected.columns):
        found = f"{len(answers.frame.columns)} columns for {len(expected.columns)}"
        raise EndpointError(f"endpoint {state.name} answered the golden batch with {found}")
    apart = (answers.frame[expected.columns] - expected.reset_index(drop=True)).abs().to_numpy()
    # NaN is further away than any tolerance
    if not (apart <= TOLERANCE).all():
        msg = f"endpoint {state.name} answers the golden batch unlike version {version.version}"
        raise EndpointError(f"{msg} of the registry: up to {np.max(apart):g} apart; do not use it")


def _live(
    ws: Workspace,
    state: EndpointState,
    served: EndpointVariant,
    rows: pd.DataFrame,
    *,
    dt: datetime,
) -> None:
    """One request as a batch makes it, answered in full, and found again in the metrics."""
    before = _invocations(ws, state.name, served.name, dt)
    answers = invoke(
        ws.clients, state.name, rows, dt=dt, target_variant=served.name, patience=ONE_BY_ONE
    )
    if not answers.answered.all() or answers.frame.isna().any(axis=None):
        raise EndpointError(f"endpoint {state.name} did not answer a live request in full")
    if set(answers.variants) != {served.name}:
        raise EndpointError(f"endpoint {state.name} let {answers.variants[0]} answer for it")
    deadline = time.monotonic() + FOUND_AGAIN_S
    while _invocations(ws, state.name, served.name, dt) <= before:
        if time.monotonic() >= deadline:
            msg = f"a live request to {state.name} is not in its metrics after {FOUND_AGAIN_S:g} s"
            raise EndpointError(f"{msg}; was the host started for this workspace's kind of clock?")
        time.sleep(0.05)


def _invocations(ws: Workspace, endpoint: str, variant: str, dt: datetime) -> float:
    """Requests on record around the live one: at dt in a replay, else now."""
    at = floor_time(dt if ws.clock.kind == "simulated" else ws.now)
    near = Window(at - timedelta(minutes=10), at + timedelta(minutes=30))
    of = {"EndpointName": endpoint, "VariantName": variant}
    found = ws.metrics.series(
        ENDPOINT, "Invocations", of, window=near, statistic="Sum", period_s=600
    )
    return sum(value for _, value in found)


def _newest(ws: Workspace, city: City) -> tuple[datetime, pd.DataFrame | None]:
    """The newest stored features and their dt; the time alone where none are stored."""
    for table in (ONLINE, OFFLINE):
        newest = ws.lake.newest(table, city=city.name)
        if newest is not None:
            near = Window(newest, newest + timedelta(seconds=1))
            rows = ws.lake.read(table, city=city.name, window=near)
            return newest, rows.head(LIVE_ROWS).drop(columns=["station_id", "dt"])
    return floor_time(ws.now), None
