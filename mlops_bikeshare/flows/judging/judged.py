"""Predictions beside what happened: the rows that quality and the gate judge.

A row is (station, dt, horizon), the promised one unless asked otherwise, with, per target, `p_`,
`label_` (NaN unknown) and `count_` at dt (-1 missing). Only matured rows: dt + 30 + 10 min lies in
the past; at longer horizons a label that is not known yet is NaN.
"""

import json
import secrets
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import ModelError
from mlops_bikeshare.domain.label import USUAL, Label
from mlops_bikeshare.domain.tables import INFERENCE
from mlops_bikeshare.domain.targets import PROMISE_MIN, TARGETS
from mlops_bikeshare.domain.windows import SLOT_S, Window
from mlops_bikeshare.evaluation.persistence import Persistence
from mlops_bikeshare.features.grid import Grid
from mlops_bikeshare.features.labels import count_of, out_for_rows
from mlops_bikeshare.flows import tracking
from mlops_bikeshare.flows.judging.labels import truth
from mlops_bikeshare.monitoring.quality import Yardstick
from mlops_bikeshare.registry import artefact, versions

MATURES = timedelta(minutes=PROMISE_MIN + 10)
_COLUMNS = ("station_id", "dt", "horizon_min", "p_bikeout", "p_dockout", "model_version", "source")


def matured(window: Window, at: datetime) -> Window | None:
    """The decision times of `window` whose label is known at `at`; None if there are none yet."""
    end = min(window.end, at - MATURES + timedelta(seconds=1))
    return Window(window.start, end) if end > window.start else None


def outcomes(
    ws: Workspace,
    city: City,
    stations: list[str],
    window: Window,
    *,
    horizon_min: int = PROMISE_MIN,
) -> Grid:
    """What was true in `window` and for as long after it as its labels reach."""
    beyond = timedelta(minutes=horizon_min, seconds=SLOT_S)
    return truth(ws, city, stations=stations, window=Window(window.start, window.end + beyond))


def predictions(
    ws: Workspace,
    city: City,
    endpoint: str,
    window: Window,
    *,
    horizon_min: int | None = PROMISE_MIN,
) -> pd.DataFrame:
    """What an endpoint said in `window` for one horizon (None: for all)."""
    return ws.lake.read(
        INFERENCE,
        city=city.name,
        window=window,
        columns=_COLUMNS,
        name_prefix=f"{endpoint}_",
        where=None if horizon_min is None else ("horizon_min", horizon_min),
    )


def answered(rows: pd.DataFrame, version: str | None = None) -> pd.DataFrame:
    """What a model said, of one version if named; stand-ins say nothing about any version."""
    of_model: pd.DataFrame = rows[rows["source"] == "model"]
    return of_model if version is None else of_model[of_model["model_version"] == version]


def newest_version(rows: pd.DataFrame) -> str | None:
    """The version that answered most of the newest batch of which that is known."""
    known = (rows["model_version"].notna() & (rows["source"] == "model")).to_numpy()
    if not known.any():
        return None
    at_s = rows["dt"].dt.as_unit("s").astype("int64").to_numpy()
    last = rows["model_version"][known & (at_s == at_s[known].max())]
    return str(last.value_counts().index[0])


def joined(ws: Workspace, city: City, said: pd.DataFrame, happened: Grid) -> pd.DataFrame:
    """Each prediction with its label and the count at dt, by its own version's definition."""
    known = said["model_version"].dropna().unique()
    of = {version: label_of(ws, city, str(version)) for version in known}
    if len(set(of.values())) <= 1:
        return labelled(said, happened, label=next(iter(of.values()), city.label))
    own = said["model_version"].map(of).where(said["model_version"].notna(), city.label)
    parts = [labelled(said[own == label], happened, label=label) for label in {*own}]
    return pd.concat(parts).loc[said.index]


def label_of(ws: Workspace, city: City, version: str) -> Label:
    """What counted as out when a version was trained."""
    return artefact.read_label(artifacts(ws, city, version))


def check_label(ws: Workspace, city: City, champion: str, label: Label, *, whose: str) -> None:
    """ModelError where a champion learned another definition: such errors do not compare."""
    theirs = label_of(ws, city, champion)
    if theirs != label:
        msg = f"champion version {champion} was trained on ({theirs}), {whose} on ({label})"
        raise ModelError(
            f"{msg}: their errors cannot be compared. Keep to the champion's [labels], or give the"
            f" new definition a city table of its own"
        )


def labelled(said: pd.DataFrame, happened: Grid, *, label: Label = USUAL) -> pd.DataFrame:
    """Each prediction with its label and the count at dt, matched by time and station."""
    seconds = said["dt"].dt.as_unit("s").astype("int64").to_numpy()
    slot = happened.index_of(seconds)
    station = pd.Index(happened.stations).get_indexer(pd.Index(said["station_id"]))
    horizon = said["horizon_min"].to_numpy(dtype=np.int16)
    columns: dict[str, Any] = {}
    for target in TARGETS:
        out = out_for_rows(
            happened, target=target, slot=slot, station=station, horizon_min=horizon, label=label
        )
        count = count_of(happened, target=target)[slot, station]
        # A station that the grid does not have is unknown: -1 would be the last one's truth.
        columns[f"label_{target.name}"] = np.where(station < 0, np.float32(np.nan), out)
        columns[f"count_{target.name}"] = np.where(station < 0, np.int16(-1), count)
    return said.assign(**columns)


def yardsticks(ws: Workspace, city: City, version: str) -> dict[str, Yardstick]:
    """Persistence and threshold of a registered version, per target."""
    folder = artifacts(ws, city, version)
    tables = artefact.read_persistence(folder)
    thresholds, label = artefact.read_thresholds(folder), artefact.read_label(folder)
    return {
        t.name: Yardstick(
            persistence=Persistence.from_json(tables[t.name]),
            threshold=thresholds[t.name],
            label=label,
        )
        for t in TARGETS
    }


def artifacts(ws: Workspace, city: City, version: str) -> Path:
    """The artifacts of a version, fetched and checked once and then kept in the workspace."""
    kept = ws.path / "models" / f"{city.registered_model}-{version}"
    marker = kept / "complete.json"
    if not marker.is_file():
        tracking.connect(ws)
        found = versions.find(city.registered_model, version)
        folder = versions.download(found, kept / "files")
        kept.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"digest": found.digest, "folder": str(folder.relative_to(kept))})
        draft = marker.with_suffix(f".{secrets.token_hex(4)}.tmp")
        draft.write_text(text, encoding="utf-8")
        draft.replace(marker)
    where: str = json.loads(marker.read_text(encoding="utf-8"))["folder"]
    return kept / where / "artifacts"
