"""Polls into the lake: nothing lost, nothing twice, nothing invented, whatever happens between."""

import gzip
import multiprocessing
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import LakeError
from mlops_bikeshare.domain.tables import (
    QUARANTINED_ROWS,
    STATION_INFORMATION,
    STATION_INFORMATION_RAW,
    STATION_STATUS,
    STATION_STATUS_RAW,
)
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.features.online import row_at
from mlops_bikeshare.features.profiles import ProfileState
from mlops_bikeshare.flows import curating, ingest, status_text
from mlops_bikeshare.flows.features import known_at, station_list
from mlops_bikeshare.flows.process.feed_health import FeedHealth
from mlops_bikeshare.flows.status import status
from mlops_bikeshare.lake.local import LocalStore
from mlops_bikeshare.lake.quarantine import FOLDER
from mlops_bikeshare.lake.stations import valid_at
from mlops_bikeshare.settings import Settings, load
from mlops_bikeshare.sources.feed import Reading
from mlops_bikeshare.sources.gbfs import render
from mlops_bikeshare.sources.gbfs.rows import information_rows, status_rows

ROOT = Path(__file__).resolve().parents[3]
NOON = datetime(2021, 9, 1, 12, tzinfo=UTC)


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def stations(at: datetime, *, shift: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "station_id": f"{i:03}",
            "num_bikes_available": (i + shift) % 12,
            "num_docks_available": 12 - (i + shift) % 12,
            "last_reported": int(at.timestamp()) - 30,
        }
        for i in range(8)
    ]


def reading(at: datetime, listed: list[Any] | None = None, **changes: Any) -> Reading:
    rows = status_rows(listed or stations(at), fetched_at=at, observed_at=at)
    made = Reading(fetched_at=at, rows=rows.arrow, refused=rows.refused, observed_at=at)
    return replace(made, repeated=rows.repeated, **changes)


def places(at: datetime, capacity: int | None = 12, count: int = 8) -> Reading:
    listed = [
        {"station_id": f"{i:03}", "name": "Quay", "lat": 42.0, "lon": -71.0, "capacity": capacity}
        for i in range(count)
    ]
    return Reading(fetched_at=at, rows=information_rows(listed, fetched_at=at).arrow)


@pytest.fixture
def open_ws(tmp_path: Path) -> Callable[..., Workspace]:
    def make(name: str = "live", at: datetime = NOON) -> Workspace:
        home = tmp_path / name
        if not home.exists():
            home.mkdir()
            (home / "bikeshare.toml").write_text((ROOT / "bikeshare.toml").read_text())
        ws = open_workspace(load(home, {}, {"workspace": name}), simulated=True)
        ws.advance(at)
        return ws

    return make


@pytest.fixture
def ws(open_ws: Callable[..., Workspace]) -> Workspace:
    return open_ws()


@pytest.fixture
def city(ws: Workspace) -> City:
    return ws.settings.city("boston")


def raw(ws: Workspace) -> pd.DataFrame:
    rows = ws.lake.read(STATION_STATUS_RAW, city="boston")
    return rows.sort_values(["fetched_at", "station_id"]).reset_index(drop=True)


def curated(ws: Workspace) -> pd.DataFrame:
    rows = ws.lake.read(STATION_STATUS, city="boston")
    return rows.sort_values(["fetched_at", "station_id"]).reset_index(drop=True)


def summed(ws: Workspace, name: str) -> float:
    window = Window(NOON - timedelta(days=1), NOON + timedelta(days=1))
    series = ws.metrics.series(
        "Bikeshare/Model", name, {"City": "boston"}, window=window, statistic="Sum", period_s=300
    )
    return sum(value for _, value in series)


def test_a_poll_is_a_raw_object_and_a_curated_slot(ws: Workspace, city: City) -> None:
    kept = ingest.keep(ws, city, reading(NOON), NOON)

    assert (kept.rows, kept.refused, kept.failure) == (8, 0, None)
    assert len(raw(ws)) == len(curated(ws)) == 8
    assert summed(ws, "PollFailures") == summed(ws, "QuarantinedRows") == 0


