"""A small recorded city, served over HTTP as of a clock that tests move."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from mlops_bikeshare.domain.clock import SimulatedClock
from mlops_bikeshare.sources.gbfs.client import FeedClient, Patience
from mlops_bikeshare.sources.gbfs.feed import GbfsFeed
from mlops_bikeshare.sources.gbfs.server import ReplayedCity, serving
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


@pytest.fixture(scope="session")
def small_recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    folder = tmp_path_factory.mktemp("small")
    times = pd.date_range(NOON - timedelta(hours=2), periods=60, freq="3min").as_unit("s")
    ids = [f"{i:03}" for i in range(30)]
    rows = pd.DataFrame(
        [(name, at) for at in times for name in ids], columns=["station_id", "observed_at"]
    )
    rows["num_bikes_available"] = range(len(rows))
    rows["num_bikes_available"] %= 17
    rows["num_docks_available"] = 16 - rows["num_bikes_available"]
    rows = rows.assign(is_installed=1, is_renting=1, is_returning=1)
    rows.to_parquet(folder / "station_status.parquet")
    stations = pd.DataFrame({"station_id": ids, "name": "Place " + pd.Series(ids)})
    stations = stations.assign(lat=42.3, lon=-71.1, capacity=16)
    stations.to_parquet(folder / "station_information.parquet")
    return open_recording(folder)


@pytest.fixture
def served(small_recording: Recording) -> Iterator[Callable[..., Live]]:
    with ExitStack() as stack:

        def make(*, patience: Patience = HURRIED, language: str | None = None, **city: Any) -> Live:
            clock = SimulatedClock(NOON)
            of = ReplayedCity(small_recording, clock, hold_s=5.0, **city)
            url = stack.enter_context(serving(of))
            client = stack.enter_context(FeedClient(patience=patience))
            feed = GbfsFeed(url, client=client, clock=clock, language=language)
            return Live(of, feed, clock, url)

        yield make
