from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_bikeshare.domain.errors import SourceError
from mlops_bikeshare.domain.tables import (
    STATION_INFORMATION_RAW,
    STATION_STATUS_RAW,
    pandera_schema,
)
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.sources.recorded import Recording, open_recording, poll_times

NOON = datetime(2021, 9, 1, 12, tzinfo=UTC)


def minutes(*offsets: int) -> list[pd.Timestamp]:
    return [pd.Timestamp(NOON + timedelta(minutes=m)) for m in offsets]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    log = pd.DataFrame(
        {
            "station_id": ["007", "007", "12"],
            "observed_at": minutes(0, 11, 7),
            "num_bikes_available": [5, 4, 0],
            "num_docks_available": pd.array([6, 7, None], dtype="Int32"),
            "is_renting": [1, 1, 0],
        }
    )
    stations = pd.DataFrame(
        {"station_id": ["007", "12"], "name": ["A", None], "lat": 42.0, "lon": -71.0}
    ).assign(capacity=11)
    log.to_parquet(tmp_path / "station_status.parquet")
    stations.to_parquet(tmp_path / "station_information.parquet")
    return tmp_path


@pytest.fixture
def recording(folder: Path) -> Recording:
    return open_recording(folder)


def test_a_poll_carries_each_stations_newest_row_so_far(recording: Recording) -> None:
    poll = recording.poll(NOON + timedelta(minutes=10))

    assert poll is not None
    assert poll["station_id"].tolist() == ["007", "12"]
    assert poll["num_bikes_available"].tolist() == [5, 0]
    assert poll["last_reported"].tolist() == minutes(0, 7)
    assert set(poll["fetched_at"]) == set(poll["observed_at"]) == set(minutes(10))


def test_a_poll_knows_nothing_of_the_future(recording: Recording) -> None:
    poll = recording.poll(NOON + timedelta(minutes=5))

    assert poll is not None
    assert poll["station_id"].tolist() == ["007"]
    assert recording.poll(NOON - timedelta(minutes=5)) is None


def test_many_polls_at_once_equal_them_one_by_one(recording: Recording) -> None:
    window = Window(NOON, NOON + timedelta(minutes=20))

    together = recording.polls(poll_times(window))

    apart = [recording.poll(at) for at in window.steps(step_s=300)]
    pd.testing.assert_frame_equal(together, pd.concat(apart, ignore_index=True))


def test_what_the_feed_did_not_say_is_missing(recording: Recording) -> None:
    poll = recording.poll(NOON + timedelta(minutes=10))

    assert poll is not None
    assert poll["is_returning"].isna().all()
    assert poll["num_docks_available"].isna().tolist() == [False, True]
    assert poll["is_renting"].tolist() == [True, False]


def test_failed_polls_are_empty_and_late_ones_know_more(folder: Path) -> None:
    polls = pd.DataFrame(
        {"poll_at": minutes(5, 10), "fetched_at": minutes(5, 12), "ok": [False, True]}
    )
    polls.to_parquet(folder / "polls.parquet")
    recording = open_recording(folder)

    assert recording.poll(NOON + timedelta(minutes=5)) is None
    late = recording.poll(NOON + timedelta(minutes=10))
    assert late is not None
    assert late["num_bikes_available"].tolist() == [4, 0]


def test_a_missing_file_is_named_with_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"station_status\.parquet is missing; expected"):
        open_recording(tmp_path)


def test_missing_columns_are_named(folder: Path) -> None:
    path = folder / "station_status.parquet"
    pd.read_parquet(path).drop(columns="num_docks_available").to_parquet(path)

    with pytest.raises(SourceError, match=r"lacks the columns \['num_docks_available'\]"):
        open_recording(folder)


def test_a_file_that_is_no_parquet_is_refused(folder: Path) -> None:
    (folder / "station_status.parquet").write_text("hello")

    with pytest.raises(SourceError, match="not a readable Parquet file"):
        open_recording(folder)


def test_an_empty_recording_is_refused(folder: Path) -> None:
    path = folder / "station_status.parquet"
    pd.read_parquet(path).head(0).to_parquet(path)

    with pytest.raises(SourceError, match="has no rows"):
        open_recording(folder)


def test_times_without_a_zone_and_counts_that_are_text_are_refused(folder: Path) -> None:
    path = folder / "station_status.parquet"
    log = pd.read_parquet(path)
    log.assign(observed_at=log["observed_at"].dt.tz_localize(None)).to_parquet(path)
    with pytest.raises(SourceError, match="aware UTC time"):
        open_recording(folder)

    log.assign(num_bikes_available="many").to_parquet(path)
    with pytest.raises(SourceError, match="num_bikes_available"):
        open_recording(folder)


STATUS, STATIONS, POLLS = (
    f"{name}.parquet" for name in ("station_status", "station_information", "polls")
)
NAIVE = [at.tz_localize(None) for at in minutes(0, 5)]


