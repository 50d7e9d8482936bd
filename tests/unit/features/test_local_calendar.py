from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from mlops_bikeshare.features.calendar import Calendar


@pytest.mark.parametrize(
    ("utc", "minute", "weekday", "weekend"),
    [
        (datetime(2021, 7, 2, 12, 30, tzinfo=UTC), 510, 4, False),  # summer time, UTC - 4
        (datetime(2021, 12, 3, 12, 30, tzinfo=UTC), 450, 4, False),  # winter time, UTC - 5
        (datetime(2021, 7, 3, 3, 50, tzinfo=UTC), 1430, 4, False),  # Saturday in UTC, Friday here
        (datetime(2021, 7, 3, 4, 0, tzinfo=UTC), 0, 5, True),
        (datetime(2021, 11, 7, 5, 30, tzinfo=UTC), 90, 6, True),  # 01:30 the first time
        (datetime(2021, 11, 7, 6, 30, tzinfo=UTC), 90, 6, True),  # 01:30 the second time
    ],
)
def test_the_calendar_is_that_of_the_city_summer_time_included(
    utc: datetime, minute: int, weekday: int, weekend: bool
) -> None:
    seconds = np.array([int(utc.timestamp())], dtype=np.int64)
    calendar = Calendar.at(seconds, zone=ZoneInfo("America/New_York"))
    assert calendar.minute.tolist() == [minute]
    assert calendar.weekday.tolist() == [weekday]
    assert calendar.weekend.tolist() == [weekend]
