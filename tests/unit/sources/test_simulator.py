"""The simulated city: exact, conserving, plausible, and as fast as it grows."""

import time
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.sources.recorded import open_recording
from mlops_bikeshare.sources.simulator import SimulatedRecording, simulate

START = date(2025, 6, 2)
FRAMES = ("station_status", "station_information", "weather_hourly", "polls")


def make(stations: int = 40, days: int = 3, seed: int = 1) -> SimulatedRecording:
    return simulate(
        stations=stations, days=days, seed=seed, start=START, timezone="America/Toronto"
    )


@pytest.fixture(scope="module")
def made() -> SimulatedRecording:
    return make(stations=80, days=10, seed=5)


@pytest.fixture(scope="module")
def status(made: SimulatedRecording) -> pd.DataFrame:
    return made.station_status


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        make().write(tmp_path / folder)
    for name in FRAMES:
        first, second = (tmp_path / f / f"{name}.parquet" for f in ("a", "b"))
        assert first.read_bytes() == second.read_bytes(), name


def test_another_seed_is_another_city() -> None:
    first, second = make(seed=1), make(seed=2)
    assert not first.station_information.equals(second.station_information)
    assert not first.station_status.equals(second.station_status)


def test_writing_leaves_whole_files_only(tmp_path: Path) -> None:
    make().write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        f"{name}.parquet" for name in FRAMES
    )


def test_what_is_written_opens_as_a_recording(tmp_path: Path) -> None:
    made = make()
    made.write(tmp_path)
    recording = open_recording(tmp_path)
    poll = recording.poll(pd.Timestamp("2025-06-03T12:00Z").to_pydatetime())
    assert made.polls["ok"][made.polls["poll_at"] == "2025-06-03T12:00Z"].all()
    assert poll is not None
    assert len(poll) == 40
    assert recording.span.duration.days >= 2


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**31), stations=st.integers(10, 40))
def test_counts_are_never_negative_and_always_fill_the_docks(seed: int, stations: int) -> None:
    made = make(stations=stations, days=2, seed=seed)
    log = made.station_status
    counts = log[[name for name in log.columns if name.startswith("num_")]]
    capacity = made.station_information.set_index("station_id")["capacity"]
    assert (counts >= 0).all(axis=None)
    total = counts.sum(axis=1).to_numpy()
    assert (total == capacity.loc[log["station_id"]].to_numpy()).all()


def test_reports_lie_in_the_span_and_rise_per_station(status: pd.DataFrame) -> None:
    assert status["observed_at"].min() >= pd.Timestamp("2025-06-02", tz="UTC")
    assert status["observed_at"].max() < pd.Timestamp("2025-06-12", tz="UTC")
    gaps = status.groupby("station_id")["observed_at"].diff().dropna()
    assert (gaps > pd.Timedelta(0)).all()


def test_every_station_reports_as_the_span_begins(status: pd.DataFrame) -> None:
    first = status.groupby("station_id")["observed_at"].min()
    assert len(first) == 80
    assert (first <= pd.Timestamp("2025-06-02T00:05", tz="UTC")).all()


def test_nobody_rides_from_or_to_a_closed_station() -> None:
    log = make(stations=80, days=21, seed=3).station_status
    closed = log["is_renting"] == 0
    assert closed.any()
    assert (log["is_renting"] == log["is_returning"]).all()
    stays = closed & closed.shift(fill_value=False)
    stays &= log["station_id"] == log["station_id"].shift()
    stays &= log["is_installed"] == log["is_installed"].shift()
    assert (log["num_bikes_available"].diff()[stays] == 0).all()


def test_a_station_off_the_street_is_closed_and_empty() -> None:
    log = make(stations=80, days=21, seed=3).station_status
    away = log[log["is_installed"] == 0]
    assert len(away)
    assert (away["is_renting"] == 0).all()
    assert (away[["num_bikes_available", "num_bikes_disabled"]] == 0).all(axis=None)


def test_bikes_and_docks_break_and_are_repaired(status: pd.DataFrame) -> None:
    for name in ("num_bikes_disabled", "num_docks_disabled"):
        change = status.groupby("station_id")[name].diff()
        assert (change > 0).any()
        assert (change < 0).any()


def test_the_feed_is_silent_for_more_than_an_hour_now_and_then() -> None:
    log = make(stations=80, days=21, seed=1).station_status
    silence = log["observed_at"].sort_values().diff().max()
    assert pd.Timedelta(hours=1) < silence < pd.Timedelta(hours=4)


def test_polls_are_on_time_late_or_failed(made: SimulatedRecording) -> None:
    polls = made.polls
    late_s = (polls["fetched_at"] - polls["poll_at"]).dt.total_seconds()
    assert len(polls) == 10 * 288
    assert 0.005 < (late_s > 0).mean() < 0.05
    assert late_s.between(0, 240, inclusive="left").all()
    assert 0 < (~polls["ok"]).mean() < 0.02
    assert (late_s[~polls["ok"]] == 0).all()


def test_weather_covers_the_span_hour_by_hour(made: SimulatedRecording) -> None:
    weather = made.weather_hourly
    assert len(weather) == 240
    assert weather["hour_utc"].iloc[0] == pd.Timestamp("2025-06-02")
    assert (weather["hour_utc"].diff().dropna() == pd.Timedelta(hours=1)).all()
    assert not weather.isna().any(axis=None)
    assert (weather["precip_mm"] >= 0).all()
    assert weather["humidity_pct"].between(0, 100).all()


def test_ids_keep_their_zeros_and_names_are_unique(made: SimulatedRecording) -> None:
    stations = made.station_information
    assert stations["station_id"].iloc[0] == "0001"
    assert stations["name"].is_unique
    assert stations["capacity"].between(11, 39).all()
    assert np.ptp(stations["lat"]) * 111 < 9


def test_a_summer_time_change_is_simulated() -> None:
    made = simulate(stations=10, days=2, seed=1, start=date(2025, 3, 8), timezone="America/Toronto")
    assert len(made.weather_hourly) == 48


@pytest.mark.parametrize(
    ("stations", "days", "seed", "named"),
    [(9, 1, 1, "stations"), (10, 0, 1, "days"), (10, 1, -1, "seed")],
)
def test_a_size_that_makes_no_city_is_refused(
    stations: int, days: int, seed: int, named: str
) -> None:
    with pytest.raises(InputError, match=named):
        make(stations=stations, days=days, seed=seed)


def test_time_grows_with_days_no_faster_than_a_line() -> None:
    make(stations=20, days=1)

    def seconds(days: int) -> float:
        begin = time.process_time()
        make(stations=60, days=days)
        return time.process_time() - begin

    assert seconds(24) < 4.0 * (min(seconds(6), seconds(6)) + 0.1) * 1.5
