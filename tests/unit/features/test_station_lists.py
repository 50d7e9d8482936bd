from datetime import UTC, date, datetime

import pandas as pd

from mlops_bikeshare.features.stations import known_list, newest_list


def read(at: datetime, **capacity: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "station_id": pd.array(list(capacity), dtype="str"),
            "capacity": list(capacity.values()),
            "fetched_at": pd.Timestamp(at),
        }
    )


MIDNIGHT = datetime(2021, 7, 3, tzinfo=UTC)
LISTS = pd.concat(
    [
        read(MIDNIGHT.replace(hour=9), a=30, c=5),
        read(datetime(2021, 7, 1, 12, tzinfo=UTC), a=10, b=15),
        read(MIDNIGHT, a=20),
    ]
)


def capacities(frame: pd.DataFrame) -> dict[str, int]:
    return dict(zip(frame["station_id"], frame["capacity"], strict=True))


def test_a_day_goes_by_the_lists_read_by_its_start() -> None:
    assert capacities(known_list(LISTS, day=date(2021, 7, 3))) == {"a": 20, "b": 15}
    assert capacities(known_list(LISTS, day=date(2021, 7, 4))) == {"a": 30, "b": 15, "c": 5}


def test_before_the_first_list_was_read_there_is_only_that_one() -> None:
    assert capacities(known_list(LISTS, day=date(2021, 6, 1))) == {"a": 10, "b": 15}


def test_the_newest_row_of_each_station_counts() -> None:
    assert capacities(newest_list(LISTS)) == {"a": 30, "b": 15, "c": 5}
