"""A small recorded city, to be served over HTTP as of a clock that tests move."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd

from mlops_bikeshare.domain.clock import SimulatedClock
from mlops_bikeshare.sources.gbfs.client import Patience
from mlops_bikeshare.sources.gbfs.feed import GbfsFeed
from mlops_bikeshare.sources.gbfs.server import ReplayedCity
from mlops_bikeshare.sources.recorded import Recording, open_recording

NOON = datetime(2021, 9, 1, 12, tzinfo=UTC)
HURRIED = Patience(timeout_s=0.5, attempts=2, first_pause_s=0.001)


@dataclass(frozen=True)
class Live:
    """A served city and a feed that reads it, on one clock."""

    city: ReplayedCity
    feed: GbfsFeed
    clock: SimulatedClock
    url: str

    def later(self, minutes: float) -> datetime:
        self.clock.set(self.clock.at + timedelta(minutes=minutes))
        return self.clock.at


def small_city(folder: Path, *, hours: float = 3, stations: int = 30) -> Recording:
    """A recording that begins two hours before noon; every station reports every three minutes."""
    folder.mkdir(exist_ok=True)
    begin = NOON - timedelta(hours=2)
    times = pd.date_range(begin, periods=int(hours * 20), freq="3min").as_unit("s")
    ids = [f"{i:03}" for i in range(stations)]
    rows = pd.DataFrame(
        [(name, at) for at in times for name in ids], columns=["station_id", "observed_at"]
    )
    rows["num_bikes_available"] = range(len(rows))
    rows["num_bikes_available"] %= 17
    rows["num_docks_available"] = 16 - rows["num_bikes_available"]
    rows = rows.assign(is_installed=1, is_renting=1, is_returning=1)
    rows.to_parquet(folder / "station_status.parquet")
    places = pd.DataFrame({"station_id": ids, "name": "Place " + pd.Series(ids)})
    places = places.assign(lat=42.3, lon=-71.1, capacity=16)
    places.to_parquet(folder / "station_information.parquet")
    return open_recording(folder)