def test_bad_rows_go_to_quarantine_with_their_reason_and_the_good_ones_go_on(
    ws: Workspace, city: City
) -> None:
    listed = [*stations(NOON), {"station_id": "bad", "num_bikes_available": -3}, "junk"]

    kept = ingest.keep(ws, city, reading(NOON, listed), NOON)

    assert (kept.rows, kept.refused) == (8, 2)
    aside = ws.lake.read(QUARANTINED_ROWS, city="boston")
    assert aside["station_id"].isna().tolist() == [False, True]
    assert "from 0 to 2000, got -3" in aside["reason"].iloc[0]
    assert summed(ws, "QuarantinedRows") == 2
    assert summed(ws, "PollFailures") == 0


def test_a_bad_document_is_kept_whole_and_the_poll_counts_as_failed(
    ws: Workspace, city: City
) -> None:
    page = b"<html>\xff down</html>" * 20
    failed = Reading(fetched_at=NOON, failure="station_status: got HTML", evidence=page)

    kept = ingest.keep(ws, city, failed, NOON)

    assert kept.failure == "station_status: got HTML"
    (key,) = ws.lake.store.keys(FOLDER)
    assert gzip.decompress(ws.lake.store.read(key)) == page
    assert summed(ws, "PollFailures") == 1
    assert raw(ws).empty


def test_of_two_ingesters_the_first_stands_and_no_report_is_there_twice(
    open_ws: Callable[..., Workspace], city: City
) -> None:
    one, other = open_ws(), open_ws()
    for i in range(6):
        at = NOON + minutes(5 * i)
        first, second = (one, other) if i % 2 else (other, one)
        ingest.keep(first, city, reading(at), at)
        late = reading(at, stations(at, shift=5))
        assert ingest.keep(second, city, late, at).already_there

    for rows in (raw(open_ws()), curated(open_ws())):
        assert len(rows) == 48
        assert not rows.duplicated(["station_id", "observed_at"]).any()
    pd.testing.assert_frame_equal(
        raw(one)[STATION_STATUS.names[2:]], curated(one)[STATION_STATUS.names[2:]]
    )


def test_of_two_ingesters_on_either_side_of_midnight_the_first_stands_too(
    open_ws: Callable[..., Workspace], city: City
) -> None:
    midnight = NOON + timedelta(hours=12)
    for seconds in (-20, 2):  # the second one's feed was slow
        kept = ingest.keep(
            open_ws(), city, reading(midnight + timedelta(seconds=seconds)), midnight
        )
    assert kept.already_there

    for rows in (raw(open_ws()), curated(open_ws())):
        assert len(rows) == 8
        assert set(rows["fetched_at"]) == {midnight - timedelta(seconds=20)}


