"""A small recorded city, served over HTTP."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from mlops_bikeshare.domain.clock import SimulatedClock
from mlops_bikeshare.sources.gbfs.client import FeedClient, Patience
from mlops_bikeshare.sources.gbfs.feed import GbfsFeed
from mlops_bikeshare.sources.gbfs.server import ReplayedCity, serving
from mlops_bikeshare.sources.recorded import Recording
from tests.served import HURRIED, NOON, Live, small_city


@pytest.fixture(scope="session")
def small_recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return small_city(tmp_path_factory.mktemp("small"))


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
