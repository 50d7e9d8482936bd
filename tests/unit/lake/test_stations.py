"""Versions of stations: what was known of a station when."""

from datetime import UTC, datetime
from typing import Any

import pandas as pd

from mlops_bikeshare.domain.tables import STATION_INFORMATION, STATION_INFORMATION_RAW
from mlops_bikeshare.lake.parquet import encode, validate
from mlops_bikeshare.lake.stations import capacities, changed, valid_at

EMPTY = pd.DataFrame(columns=STATION_INFORMATION.names)


def day(number: int) -> datetime:
    return datetime(2024, 5, number, tzinfo=UTC)


def listed(number: int, **stations: Any) -> pd.DataFrame:
    """A list of the day: id → capacity."""
    frame = pd.DataFrame({"station_id": list(stations), "name": "Quay", "lat": 45.5, "lon": -73.6})
    frame["capacity"] = pd.array(list(stations.values()), dtype="Int16")
    return frame.assign(region_id=None, fetched_at=pd.Timestamp(day(number)).as_unit("ms"))


def versions(*lists: pd.DataFrame) -> pd.DataFrame:
    known = EMPTY
    for one in lists:
        added = changed(known, one)
        if len(added):
            encode(STATION_INFORMATION, validate(STATION_INFORMATION, added))
            known = pd.concat([known, added]) if len(known) else added
    return known


def capacity(known: pd.DataFrame, number: int) -> dict[Any, Any]:
    rows = valid_at(known, day(number))
    return {
        i: None if pd.isna(c) else c for i, c in rows.set_index("station_id")["capacity"].items()
    }


def test_a_list_like_the_one_before_adds_nothing() -> None:
    first = listed(1, a=10, b=None)

    assert len(changed(EMPTY, first)) == 2
    assert changed(versions(first), listed(2, b=None, a=10)).empty


def test_capacity_at_dt_is_that_of_dt() -> None:
    known = versions(listed(1, a=10, b=20), listed(3, a=15, b=20))

    assert len(known) == 3
    assert capacity(known, 2) == {"a": 10, "b": 20}
    assert capacity(known, 3) == {"a": 15, "b": 20}


def test_a_station_exists_from_its_first_list_on_and_stays_when_a_list_leaves_it_out() -> None:
    known = versions(listed(1, a=10), listed(2, a=10, b=20), listed(3, a=10))

    assert capacity(known, 1) == {"a": 10}
    assert capacity(known, 9) == {"a": 10, "b": 20}


def test_before_the_first_list_it_is_the_best_that_is_known() -> None:
    known = versions(listed(5, a=10), listed(6, a=11))

    assert capacity(known, 1) == {"a": 10}


def test_a_capacity_that_is_not_given_is_inferred_and_flagged() -> None:
    counts = pd.Series({"b": 20, "c": 7})
    rows = changed(EMPTY, listed(1, a=10, b=None, c=0, d=None), inferred=counts)

    assert rows["capacity"].fillna(-1).tolist() == [10, 20, 7, -1]
    assert rows["capacity_inferred"].tolist() == [False, True, True, False]
    told = changed(rows, listed(2, a=10, b=20, c=None, d=None), inferred=counts)
    assert told["station_id"].tolist() == ["b"]  # the feed says it now: no longer inferred


def test_an_inferred_capacity_holds_while_there_are_no_counts_to_infer_it_from() -> None:
    known = changed(EMPTY, listed(1, a=10, b=None, c=None), inferred=pd.Series({"b": 20, "c": 7}))

    for nothing in (None, pd.Series(dtype="int64")):
        assert changed(known, listed(3, a=10, b=None, c=0), inferred=nothing).empty
    again = changed(known, listed(4, a=None, b=None, c=None), inferred=pd.Series({"c": 8}))
    # What a list gave and gives no longer is not inferred from it.
    assert again.set_index("station_id")["capacity"].fillna(-1).to_dict() == {"a": -1, "c": 8}


def test_the_inferred_capacity_is_the_most_frequent_sum_with_what_is_broken() -> None:
    status = pd.DataFrame({"station_id": ["a"] * 4 + ["b", "c"]}).assign(
        num_bikes_available=pd.array([3, 4, 5, 0, 0, 1], dtype="Int16"),
        num_docks_available=pd.array([7, 6, 4, 3, 0, None], dtype="Int16"),
        num_bikes_disabled=pd.array([None, 0, 1, 0, 0, 0], dtype="Int16"),
        num_docks_disabled=pd.array([None] * 6, dtype="Int16"),
    )

    assert capacities(status).to_dict() == {"a": 10}


def test_the_columns_are_those_of_the_tables() -> None:
    assert list(changed(EMPTY, listed(1, a=1)).columns) == STATION_INFORMATION.names
    assert set(listed(1, a=1).columns) == set(STATION_INFORMATION_RAW.names)
