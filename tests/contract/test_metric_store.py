"""One suite for every metric store: what GetMetricData would answer, and values posted once."""

import contextlib
import multiprocessing
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.clock import RealClock
from mlops_bikeshare.domain.errors import InputError, LakeError, TableError
from mlops_bikeshare.domain.reports import MetricPoint
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.lake.local import LocalStore
from mlops_bikeshare.monitoring import cloudwatch
from mlops_bikeshare.monitoring.cloudwatch import SETTLES, CloudWatchMetricStore
from mlops_bikeshare.monitoring.metrics import MetricStore, Statistic, Wanted
from mlops_bikeshare.monitoring.periods import by_period
from mlops_bikeshare.monitoring.sqlite import SqliteMetricStore
from mlops_bikeshare.settings import Settings
from tests.contract.cloudwatch_wire import CloudWatch, serving

T0 = datetime(2021, 9, 1, tzinfo=UTC)
DAY = Window(T0, T0 + timedelta(days=1))
PROD = {"EndpointName": "bikeshare-prod", "City": "boston"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.db"


@pytest.fixture(scope="module")
def clients() -> Iterator[tuple[CloudWatch, Any, Any]]:
    with serving(CloudWatch(now=DAY.end)) as state:
        make = partial(cloudwatch.client, "eu-west-1", url=state.url)
        yield state, make(attempts=3), make(attempts=1)


@pytest.fixture
def wire(clients: tuple[CloudWatch, Any, Any]) -> CloudWatch:
    state = clients[0]
    state.data.clear()
    state.requests.clear()
    state.now, state.status_code = DAY.end, "Complete"
    return state


@pytest.fixture
def cloud(
    clients: tuple[CloudWatch, Any, Any], wire: CloudWatch, tmp_path: Path
) -> CloudWatchMetricStore:
    marks = LocalStore(tmp_path / "lake")
    _, reader, writer = clients
    return CloudWatchMetricStore(reader=reader, writer=writer, marks=marks, now=lambda: wire.now)


@pytest.fixture(params=["sqlite", "cloudwatch"])
def store(request: pytest.FixtureRequest, path: Path) -> Iterator[MetricStore]:
    if request.param == "cloudwatch":
        yield request.getfixturevalue("cloud")
        return
    with SqliteMetricStore(path) as opened:
        yield opened


def datum(minute: float, value: float, *, name: str = "PSI") -> MetricPoint:
    at = T0 + timedelta(minutes=minute)
    return MetricPoint(namespace="Bikeshare/Model", name=name, dimensions=PROD, at=at, value=value)


def read(
    store: MetricStore,
    *,
    window: Window = DAY,
    statistic: Statistic = "Sum",
    period_s: int = 300,
    dimensions: dict[str, str] = PROD,
) -> list[tuple[int, float]]:
    found = store.series(
        "Bikeshare/Model",
        "PSI",
        dimensions,
        window=window,
        statistic=statistic,
        period_s=period_s,
    )
    return [(int((at - T0).total_seconds()), value) for at, value in found]


def test_a_window_holds_its_start_and_not_its_end_and_empty_periods_are_left_out(
    store: MetricStore,
) -> None:
    store.put([datum(-0.001, 9), datum(0, 1), datum(4.99, 2), datum(10, 4), datum(1440, 9)])
    assert read(store) == [(0, 3), (600, 4)]


def test_periods_are_aligned_to_1970_whatever_the_window(store: MetricStore) -> None:
    store.put([datum(3, 1), datum(6, 2)])
    window = Window(T0 + timedelta(minutes=2), T0 + timedelta(minutes=7))
    assert read(store, window=window) == [(0, 1), (300, 2)]


def test_nothing_from_before_a_window_counts_though_it_begins_within_a_minute(
    store: MetricStore,
) -> None:
    store.put([datum(2.2, 9), datum(3, 1)])
    began = T0 + timedelta(minutes=2.5)
    assert read(store, window=Window(began, T0 + timedelta(minutes=7))) == [(0, 1)]
    assert read(store, window=Window(began, T0 + timedelta(minutes=2.9))) == []


@pytest.mark.parametrize("statistic", get_args(Statistic))
def test_every_statistic_is_numpys_percentiles_interpolating(
    store: MetricStore, statistic: Statistic
) -> None:
    values = [5.0, 1.0, 4.0, 2.5]
    store.put([datum(1 + i / 10, value) for i, value in enumerate(values)] + [datum(7, 8)])
    expected = {
        "Sum": 12.5, "Average": 3.125, "Minimum": 1, "Maximum": 5, "SampleCount": 4,
        "p50": 3.25, "p90": 4.7, "p95": 4.85, "p99": 4.97,
    }[statistic]  # fmt: skip
    found = read(store, statistic=statistic)
    assert found[0][1] == pytest.approx(expected)
    assert found[1] == (300, 1 if statistic == "SampleCount" else 8)


def test_nothing_is_an_empty_series_not_zero(store: MetricStore) -> None:
    assert read(store) == []
    store.put([datum(1, 3)])
    assert read(store, dimensions={"EndpointName": "bikeshare-prod"}) == []
    assert read(store, dimensions={**PROD, "City": "nyc"}) == []


def test_several_series_are_those_that_each_would_be_alone(store: MetricStore) -> None:
    store.put([datum(m, v) for m, v in ((0, 1), (1, 2), (7, 4))] + [datum(3, 9, name="F1-24h")])
    asked = [
        Wanted(namespace="Bikeshare/Model", name=name, dimensions=PROD, statistic=statistic)
        for name in ("PSI", "F1-24h", "Brier-24h")
        for statistic in ("p95", "Average", "Sum", "Maximum")
    ]
    alone = [
        store.series(
            one.namespace,
            one.name,
            one.dimensions,
            window=DAY,
            statistic=one.statistic,
            period_s=300,
        )
        for one in asked
    ]
    assert store.several(asked, window=DAY, period_s=300) == alone
    assert alone[1] == [(T0, 1.5), (T0 + timedelta(minutes=5), 4.0)]
    assert store.several([], window=DAY, period_s=300) == []


def test_several_series_are_two_requests(cloud: CloudWatchMetricStore, wire: CloudWatch) -> None:
    asked = [
        Wanted(namespace="Bikeshare/Model", name="PSI", dimensions=PROD, statistic=statistic)
        for statistic in get_args(Statistic)
    ]
    cloud.several(asked, window=DAY, period_s=300)
    assert wire.requests == ["GetMetricData"] * 2


def test_dimensions_match_in_any_order(store: MetricStore) -> None:
    store.put([datum(1, 3)])
    assert read(store, dimensions=dict(reversed(PROD.items()))) == [(0, 3)]


def test_a_key_posts_once_and_as_a_whole(store: MetricStore) -> None:
    assert store.put([datum(1, 3), datum(2, 4)], once="quality:prod:1") is True
    assert store.put([datum(1, 3), datum(9, 9)], once="quality:prod:1") is False
    assert store.put([datum(3, 5)], once="quality:prod:2") is True
    assert read(store, period_s=3600) == [(0, 12)]


def test_a_bad_point_keeps_the_others_out_and_leaves_its_key_free(store: MetricStore) -> None:
    with pytest.raises(TableError, match="Post nothing instead"):
        store.put([datum(1, 3), datum(2, float("nan"))], once="key")
    assert read(store) == []
    assert store.put([datum(1, 3)], once="key") is True
    naive = MetricPoint(
        namespace="n", name="m", dimensions={}, at=T0.replace(tzinfo=None), value=1.0
    )
    with pytest.raises(TableError):
        store.put([naive])


def test_latest_is_the_newest_minute_not_too_old_and_of_a_tie_the_average(
    store: MetricStore,
) -> None:
    store.put([datum(0, 1), datum(10, 2), datum(10, 3), datum(20, 4)])

    def latest(minute: float, within_s: int) -> float | None:
        found = store.latest(
            "Bikeshare/Model", "PSI", PROD,
            before=T0 + timedelta(minutes=minute), within_s=within_s,
        )  # fmt: skip
        return None if found is None else found[1]

    assert latest(10, 0) == 2.5
    assert latest(19.9, 600) == 2.5
    assert latest(20, 600) == 4
    assert latest(19.9, 500) is None
    assert latest(-1, 9999) is None


def test_names_lists_each_series_once(store: MetricStore) -> None:
    store.put([datum(0, 1), datum(1, 1), datum(0, 1, name="DriftShare")])
    assert store.names("Bikeshare/Model") == [("DriftShare", PROD), ("PSI", PROD)]
    assert store.names("AWS/SageMaker") == []


def test_an_unknown_statistic_names_the_known_ones(store: MetricStore) -> None:
    with pytest.raises(InputError, match="SampleCount"):
        read(store, statistic="p42")  # type: ignore[arg-type]


def test_a_percentile_of_part_of_a_period_is_refused(store: MetricStore) -> None:
    store.put([datum(minute, minute) for minute in range(120)])
    part = Window(T0 + timedelta(minutes=30), T0 + timedelta(minutes=90))
    with pytest.raises(InputError, match=r"widen the window to 2021-09-01\.\.2021-09-01T02:00"):
        read(store, window=part, statistic="p95", period_s=3600)
    assert read(store, window=part, statistic="Sum", period_s=3600) == [
        (0, sum(range(30, 60))),
        (3600, sum(range(60, 90))),
    ]
    assert len(read(store, window=part.widened(step_s=3600), statistic="p95", period_s=3600)) == 2


def test_an_average_weighs_every_datum_alike(store: MetricStore) -> None:
    store.put([datum(0, 1), datum(0.1, 1), datum(0.2, 1), datum(5, 5)])
    assert read(store, statistic="Average", period_s=3600) == [(0, 2.0)]


def test_more_data_than_one_request_takes_is_kept_whole(store: MetricStore) -> None:
    store.put([datum(i / 2, 1) for i in range(2500)], once="many")
    assert sum(value for _, value in read(store, period_s=60)) == 2500


def test_to_forget_takes_nothing_that_is_young(store: MetricStore) -> None:
    store.put([datum(1, 3)])
    assert store.forget(T0) == 0
    assert read(store) == [(0, 3)]


def test_a_posting_that_was_killed_after_the_put_is_not_put_again(
    cloud: CloudWatchMetricStore, wire: CloudWatch
) -> None:
    wire.fail_after_storing = 1
    with pytest.raises(LakeError, match="did not answer PutMetricData"):
        cloud.put([datum(1, 3)], once="key")
    assert wire.requests == ["PutMetricData"], "a retry would count the value twice"

    with pytest.raises(LakeError, match=r"run again in 300 s"):
        cloud.put([datum(1, 3)], once="key")

    wire.now += SETTLES
    assert cloud.put([datum(1, 3)], once="key") is False
    assert read(cloud) == [(0, 3)]


def test_a_posting_that_was_killed_before_the_put_is_made_up_for(
    cloud: CloudWatchMetricStore, wire: CloudWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(cloud, "_send", _killed)
        with pytest.raises(KeyboardInterrupt):
            cloud.put([datum(1, 3), datum(2, 4)], once="key")
    cloud.put([datum(2, 4)])  # half of it got through

    wire.now += SETTLES
    assert cloud.put([datum(1, 3), datum(2, 4)], once="key") is True
    assert cloud.put([datum(1, 3), datum(2, 4)], once="key") is False
    assert read(cloud) == [(0, 7)]


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_cloudwatchs_refusal_is_told_and_an_answer_in_part_is_no_answer(
    cloud: CloudWatchMetricStore, wire: CloudWatch
) -> None:
    with pytest.raises(LakeError, match="must specify a recent time"):
        cloud.put([datum(-20 * 1440, 1)])
    cloud.put([datum(1, 1)])
    wire.status_code = "InternalError"
    with pytest.raises(LakeError, match="answered in part"):
        read(cloud)


def test_old_data_is_read_in_the_periods_that_cloudwatch_still_has(
    cloud: CloudWatchMetricStore, wire: CloudWatch
) -> None:
    cloud.put([datum(2, 1), datum(8, 2), datum(70, 4)])
    for days, period_s in ((20, 300), (100, 3600)):
        wire.now = DAY.end + timedelta(days=days)
        found = read(cloud, period_s=period_s)
        assert found == ([(0, 1), (300, 2), (4200, 4)] if days == 20 else [(0, 3), (3600, 4)])


def test_the_aws_profile_keeps_its_metrics_in_cloudwatch(tmp_path: Path) -> None:
    settings = Settings(root=tmp_path, profile="aws")
    assert isinstance(Workspace(settings, RealClock()).metrics, CloudWatchMetricStore)


@given(
    st.lists(st.tuples(st.integers(0, 5000), st.floats(-1e3, 1e3)), min_size=1, max_size=50),
    st.sampled_from([60, 300, 3600]),
)
def test_periods_partition_the_data(data: list[tuple[int, float]], period_s: int) -> None:
    data.sort(key=lambda row: row[0])
    at_s, values = (np.array(column, dtype=np.float64) for column in zip(*data, strict=True))
    found = by_period(at_s, values, statistic="Sum", period_s=period_s)
    assert [start for start, _ in found] == sorted({at // period_s * period_s for at, _ in data})
    assert sum(value for _, value in found) == pytest.approx(values.sum(), abs=1e-6)


def test_values_outlive_the_store(path: Path) -> None:
    with SqliteMetricStore(path) as first:
        first.put([datum(1, 3)], once="a")
    with SqliteMetricStore(path) as second:
        assert read(second) == [(0, 3)]
        assert second.put([datum(1, 3)], once="a") is False


def test_what_is_forgotten_is_gone_and_what_is_younger_stays(path: Path) -> None:
    with SqliteMetricStore(path) as store, SqliteMetricStore(path) as other:
        store.put([datum(1, 1), datum(1, 5, name="F1-24h")], once="old")
        store.put([datum(0, 9), datum(30, 2)], once="new")
        other.put([datum(2, 7)])

        assert store.forget(T0 + timedelta(minutes=30)) == 4

        assert read(store) == read(other) == [(1800, 2)]
        assert other.put([datum(31, 4, name="F1-24h")])
        assert store.put([datum(30, 2)], once="new") is False
        assert store.put([datum(32, 6)], once="old"), "as old as that, nobody posts any more"
        assert read(store) == [(1800, 8)]


def test_a_store_of_before_forgetting_is_migrated_with_what_it_holds(path: Path) -> None:
    with SqliteMetricStore(path) as store:
        store.put([datum(1, 3)], once="a")
    db = sqlite3.connect(path)
    db.execute("ALTER TABLE posting DROP COLUMN at_ms")
    db.execute("PRAGMA user_version = 1")
    db.close()

    with SqliteMetricStore(path) as again:
        assert read(again) == [(0, 3)]
        assert again.put([datum(1, 3)], once="a") is False


def test_a_store_without_room_says_so_keeps_nothing_and_goes_on_once_there_is_some(
    path: Path,
) -> None:
    with SqliteMetricStore(path) as store:
        store._db.execute("PRAGMA max_page_count = 10").fetchall()
        with pytest.raises(LakeError, match=r"metrics\.db: database or disk is full"):
            store.put([datum(1, value) for value in range(20_000)], once="a")
        store._db.execute("PRAGMA max_page_count = 10000").fetchall()
        assert read(store) == []
        assert store.put([datum(1, 3)], once="a")
        assert read(store) == [(0, 3)]


def test_threads_share_a_store(path: Path) -> None:
    with SqliteMetricStore(path) as store:
        threads = [
            threading.Thread(target=lambda: [store.put([datum(1, 1)]) for _ in range(20)])
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert read(store) == [(0, 80)]


def _write_from_another_process(path: Path) -> None:
    with SqliteMetricStore(path) as store:
        for i in range(20):
            store.put([datum(1, 1)])
            store.put([datum(2, 100)], once=f"batch-{i}")


def test_processes_share_a_file_from_its_first_moment_on(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_write_from_another_process, args=(path,)) for _ in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    with SqliteMetricStore(path) as store:
        assert read(store) == [(0, 40 + 20 * 100)]


def _put_until_killed(path: Path, done: Connection) -> None:
    with SqliteMetricStore(path, synced=False) as store:
        while True:
            store.put([datum(1, 1)])
            done.send(1)


def test_a_killed_writer_that_does_not_wait_for_the_disk_loses_nothing_it_has_put(
    path: Path,
) -> None:
    context = multiprocessing.get_context("spawn")
    told, done = context.Pipe(duplex=False)
    writer = context.Process(target=_put_until_killed, args=(path, done))
    writer.start()
    done.close()
    puts = sum(told.recv() for _ in range(500))
    writer.kill()
    writer.join()
    with contextlib.suppress(EOFError):
        while True:
            puts += told.recv()
    with SqliteMetricStore(path) as store:
        [(_, kept)] = read(store)
    assert kept in (puts, puts + 1), "the last may have been put, and not told any more"


def test_a_file_that_is_not_ours_or_newer_is_refused_by_name(path: Path) -> None:
    path.write_text("not a database, but long enough to be taken for one " * 20, encoding="utf-8")
    with pytest.raises(LakeError, match=r"metrics\.db"):
        SqliteMetricStore(path)
    path.unlink()
    with SqliteMetricStore(path):
        pass
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(LakeError, match="newer"):
        SqliteMetricStore(path)
    with pytest.raises(LakeError):
        SqliteMetricStore(path / "below-a-file" / "metrics.db")
