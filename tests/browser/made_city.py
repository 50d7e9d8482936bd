"""A made-up city in a real lake: its stations, one poll and one batch of predictions."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from mlops_bikeshare.domain.tables import INFERENCE, STATION_INFORMATION_RAW, STATION_STATUS
from mlops_bikeshare.domain.targets import HORIZONS_MIN
from mlops_bikeshare.lake.lake import Lake
from mlops_bikeshare.lake.local import LocalStore

ROOT = Path(__file__).resolve().parents[2]
CITY, ENDPOINT = "demo", "bikeshare-staging"
DT = pd.Timestamp("2021-09-01T12:10", tz="UTC").as_unit("ms")


def station_ids(stations: int) -> list[str]:
    return [f"{number:04d}" for number in range(1, stations + 1)]


def write_settings(home: Path) -> None:
    """A bikeshare.toml and nothing else."""
    home.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "bikeshare.toml", home)


def write_city(home: Path, *, stations: int, workspace: str = "main", seed: int = 7) -> None:
    """A workspace whose clock stands ten minutes after its one batch of predictions."""
    write_settings(home)
    var = home / "var" / workspace
    lake, rng = Lake(LocalStore(var / "lake")), np.random.default_rng(seed)
    lake.write(STATION_INFORMATION_RAW, _information(stations, rng), city=CITY, name="list")
    lake.write(STATION_STATUS, _status(stations, rng), city=CITY, name="poll")
    lake.write(INFERENCE, _predictions(stations, rng), city=CITY, name="batch")
    now = DT + pd.Timedelta(minutes=10)
    state = {"clock": "simulated", "now": now.isoformat()}
    (var / "workspace.json").write_text(json.dumps(state))


def _information(stations: int, rng: np.random.Generator) -> pd.DataFrame:
    corners = ["Harbour Quay", "Mill Bridge", "College Gate", "Union Square", "Linden Park"]
    frame = pd.DataFrame({"station_id": station_ids(stations)})
    return frame.assign(
        name=[f"{corners[i % 5]} {i + 1}" for i in range(stations)],
        lat=49.10 + rng.normal(0, 0.02, stations),
        lon=-84.60 + rng.normal(0, 0.03, stations),
        capacity=pd.array(rng.integers(11, 40, stations).tolist(), dtype="Int16"),
        region_id=None,
        fetched_at=DT - pd.Timedelta(days=1),
    )


def _status(stations: int, rng: np.random.Generator) -> pd.DataFrame:
    bikes = rng.integers(0, 11, stations)
    frame = pd.DataFrame({"station_id": station_ids(stations), "slot": DT})
    return frame.assign(
        num_bikes_available=bikes.astype("int16"),
        num_bikes_disabled=pd.array([0] * stations, dtype="Int16"),
        num_docks_available=pd.array(11 - bikes, dtype="Int16"),
        num_docks_disabled=pd.array([0] * stations, dtype="Int16"),
        is_installed=True,
        is_renting=True,
        is_returning=True,
        last_reported=DT - pd.Timedelta(minutes=3),
        observed_at=DT - pd.Timedelta(minutes=2),
        fetched_at=DT - pd.Timedelta(minutes=1),
    )


def _predictions(stations: int, rng: np.random.Generator) -> pd.DataFrame:
    """Stations lean to one stockout; the chance drifts over the horizons."""
    ahead = np.array(HORIZONS_MIN)
    lean = rng.normal(0, 2.2, (stations, 1))
    drift = rng.normal(0, 0.02, (stations, 1)) * ahead
    chance = 1 / (1 + np.exp(-(np.stack([lean - drift, drift - lean]) - 1.4)))
    frame = pd.DataFrame(
        {
            "endpoint": ENDPOINT,
            "model_version": "3",
            "variant": "AllTraffic",
            "station_id": np.repeat(station_ids(stations), ahead.size),
            "dt": DT,
        }
    )
    return frame.assign(
        horizon_min=np.tile(ahead, stations).astype("int16"),
        p_bikeout=chance[0].ravel(),
        p_dockout=chance[1].ravel(),
        source="model",
    )