def test_two_ingesters_in_processes_of_their_own_leave_one_row_per_report(
    open_ws: Callable[..., Workspace],
) -> None:
    spawn = multiprocessing.get_context("spawn")
    together = spawn.Barrier(2)
    settings = open_ws().settings
    both = [spawn.Process(target=ingester, args=(settings, together, i)) for i in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()

    assert [process.exitcode for process in both] == [0, 0]
    ws = open_ws()
    for rows in (raw(ws), curated(ws)):
        assert len(rows) == 8 * 12
        assert not rows.duplicated(["station_id", "observed_at"]).any()
        assert len(rows[["observed_at", "fetched_at"]].drop_duplicates()) == 12
    pd.testing.assert_frame_equal(
        raw(ws)[STATION_STATUS.names[2:]], curated(ws)[STATION_STATUS.names[2:]]
    )
    assert not list(ws.path.rglob("*.tmp"))


def ingester(settings: Settings, together: Any, number: int) -> None:
    """A dozen polls, each begun in the same moment as the other process's, and read by itself."""
    ws = open_workspace(settings, simulated=True)
    city = ws.settings.city("boston")
    for i in range(12):
        at = NOON + minutes(5 * i)
        own = at + timedelta(seconds=number)
        rows = status_rows(stations(at), fetched_at=own, observed_at=at).arrow
        together.wait(60)  # one that dies must not leave the other waiting
        ingest.keep(ws, city, Reading(fetched_at=own, rows=rows, observed_at=at), at)
        if i % 4 == 3:
            curating.catch_up(ws, city)


def test_a_poll_that_arrives_an_hour_late_changes_no_feature_of_the_past(
    ws: Workspace, city: City
) -> None:
    ingest.keep_information(ws, city, places(NOON - minutes(300)), NOON - minutes(300))
    for i in range(-48, 1):
        at = NOON + minutes(5 * i)
        if i != -10:
            ingest.keep(ws, city, reading(at, stations(at, shift=i)), at)
    before = features(ws, city)
    assert len(before) == 8

    at = NOON - minutes(50)
    late = status_rows(stations(at, shift=3), fetched_at=NOON + minutes(10), observed_at=at).arrow
    kept = ingest.keep(ws, city, Reading(fetched_at=NOON + minutes(10), rows=late), at)

    assert kept.rows == 8
    pd.testing.assert_frame_equal(features(ws, city), before)


def features(ws: Workspace, city: City) -> pd.DataFrame:
    return row_at(
        known_at(ws, city, NOON),
        dt=NOON,
        stations=station_list(ws, city, day=NOON.date()),
        city=city,
        profiles=ProfileState.empty(),
    )


def test_the_list_is_stored_when_it_changes_and_holds_from_then_on(
    ws: Workspace, city: City
) -> None:
    added = [
        ingest.keep_information(ws, city, places(NOON + minutes(m), capacity), NOON + minutes(m))
        for m, capacity in ((0, 12), (60, 12), (120, 15))
    ]

    assert added == [8, 0, 8]
    assert ws.lake.read(STATION_INFORMATION_RAW, city="boston")["fetched_at"].nunique() == 2
    versions = ws.lake.read(STATION_INFORMATION, city="boston")
    for minute, expected in ((0, 12), (119, 12), (120, 15)):
        known = valid_at(versions, NOON + minutes(minute))
        assert set(known["capacity"]) == {expected}
    # Features go by the list known at the start of their day.
    today = station_list(ws, city, day=NOON.date())
    tomorrow = station_list(ws, city, day=NOON.date() + timedelta(days=1))
    assert (set(today["capacity"]), set(tomorrow["capacity"])) == ({12}, {15})
    assert set(station_list(ws, city)["capacity"]) == {15}


def test_a_missing_capacity_is_inferred_from_counts_and_flagged(ws: Workspace, city: City) -> None:
    for i in range(3):
        at = NOON + minutes(5 * i)
        ingest.keep(ws, city, reading(at), at)
    ingest.keep_information(ws, city, places(NOON + minutes(15), None, 9), NOON + minutes(15))

    known = ws.lake.read(STATION_INFORMATION, city="boston").set_index("station_id")
    assert known["capacity"].fillna(-1).tolist() == [12] * 8 + [-1]
    assert known["capacity_inferred"].tolist() == [True] * 8 + [False]


def test_a_list_that_says_the_same_is_compared_with_the_lake_all_the_same(
    ws: Workspace, city: City
) -> None:
    first = places(NOON, None)
    assert ingest.keep_information(ws, city, first, NOON) == 8
    for i in range(3):
        ingest.keep(ws, city, reading(NOON + minutes(5 * i)), NOON + minutes(5 * i))

    again = replace(places(NOON + minutes(60), None), unchanged=True)
    added = ingest.keep_information(ws, city, again, NOON + minutes(60))

    # By now there are counts from which the capacities follow.
    assert added == 8
    assert set(station_list(ws, city)["capacity"]) == {12}
    changed = replace(places(NOON + minutes(90), 15), unchanged=True)  # its time stood still
    assert ingest.keep_information(ws, city, changed, NOON + minutes(90)) == 8


def test_a_poll_is_stored_though_the_metrics_do_not_answer(
    ws: Workspace, city: City, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def locked(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database is locked")

    monkeypatch.setattr(ws.metrics, "put", locked)

    assert ingest.keep(ws, city, reading(NOON), NOON).rows == 8
    assert len(raw(ws)) == len(curated(ws)) == 8
    assert "20210901T120000Z is not counted: database is locked" in caplog.text


def test_a_poll_that_could_not_be_stored_counts_as_failed(
    ws: Workspace, city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise LakeError("no room")

    monkeypatch.setattr(ws.lake.store, "create", refused)
    with pytest.raises(LakeError, match="no room"):
        ingest.keep(ws, city, reading(NOON), NOON)
    monkeypatch.undo()

    assert summed(ws, "PollFailures") == 1


@pytest.mark.parametrize("curated_before", [True, False])
def test_who_was_killed_and_away_for_weeks_catches_up_with_the_last_poll(
    open_ws: Callable[..., Workspace], city: City, *, curated_before: bool
) -> None:
    ws = open_ws()
    for at in [NOON - minutes(5), NOON] if curated_before else [NOON]:
        ingest.keep(ws, city, reading(at), at)
    ws.lake.store.delete(ws.lake.store.keys("curated/station_status")[-1])

    assert curating.catch_up(open_ws(at=NOON + timedelta(days=30)), city) == 1
    pd.testing.assert_frame_equal(
        raw(ws)[STATION_STATUS.names[2:]], curated(ws)[STATION_STATUS.names[2:]]
    )


STEPS = range(1, 8)  # the last one is after all of them


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_nothing_is_lost_and_nothing_is_there_twice(
    open_ws: Callable[..., Workspace], city: City, step: int
) -> None:
    whole = open_ws("whole")
    listed = [*stations(NOON), {"station_id": "bad"}]
    at = NOON + minutes(5)
    for when in (NOON, at):
        ingest.keep(whole, city, reading(when, listed), when)
    # The parent has opened nothing of the workspace that the child dies in.
    open_ws("killed")
    child = os.fork()
    if child == 0:
        with dying(step):
            ingest.keep(open_ws("killed"), city, reading(NOON, listed), NOON)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)

    again = open_ws("killed", NOON + minutes(1))
    curating.catch_up(again, city)
    if raw(again).empty:  # the document was not stored: its poll is asked for again
        ingest.keep(again, city, reading(NOON, listed), NOON)
    ingest.keep(again, city, reading(at, listed), at)
    curating.catch_up(again, city)

    pd.testing.assert_frame_equal(raw(again), raw(whole))
    pd.testing.assert_frame_equal(curated(again), curated(whole))
    put_aside = again.lake.read(QUARANTINED_ROWS, city="boston")
    assert len(put_aside) == len(whole.lake.read(QUARANTINED_ROWS, city="boston")) == 2


@contextmanager
def dying(step: int) -> Iterator[None]:
    """Kill -9 at a step: before and after each object's file, and before and after its link."""
    seen = 0

    def die_around(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:
            nonlocal seen
            seen += 1
            if seen == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **named)

        return run

    os.fsync, os.link = die_around(os.fsync), die_around(os.link)
    yield
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_full_disk_stores_nothing_by_half_and_the_poll_can_be_made_again(
    ws: Workspace, city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:

        def onto_full_disk(path: Path, body: bytes) -> None:
            path.touch()
            full.write(body)  # the kernel's own ENOSPC

        monkeypatch.setattr("mlops_bikeshare.lake.local._write_through", onto_full_disk)
        with pytest.raises(LakeError, match=r"No space left on device; nothing was stored"):
            ingest.keep(ws, city, reading(NOON), NOON)
    monkeypatch.undo()

    assert not [p for p in ws.path.rglob("*") if p.suffix in {".tmp", ".parquet"}]
    assert ingest.keep(ws, city, reading(NOON), NOON).rows == 8
    assert isinstance(ws.lake.store, LocalStore)


def test_a_replayed_document_reads_as_the_rows_it_was_made_from() -> None:
    rows = status_rows(stations(NOON), fetched_at=NOON, observed_at=NOON).good
    for version in render.VERSIONS:
        document = render.status(rows, at=NOON, version=render.checked(version), ttl_s=0)
        again = status_rows(document["data"]["stations"], fetched_at=NOON, observed_at=NOON).good
        assert np.array_equal(rows["last_reported"], again["last_reported"])
        pd.testing.assert_frame_equal(rows, again)


def test_status_tells_each_citys_failed_polls_rows_put_aside_and_age(
    ws: Workspace, city: City
) -> None:
    late = replace(reading(NOON - minutes(5)), observed_at=NOON - minutes(7))
    ingest.keep(ws, city, late, NOON - minutes(5))
    ingest.keep(ws, city, reading(NOON, [*stations(NOON), {"station_id": "bad"}]), NOON)
    ingest.keep(ws, city, Reading(fetched_at=NOON, failure="no answer"), NOON)
    ws.advance(NOON)

    seen = status(ws.settings, city=city.name)

    assert seen.feed == FeedHealth(age_s=0.0, poll_failures_24h=1, quarantined_rows_24h=1)
    told = "document 0 s old when read; 24 h: 1 polls failed, 1 rows put aside"
    assert told in status_text.summary(seen)
    assert status(ws.settings, city="taipei").feed is None