@pytest.mark.parametrize(
    ("file", "change", "complaint"),
    [
        (STATUS, {"num_bikes_available": [5, 70_000, 0]}, "0 to 2000, got 70000"),
        (STATUS, {"num_bikes_available": [5, -1, 0]}, "0 to 2000, got -1"),
        (STATUS, {"num_bikes_available": [5, None, 0]}, "whole numbers .* got nothing"),
        (STATUS, {"num_bikes_available": [None] * 3}, "whole numbers .* got nothing"),
        (STATUS, {"num_docks_available": [5.0, 2.5, 1.0]}, "whole numbers .* got 2.5"),
        (STATUS, {"num_docks_available": [5.0, np.inf, 1.0]}, "whole numbers .* got inf"),
        (STATUS, {"num_docks_disabled": [True, True, False]}, "whole numbers .* got True"),
        (STATUS, {"is_renting": [1, 2, 0]}, "true or false, got 2"),
        (STATUS, {"is_renting": ["yes", "no", "no"]}, "true or false, got 'yes'"),
        (STATUS, {"station_id": [7.5, 7.5, 12.0]}, "text or whole numbers, got 7.5"),
        (STATUS, {"station_id": ["7", None, "12"]}, "id in every row, got nothing"),
        (STATUS, {"observed_at": [*minutes(0, 1), None]}, "time in every row, got nothing"),
        (STATUS, {"observed_at": [t - pd.Timedelta("20000D") for t in minutes(0, 1, 2)]}, "1970"),
        (STATIONS, {"capacity": ["eleven", "12"]}, "0 to 2000, got 'eleven'"),
        (STATIONS, {"capacity": [11.5, 12.0]}, "0 to 2000, got 11.5"),
        (STATIONS, {"lat": ["north", "south"]}, "-90 to 90, got 'north'"),
        (STATIONS, {"lon": [-71.0, 271.0]}, "-180 to 180, got 271.0"),
        (STATIONS, {"station_id": ["7", None]}, "id in every row, got nothing"),
        (POLLS, {"poll_at": NAIVE}, "must be an aware UTC time"),
        (POLLS, {"poll_at": ["noon", "later"]}, "must be an aware UTC time"),
        (POLLS, {"fetched_at": NAIVE}, "must be an aware UTC time"),
        (POLLS, {"fetched_at": [minutes(0)[0], None]}, "time in every row, got nothing"),
        (POLLS, {"ok": [True, None]}, "true or false in every row, got nothing"),
        (POLLS, {"ok": ["yes", "yes"]}, "true or false in every row, got 'yes'"),
    ],
)
def test_a_malformed_column_is_named_with_its_file_and_what_was_expected(
    folder: Path, file: str, change: dict[str, Any], complaint: str
) -> None:
    pd.DataFrame({"poll_at": minutes(0, 5), "fetched_at": minutes(0, 5), "ok": True}).to_parquet(
        folder / POLLS
    )
    path = folder / file
    pd.read_parquet(path).assign(**change).to_parquet(path)

    with pytest.raises(SourceError, match=f"{file}: .*{next(iter(change))}.*{complaint}"):
        open_recording(folder)


def test_a_station_list_of_another_city_is_refused(folder: Path) -> None:
    path = folder / STATIONS
    pd.read_parquet(path).assign(station_id=["A", "B"]).to_parquet(path)

    with pytest.raises(SourceError, match=r"'007'.* such as 'A'; expected at least one station in"):
        open_recording(folder)


def test_what_may_be_unknown_stays_unknown(folder: Path) -> None:
    path = folder / STATIONS
    unknown: dict[str, Any] = {"capacity": None, "lat": None, "lon": [None, -71.0]}
    pd.read_parquet(path).assign(**unknown).to_parquet(path)
    path = folder / STATUS
    gaps: dict[str, Any] = {"is_renting": [True, True, None]}
    pd.read_parquet(path).assign(**gaps).to_parquet(path)
    failed = {"poll_at": minutes(0), "fetched_at": pd.to_datetime([""], utc=True)}
    pd.DataFrame({**failed, "ok": [False]}).to_parquet(folder / POLLS)

    recording = open_recording(folder)

    stations = recording.information(NOON)
    assert stations["capacity"].isna().all()
    assert stations["lat"].isna().all()
    assert recording.poll(NOON) is None
    later = recording.poll(NOON + timedelta(minutes=10))
    assert later is not None
    assert later["is_renting"].tolist() == [True, pd.NA]


def test_a_recording_that_opens_is_one_that_the_lake_takes(recording: Recording) -> None:
    poll = recording.poll(NOON + timedelta(minutes=10))

    pandera_schema(STATION_STATUS_RAW).validate(poll)
    pandera_schema(STATION_INFORMATION_RAW).validate(recording.information(NOON))


@pytest.mark.recordings
@pytest.mark.parametrize("city", ["boston", "taipei", "paris"])
def test_the_real_recordings_open_and_poll(recordings: Path, city: str) -> None:
    recording = open_recording(recordings / city)
    day = Window.day(recording.span.start.date() + timedelta(days=2))

    polls = recording.polls(poll_times(day))

    assert polls["fetched_at"].nunique() == 288
    assert (polls["last_reported"] <= polls["fetched_at"]).all()
    assert np.median(polls.groupby("fetched_at").size()) > 350


def test_poll_times_are_every_five_minutes_of_a_half_open_window() -> None:
    assert len(poll_times(Window.day(date(2021, 9, 1)))) == 288


@pytest.mark.parametrize(
    ("column", "expected"), [([8, None], ["8", None]), (["a", "b"], ["a", "b"]), (None, [None] * 2)]
)
def test_a_recording_may_have_regions(
    folder: Path, column: list[Any] | None, expected: list[str | None]
) -> None:
    path = folder / "station_information.parquet"
    stations = pd.read_parquet(path)
    if column is not None:
        stations.assign(region_id=column).to_parquet(path)
    found = open_recording(folder).information(NOON)["region_id"]
    assert found.astype(object).where(found.notna(), None).tolist() == expected
