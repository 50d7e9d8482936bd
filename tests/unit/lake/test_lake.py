from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_bikeshare.domain.errors import LakeError, TableError
from mlops_bikeshare.domain.tables import STATION_INFORMATION_RAW as STATIONS
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.lake.compaction import compact_day
from mlops_bikeshare.lake.lake import Lake
from mlops_bikeshare.lake.local import LocalStore


def rows(*times: str, capacity: int = 11) -> pd.DataFrame:
    at = pd.to_datetime(list(times), utc=True).as_unit("ms")
    frame = pd.DataFrame({"station_id": [f"{i:03d}" for i in range(len(times))], "fetched_at": at})
    frame = frame.assign(name="Square", lat=42.3, lon=-71.1, capacity=capacity, region_id="8")
    return frame.astype({"capacity": "Int16"})


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(LocalStore(tmp_path))


def test_rows_go_to_the_partition_of_their_utc_date(lake: Lake) -> None:
    frame = rows("2021-09-01T23:59:59", "2021-09-02T00:00:00")

    keys = lake.write(STATIONS, frame, city="boston", name="a")

    assert [key.split("/")[-2] for key in keys] == ["date=2021-09-01", "date=2021-09-02"]
    assert lake.days(STATIONS, city="boston") == [date(2021, 9, 1), date(2021, 9, 2)]


def test_what_is_written_reads_back_the_same(lake: Lake) -> None:
    frame = rows("2021-09-01T00:00", "2021-09-01T00:05")
    lake.write(STATIONS, frame, city="boston", name="a")

    back = lake.read(STATIONS, city="boston")

    assert back["station_id"].tolist() == ["000", "001"]
    assert back["fetched_at"].tolist() == frame["fetched_at"].tolist()


def test_a_window_is_half_open_and_cities_are_apart(lake: Lake) -> None:
    lake.write(STATIONS, rows("2021-09-01T00:00", "2021-09-01T01:00"), city="boston", name="a")
    window = Window(datetime(2021, 9, 1, tzinfo=UTC), datetime(2021, 9, 1, 1, tzinfo=UTC))

    assert len(lake.read(STATIONS, city="boston", window=window)) == 1
    assert lake.read(STATIONS, city="paris").empty


def test_writing_the_same_name_again_changes_nothing(lake: Lake) -> None:
    lake.write(STATIONS, rows("2021-09-01"), city="boston", name="a")

    assert lake.write(STATIONS, rows("2021-09-01", capacity=99), city="boston", name="a") == []
    assert lake.read(STATIONS, city="boston")["capacity"].tolist() == [11]


def test_a_value_outside_the_contract_stores_nothing(lake: Lake) -> None:
    with pytest.raises(TableError, match="capacity"):
        lake.write(STATIONS, rows("2021-09-01", capacity=-5), city="boston", name="a")

    assert lake.days(STATIONS, city="boston") == []


def test_a_small_cache_changes_no_answer(tmp_path: Path) -> None:
    lake = Lake(LocalStore(tmp_path), cached_values=1)
    for name in "abc":
        lake.write(STATIONS, rows("2021-09-01", "2021-09-02"), city="boston", name=name)

    assert len(lake.read(STATIONS, city="boston")) == len(lake.read(STATIONS, city="boston")) == 6


def test_the_newest_time_of_an_empty_table_is_unknown(lake: Lake) -> None:
    assert lake.newest(STATIONS, city="boston") is None
    lake.write(STATIONS, rows("2021-09-01T05:00"), city="boston", name="a")

    assert lake.newest(STATIONS, city="boston") == datetime(2021, 9, 1, 5, tzinfo=UTC)


@settings(max_examples=6)
@given(
    names=st.lists(st.integers(0, 30), min_size=4, max_size=8, unique=True),
    looks=st.sets(st.integers(0, 7), min_size=2),
    merged_after=st.integers(2, 8),
)
def test_what_is_read_between_writes_changes_no_later_answer(
    names: list[int], looks: set[int], merged_after: int
) -> None:
    """Parts that come in any order, are looked at now and then, and are merged once."""
    with TemporaryDirectory() as folder:
        store = LocalStore(Path(folder))
        used = Lake(store)
        for number, name in enumerate(names):
            at = f"2021-09-01T{name // 12:02}:{name % 12 * 5:02}"
            used.write(STATIONS, rows(at), city="boston", name=f"{'ab'[name % 2]}_{name:02}")
            if number == merged_after:
                compact_day(used, STATIONS, city="boston", day=date(2021, 9, 1))
            if number in looks:
                for prefix in ("", "a_"):
                    used.read(STATIONS, city="boston", name_prefix=prefix)
        for prefix in ("", "a_", "b_"):
            one, other = (
                lake.read(STATIONS, city="boston", name_prefix=prefix)
                for lake in (used, Lake(store))
            )
            pd.testing.assert_frame_equal(one, other)


def test_a_folder_that_is_no_date_is_named(lake: Lake) -> None:
    lake.store.create(f"{STATIONS.location}/city=boston/old/x.parquet", b"")

    with pytest.raises(LakeError, match=r"city=boston of the lake holds a folder 'old'; expected"):
        lake.days(STATIONS, city="boston")


def test_half_a_file_is_named_with_what_to_do(lake: Lake, tmp_path: Path) -> None:
    (key,) = lake.write(STATIONS, rows("2021-09-01"), city="boston", name="a")
    whole = (tmp_path / key).read_bytes()
    (tmp_path / key).write_bytes(whole[: len(whole) // 2])
    lake.write(STATIONS, rows("2021-09-01"), city="boston", name="b")

    with pytest.raises(LakeError, match=rf"{key} of the lake is damaged .*; put it back"):
        lake.read(STATIONS, city="boston")
    with pytest.raises(LakeError, match="part a of the lake is damaged"):
        compact_day(lake, STATIONS, city="boston", day=date(2021, 9, 1))
    assert (tmp_path / key).exists(), "what is damaged is not deleted"
