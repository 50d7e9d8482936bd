"""A tiny workspace: eight stations, polls and predictions of two endpoints, and a version on disk.

Nothing is trained and nothing is served: predictions are the truth with noise, and the version's
files are what a registered one would have left in the workspace.
"""

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.label import USUAL, Label
from mlops_bikeshare.domain.tables import INFERENCE, STATION_INFORMATION_RAW, STATION_STATUS
from mlops_bikeshare.domain.targets import HORIZONS_MIN, PROMISE_MIN, TARGETS
from mlops_bikeshare.domain.windows import CADENCE_S, SLOT_S, Window, stamp, to_seconds
from mlops_bikeshare.evaluation.persistence import Persistence
from mlops_bikeshare.evaluation.psi import PsiReference
from mlops_bikeshare.features.definition import CITY_FEATURES, STATION_FEATURES
from mlops_bikeshare.settings import load

ROOT = Path(__file__).resolve().parents[3]
START = datetime(2025, 6, 1, tzinfo=UTC)
STATIONS = tuple(f"{i:02}" for i in range(8))
DOCKS = 12
ENDPOINTS = ("bikeshare-staging", "bikeshare-prod")


def bikes(at: datetime) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """Every station breathes with a period of its own."""
    hours = to_seconds(at) / 3600
    wave = [np.sin(2 * np.pi * hours / (3 + i)) for i in range(len(STATIONS))]
    return np.round(DOCKS / 2 * (1 + np.array(wave))).astype(np.int16)


def workspace(home: Path) -> tuple[Workspace, City]:
    """An empty workspace with the stations and version 1 in it."""
    (home / "bikeshare.toml").write_text((ROOT / "bikeshare.toml").read_text())
    settings = load(home, {}, {"monitoring.drift_rows": 100}).with_workspace(
        "demo", default_city="demo"
    )
    ws, city = open_workspace(settings, simulated=True), settings.cities["demo"]
    ws.lake.write(STATION_INFORMATION_RAW, stations(START), city="demo", name="first")
    write_version(ws, city, "1")
    return ws, city


def stations(at: datetime) -> pd.DataFrame:
    """The station list, as fetched then."""
    return pd.DataFrame(
        {
            "station_id": STATIONS,
            "name": "a place",
            "lat": 49.1 + np.arange(len(STATIONS)) // 4 * 0.05,
            "lon": -84.6,
            "capacity": np.int16(DOCKS),
            "region_id": None,
            "fetched_at": pd.Timestamp(at).as_unit("ms"),
        }
    )


def poll(ws: Workspace, window: Window) -> None:
    """What the feed said in every slot of `window`, as one object."""
    times = list(window.steps(step_s=SLOT_S))
    count = np.concatenate([bikes(at) for at in times])
    when = pd.DatetimeIndex(times).repeat(len(STATIONS)).as_unit("ms")
    frame = pd.DataFrame(
        {
            "station_id": STATIONS * len(times),
            "slot": when,
            "num_bikes_available": count,
            "num_bikes_disabled": np.int16(0),
            "num_docks_available": (DOCKS - count).astype(np.int16),
            "num_docks_disabled": np.int16(0),
            **dict.fromkeys(("is_installed", "is_renting", "is_returning"), True),
            **dict.fromkeys(("last_reported", "observed_at", "fetched_at"), when),
        }
    )
    ws.lake.write(STATION_STATUS, frame, city="demo", name=f"import-{stamp(window.start)}")


Answer = Callable[[pd.DataFrame], pd.DataFrame]


def predict(
    ws: Workspace,
    window: Window,
    *,
    endpoints: Iterable[str] = ENDPOINTS,
    version: str = "1",
    answer: Answer = lambda rows: rows,
) -> None:
    """What every endpoint said at each decision time; `answer` may change it."""
    rng = np.random.default_rng(to_seconds(window.start))
    said = pd.concat([_said(at, rng) for at in window.steps(step_s=CADENCE_S)], ignore_index=True)
    for endpoint in endpoints:
        rows = said.assign(
            endpoint=endpoint, model_version=version, variant="AllTraffic", source="model"
        )
        name = f"{endpoint}_{stamp(window.start)}"
        ws.lake.write(INFERENCE, answer(rows), city="demo", name=name)


def _said(at: datetime, rng: np.random.Generator) -> pd.DataFrame:
    later = bikes(at + timedelta(minutes=PROMISE_MIN))
    said = {}
    for target, count in zip(TARGETS, (later, DOCKS - later), strict=True):
        p = np.where(count <= 2, 0.8, 0.1) + rng.normal(0, 0.05, len(STATIONS))
        said[target.probability] = np.clip(p, 0, 1)
    return pd.DataFrame(
        {
            "station_id": STATIONS,
            "dt": pd.Timestamp(at).as_unit("ms"),
            "horizon_min": np.int16(PROMISE_MIN),
            **said,
        }
    )


def write_version(ws: Workspace, city: City, version: str, *, label: Label = USUAL) -> None:
    """The files that judging reads, where a fetched version would have put them."""
    kept = ws.path / "models" / f"{city.registered_model}-{version}"
    folder = kept / "files" / "artifacts"
    folder.mkdir(parents=True)
    counts = np.tile(np.arange(DOCKS + 1), 50)
    outs = {h: (counts <= 2).astype(float) * 0.7 for h in HORIZONS_MIN}
    table = Persistence.fit(counts, outs).to_json()
    spread = PsiReference.fit(np.random.default_rng(0).normal(size=1000)).to_json()
    documents = {
        "persistence": {t.name: table for t in TARGETS},
        "scorer": {
            "label": label.to_json(),
            "targets": {t.name: {"threshold": 0.5} for t in TARGETS},
        },
        "reference": {
            "psi": dict.fromkeys(STATION_FEATURES, spread),
            "range": dict.fromkeys(CITY_FEATURES),
            "stations": {station: [49.1, -84.6] for station in STATIONS[:4]},
        },
    }
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(document))
    (kept / "complete.json").write_text(json.dumps({"digest": "d", "folder": "files"}))
