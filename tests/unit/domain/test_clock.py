from datetime import UTC, datetime, timedelta

import pytest

from mlops_bikeshare.domain.clock import SimulatedClock

NOON = datetime(2021, 9, 1, 12, tzinfo=UTC)


def test_a_replays_clock_never_goes_back() -> None:
    clock = SimulatedClock(NOON)
    clock.set(NOON + timedelta(minutes=5))

    with pytest.raises(ValueError, match="cannot go back"):
        clock.set(NOON)
