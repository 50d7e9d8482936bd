"""A lake of four stations, one of them without a place, written table by table."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from mlops_bikeshare.domain.tables import (
    INFERENCE,
    STATION_INFORMATION_RAW,
    STATION_STATUS,
    Table,
)
from mlops_bikeshare.lake.lake import Lake
from mlops_bikeshare.lake.local import LocalStore

CONFIGURATION = Path(__file__).resolve().parents[3] / "bikeshare.toml"
DT = pd.Timestamp("2021-09-01T12:10", tz="UTC").as_unit("ms")
IDS = ["001", "002", "003", "004"]


def minutes(count: int) -> pd.Timedelta:
    return pd.Timedelta(minutes=count).as_unit("ms")


def _information() -> pd.DataFrame:
    rows = {
        "station_id": IDS,
        "name": ["Quay", "Mill & Co", None, "Gate"],
        "lat": [42.1, 42.2, 42.3, None],
        "lon": [-71.1, -71.2, -71.3, None],
        "capacity": pd.array([11, 15, None, 19], dtype="Int16"),
        "region_id": pd.array([None, "8", "8", "9"], dtype="str"),
        "fetched_at": DT - minutes(1440),
    }
    return pd.DataFrame(rows)


def _status(at: pd.Timestamp = DT, *, bikes: int = 4) -> pd.DataFrame:
    """A poll that reached stations 001 and 002 a minute before `at`."""
    frame = pd.DataFrame({"station_id": IDS[:2], "slot": at})
    return frame.assign(
        num_bikes_available=pd.array([bikes, bikes], dtype="int16"),
        num_bikes_disabled=pd.array([None, None], dtype="Int16"),
        num_docks_available=pd.array([7, None], dtype="Int16"),
        num_docks_disabled=pd.array([None, None], dtype="Int16"),
        is_installed=True,
        is_renting=True,
        is_returning=pd.array([True, False], dtype="boolean"),
        last_reported=at - minutes(3),
        observed_at=at - minutes(2),
        fetched_at=at - minutes(1),
    )


def _batch(
    dt: pd.Timestamp = DT, *, endpoint: str = "bikeshare-staging", source: str = "model"
) -> pd.DataFrame:
    """Two horizons for stations 001 to 003: 001 loses bikes, 002 docks, 003 is unknown."""
    rows = [
        ("001", 10, 0.5, 0.0),
        ("001", 30, 0.9, 0.0),
        ("002", 10, 0.1, 0.15),
        ("002", 30, 0.2, 0.7),
        ("003", 10, None, None),
        ("003", 30, None, None),
    ]
    columns = ["station_id", "horizon_min", "p_bikeout", "p_dockout"]
    frame = pd.DataFrame(rows, columns=columns).astype(
        {"horizon_min": "int16", "p_bikeout": "float64", "p_dockout": "float64"}
    )
    return frame.assign(
        endpoint=endpoint, model_version="3", variant="AllTraffic", dt=dt, source=source
    )[INFERENCE.names]


Write = Callable[..., None]
Build = Callable[..., pd.DataFrame]


@pytest.fixture
def information() -> Build:
    """Build the station list."""
    return _information


@pytest.fixture
def status() -> Build:
    """Build a poll."""
    return _status


@pytest.fixture
def batch() -> Build:
    """Build a batch of predictions."""
    return _batch


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a bikeshare.toml and nothing else."""
    shutil.copy(CONFIGURATION, tmp_path)
    return tmp_path


@pytest.fixture
def workspace(home: Path) -> Path:
    """The empty workspace `main`, ten minutes after DT."""
    folder = home / "var" / "main"
    folder.mkdir(parents=True)
    state = {"clock": "simulated", "now": (DT + minutes(10)).isoformat()}
    (folder / "workspace.json").write_text(json.dumps(state))
    return folder


@pytest.fixture
def write(workspace: Path) -> Write:
    """Write a frame to a table of the workspace."""
    lake = Lake(LocalStore(workspace / "lake"))
    names = iter(range(1000))

    def write(table: Table, frame: pd.DataFrame, *, city: str = "boston") -> None:
        lake.write(table, frame, city=city, name=f"object{next(names)}")

    return write


@pytest.fixture
def full(write: Write) -> None:
    """Stations, counts and one batch of bikeshare-staging."""
    write(STATION_INFORMATION_RAW, _information())
    write(STATION_STATUS, _status())
    write(INFERENCE, _batch())
