"""Small seeded cities: polls as the curated table holds them, station lists, a calendar."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from mlops_bikeshare.domain.city import City

START = datetime(2021, 7, 2, 20, tzinfo=UTC)
Polls = Callable[..., pd.DataFrame]


def random_polls(
    seed: int = 0,
    *,
    start: datetime = START,
    slots: int = 12,
    stations: int = 4,
    missed: float = 0.0,
    absent: float = 0.0,
    capacity: int = 12,
) -> pd.DataFrame:
    """A random walk of every station, polled at each slot from `start` on, as curated rows."""
    rng = np.random.default_rng(seed)
    walk = rng.integers(0, capacity + 1, stations) + np.cumsum(
        rng.integers(-2, 3, (slots, stations)), axis=0
    )
    bikes = np.clip(walk, 0, capacity)
    kept = (rng.random((slots, 1)) >= missed) & (rng.random((slots, stations)) >= absent)
    slot, station = np.nonzero(kept)
    times = pd.DatetimeIndex([start + timedelta(minutes=5 * i) for i in range(slots)]).as_unit("ms")
    silence = pd.to_timedelta(rng.integers(0, 1500, len(slot)), unit="s")
    return pd.DataFrame(
        {
            "station_id": pd.array([f"{i:03}" for i in station], dtype="str"),
            "slot": times[slot],
            "num_bikes_available": bikes[slot, station].astype(np.int16),
            "num_bikes_disabled": np.int16(0),
            "num_docks_available": (capacity - bikes[slot, station]).astype(np.int16),
            "num_docks_disabled": np.int16(0),
            "is_installed": True,
            "is_renting": rng.random(len(slot)) > 0.02,
            "is_returning": True,
            "last_reported": (times[slot] - silence).as_unit("ms"),
            "observed_at": times[slot] - timedelta(seconds=20),
            "fetched_at": times[slot] - timedelta(seconds=10),
        }
    )


@pytest.fixture(scope="session")
def polls() -> Polls:
    return random_polls


@pytest.fixture(scope="session")
def station_list() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "station_id": pd.array(["000", "001", "002", "003"], dtype="str"),
            "capacity": [12, 12, 12, None],
            "lat": [42.0, 42.1, 42.2, None],
            "lon": [-71.0, -71.1, -71.2, None],
        }
    )


@pytest.fixture(scope="session")
def boston() -> City:
    return City(name="boston", timezone="America/New_York", country="US")
