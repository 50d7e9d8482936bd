"""Merging a day: every row once, for every reader, whenever it looks and whatever dies."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_bikeshare.domain.errors import LakeError
from mlops_bikeshare.domain.tables import INFERENCE, STATION_INFORMATION_RAW
from mlops_bikeshare.domain.windows import Window, stamp
from mlops_bikeshare.lake import s3
from mlops_bikeshare.lake.compaction import compact_day
from mlops_bikeshare.lake.duckdb import DuckDbQuery
from mlops_bikeshare.lake.lake import CACHED_VALUES, Lake
from mlops_bikeshare.lake.local import LocalStore
from mlops_bikeshare.lake.memory import Memory
from mlops_bikeshare.lake.partition import merged_name, visible
from mlops_bikeshare.lake.store import Store
from tests.aws_wire import aws_on_the_wire

START = datetime(2025, 6, 1, tzinfo=UTC)
DAY = START.date()
CITY = "here"


class Killed(BaseException):
    """Nothing catches it, as nothing catches SIGKILL."""


class Mortal:
    """A store that dies before its n-th write or deletion."""

    def __init__(self, store: Store, *, lives: int) -> None:
        self._store = store
        self.lives = lives

    def __getattr__(self, name: str) -> Any:
        if name in {"create", "delete"}:
            self.lives -= 1
            if self.lives < 0:
                raise Killed
        return getattr(self._store, name)


def batch(at: datetime, *, endpoint: str = "a") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "endpoint": endpoint,
            "model_version": "1",
            "variant": [None, "AllTraffic"],
            "station_id": ["007", "8"],
            "dt": pd.Timestamp(at).as_unit("ms"),
            "horizon_min": np.int16(30),
            "p_bikeout": [0.25, np.nan],
            "p_dockout": 0.5,
            "source": "model",
        }
    )


def write(lake: Lake, *places: int, endpoint: str = "a") -> None:
    for place in places:
        at = START + timedelta(minutes=10 * place)
        frame = batch(at, endpoint=endpoint)
        lake.write(INFERENCE, frame, city=CITY, name=f"{endpoint}_{stamp(at)}")


def rows(lake: Lake, **asked: Any) -> pd.DataFrame:
    found = lake.read(INFERENCE, city=CITY, **asked)
    return found.sort_values(["endpoint", "dt", "station_id"]).reset_index(drop=True)


def objects(store: Store) -> list[str]:
    return [key.rpartition("/")[2] for key in store.keys(INFERENCE.location)]


@pytest.fixture(scope="module")
def s3_client() -> Iterator[Any]:
    with aws_on_the_wire() as wire:
        client = s3.client("us-east-1", url=wire.url)
        client.create_bucket(Bucket="lake")
        yield client


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "local":
        return LocalStore(tmp_path)
    client = request.getfixturevalue("s3_client")
    return s3.S3Store(client, bucket="lake", folder=tmp_path.name)


def test_a_compacted_day_is_one_object_with_the_same_rows_and_names(store: Store) -> None:
    write(Lake(store), *range(6))
    before, names = rows(Lake(store)), Lake(store).names(INFERENCE, city=CITY, day=DAY)

    merged = compact_day(Lake(store), INFERENCE, city=CITY, day=DAY)

    assert merged is not None
    assert (merged.objects, merged.deleted) == (6, 6)
    assert objects(store) == ["whole-000001.parquet"]
    pd.testing.assert_frame_equal(rows(Lake(store)), before)
    assert Lake(store).names(INFERENCE, city=CITY, day=DAY) == names
    assert Lake(store).has(INFERENCE, city=CITY, day=DAY, name=names[0])
    assert compact_day(Lake(store), INFERENCE, city=CITY, day=DAY) is None


def test_the_parts_of_a_day_leave_memory_when_its_merged_object_is_read(tmp_path: Path) -> None:
    lake = Lake(LocalStore(tmp_path))
    write(lake, *range(6))
    before = rows(lake)
    rows(lake, columns=["endpoint", "dt", "station_id"])
    compact_day(lake, INFERENCE, city=CITY, day=DAY)
    write(lake, 7)
    rows(lake)
    found = rows(lake, window=Window(START, START + timedelta(hours=1)))

    pd.testing.assert_frame_equal(found, before)
    kept = [key for held in lake._memory._kept.values() for key in held.keys]
    assert {key.rpartition("/")[2][:6] for key in kept} == {"whole-", "a_2025"}
    assert len(kept) == 2


def test_a_week_of_reading_the_last_day_keeps_no_more_in_memory_than_its_third_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake(LocalStore(tmp_path))
    monkeypatch.setattr(lake, "_memory", Memory(CACHED_VALUES, idle_looks=60))
    kept: list[int] = []
    for step in range(7 * 12):
        at = START + timedelta(hours=2 * step)
        lake.write(INFERENCE, batch(at), city=CITY, name=f"a_{stamp(at)}")
        last_day = Window(at - timedelta(hours=22), at + timedelta(seconds=1))
        assert len(rows(lake, window=last_day)) == 2 * min(step + 1, 12)
        rows(lake, window=last_day, columns=["endpoint", "dt", "station_id"])
        if at.hour == 2:
            compact_day(lake, INFERENCE, city=CITY, day=at.date() - timedelta(days=1))
        kept += [sum(len(held.keys) for held in lake._memory._kept.values())] * (at.hour == 22)

    # Today's parts and yesterday's merged object, each read in two ways.
    assert kept[2:] == [kept[2]] * 5


def test_a_part_that_comes_late_or_again_is_read_once(store: Store) -> None:
    lake = Lake(store)
    write(lake, 0, 1)
    compact_day(lake, INFERENCE, city=CITY, day=DAY)
    write(lake, 1, 2)

    assert len(rows(Lake(store))) == 6
    compact_day(lake, INFERENCE, city=CITY, day=DAY)
    assert objects(store) == ["whole-000002.parquet"]
    assert len(rows(lake)) == len(rows(Lake(store))) == 6
    assert len(lake.names(INFERENCE, city=CITY, day=DAY)) == 3


@pytest.mark.parametrize("again", [False, True])
def test_killed_at_any_step_nothing_is_lost_and_nothing_is_twice(
    store: Store, *, again: bool
) -> None:
    lake = Lake(store)
    write(lake, 0, 1, 2)
    if again:  # the second merge replaces a merged object, too
        compact_day(lake, INFERENCE, city=CITY, day=DAY)
        write(lake, 3, 4)
    whole, finished, lives = rows(lake), False, 0
    while not finished:  # dies before the first step, then each time after one more
        mortal: Any = Mortal(store, lives=lives)
        try:
            compact_day(Lake(mortal), INFERENCE, city=CITY, day=DAY)
            finished = True
        except Killed:
            lives = 1
        pd.testing.assert_frame_equal(rows(Lake(store)), whole)
        if isinstance(store, LocalStore):
            counted = DuckDbQuery(store.root).run("SELECT COUNT(*) AS n FROM inference")
            assert counted["n"][0] == len(whole)

    assert len(objects(store)) == 1


def test_names_of_one_endpoint_are_found_in_a_merged_object(tmp_path: Path) -> None:
    lake = Lake(LocalStore(tmp_path))
    write(lake, 0, 1, endpoint="a")
    write(lake, 0, endpoint="b")
    compact_day(lake, INFERENCE, city=CITY, day=DAY)
    write(lake, 2, endpoint="b")
    compact_day(lake, INFERENCE, city=CITY, day=DAY)

    found = rows(lake, name_prefix="b_", columns=["endpoint", "dt", "station_id"])
    assert list(found.columns) == ["endpoint", "dt", "station_id"]
    assert found["endpoint"].tolist() == ["b"] * 4
    assert rows(lake, name_prefix="c_").empty


def test_readers_beside_writers_and_compactions_see_every_row_once(tmp_path: Path) -> None:
    store, done = LocalStore(tmp_path), threading.Event()
    written = [0]

    def fill() -> None:
        for place in range(40):
            write(Lake(store), place)
            written[0] = place + 1
        done.set()

    def merge() -> None:
        while not done.is_set():
            compact_day(Lake(store), INFERENCE, city=CITY, day=DAY)

    def read() -> int:
        looks = 0
        while not done.is_set():
            least = written[0]
            seen = rows(Lake(store), columns=["endpoint", "dt", "station_id"])
            assert not seen.duplicated().any()
            assert len(seen) >= 2 * least
            looks += 1
        return looks

    with ThreadPoolExecutor(4) as pool:
        work: list[Callable[[], object]] = [fill, merge, merge, read]
        tasks = [pool.submit(task) for task in work]
        for task in tasks:
            task.result()

    compact_day(Lake(store), INFERENCE, city=CITY, day=DAY)
    assert len(rows(Lake(store))) == 80
    assert len(objects(store)) == 1


def test_sql_reads_merged_and_other_days_alike(tmp_path: Path) -> None:
    lake = Lake(LocalStore(tmp_path))
    write(lake, 0, 1, 150, 151)
    before = DuckDbQuery(tmp_path).run("SELECT * FROM inference ORDER BY dt, station_id")
    compact_day(lake, INFERENCE, city=CITY, day=DAY)
    after = DuckDbQuery(tmp_path).run("SELECT * FROM inference ORDER BY dt, station_id")

    pd.testing.assert_frame_equal(after, before)
    assert after["date"].nunique() == 2


def test_a_part_cannot_be_named_like_a_merged_object(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="sort before"):
        Lake(LocalStore(tmp_path)).write(INFERENCE, batch(START), city=CITY, name="whole-1")


def test_null_text_survives_a_merge(tmp_path: Path) -> None:
    lake = Lake(LocalStore(tmp_path))
    for minute in (0, 1):
        frame = pd.DataFrame(
            {
                "station_id": ["007"],
                "name": pd.Series([None], dtype="str"),
                "lat": [np.nan],
                "lon": [-71.0],
                "capacity": pd.Series([None], dtype="Int16"),
                "region_id": pd.Series([None], dtype="str"),
                "fetched_at": pd.Timestamp(START + timedelta(minutes=minute)).as_unit("ms"),
            }
        )
        lake.write(STATION_INFORMATION_RAW, frame, city=CITY, name=f"{minute}")
    before = lake.read(STATION_INFORMATION_RAW, city=CITY)
    compact_day(lake, STATION_INFORMATION_RAW, city=CITY, day=date(2025, 6, 1))

    pd.testing.assert_frame_equal(lake.read(STATION_INFORMATION_RAW, city=CITY), before)


@given(st.data())
def test_what_is_visible_holds_every_part_once(data: st.DataObject) -> None:
    parts = [f"p{i}" for i in range(data.draw(st.integers(1, 6)))]
    counts = sorted(data.draw(st.sets(st.integers(1, len(parts)), max_size=3)))
    held = {merged_name(i + 1): parts[:count] for i, count in enumerate(counts)}
    merged = set(parts[: max(counts, default=0)])
    left = data.draw(st.sets(st.sampled_from(sorted(merged)))) if merged else set()
    older = data.draw(st.sets(st.sampled_from(list(held)[:-1]))) if len(held) > 1 else set()
    there = {name: held[name] for name in [*list(held)[-1:], *older]}

    seen = visible([*(set(parts) - merged), *left, *there], there)

    read = [part for name in seen for part in held.get(name, [name])]
    assert sorted(read) == sorted(parts)
