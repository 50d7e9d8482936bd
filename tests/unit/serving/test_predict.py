"""How long a batch may try: an address where nobody answers, and time that passes by asking."""

from datetime import UTC, datetime

import pandas as pd
import pytest

from mlops_bikeshare.domain.errors import EndpointError
from mlops_bikeshare.serving.predict import Patience, invoke
from mlops_bikeshare.serving.session import Clients

NOON = datetime(2021, 9, 1, 12, tzinfo=UTC)


class Time:
    """Seconds that pass by pausing, and one by every look."""

    def __init__(self) -> None:
        self.now = 0.0
        self.paused: list[float] = []

    def monotonic(self) -> float:
        self.now += 1
        return self.now

    def pause(self, seconds: float) -> None:
        self.paused.append(seconds)
        self.now += seconds


def test_nobody_is_asked_after_the_deadline_and_no_pause_reaches_beyond_it() -> None:
    time, rows = Time(), pd.DataFrame({"a": range(40)}, dtype="float32")
    patience = Patience(attempts=1000, deadline_s=60.0, in_flight=1)
    clients = Clients(url="http://127.0.0.1:1", region="eu-west-1")

    with pytest.raises(EndpointError, match="no answer"):
        invoke(
            clients, "nowhere", rows, dt=NOON, max_rows=10, patience=patience,
            monotonic=time.monotonic, pause=time.pause,
        )  # fmt: skip

    assert 1 < len(time.paused) < 40
    # The first of four chunks used it up: each of the others looks at the time thrice.
    assert 61 <= time.now <= 61 + 2 + 3 * 3
