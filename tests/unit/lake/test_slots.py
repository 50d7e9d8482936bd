from datetime import UTC, datetime, timedelta

import pandas as pd

from mlops_bikeshare.domain.tables import STATION_STATUS_RAW
from mlops_bikeshare.lake.slots import to_slots

NOON = datetime(2021, 9, 1, 12, tzinfo=UTC)


def polled(*offsets_s: int) -> pd.DataFrame:
    at = pd.to_datetime([NOON + timedelta(seconds=s) for s in offsets_s]).as_unit("ms")
    frame = pd.DataFrame(dict.fromkeys(STATION_STATUS_RAW.names, pd.NA), index=range(len(at)))
    return frame.assign(station_id="1", fetched_at=at, num_bikes_available=range(len(at)))


def test_a_slot_is_named_by_its_end_and_includes_it() -> None:
    slots = to_slots(polled(-299, 0))["slot"]

    assert slots.tolist() == [pd.Timestamp(NOON)]
    assert to_slots(polled(1))["slot"].tolist() == [pd.Timestamp(NOON + timedelta(minutes=5))]


def test_the_newest_poll_of_a_slot_speaks_for_it_whatever_the_row_order() -> None:
    rows = polled(-200, -100)

    assert to_slots(rows)["num_bikes_available"].tolist() == [1]
    assert to_slots(rows.iloc[::-1])["num_bikes_available"].tolist() == [1]


def test_a_missed_poll_leaves_no_row() -> None:
    assert len(to_slots(polled(0, 600))) == 2
