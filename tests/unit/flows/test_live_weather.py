"""The weather of live cities: stored beside the polls, and never in their way."""

import logging
import shutil
import threading
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.clock import SimulatedClock
from mlops_bikeshare.domain.errors import SettingsError, SourceError
from mlops_bikeshare.domain.tables import STATION_STATUS_RAW, WEATHER_HOURLY_RAW
from mlops_bikeshare.flows import live_feed, live_weather
from mlops_bikeshare.flows.live import live
from mlops_bikeshare.flows.live_weather import HourlyWeather
from mlops_bikeshare.flows.process.pace import Lockstep
from mlops_bikeshare.settings import load
from mlops_bikeshare.sources.gbfs.server import ReplayedCity, serving
from tests.served import small_city
from tests.weather_served import NOON, Files, day, served

ROOT = Path(__file__).resolve().parents[3]
HOUR = timedelta(hours=1)


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    shutil.copy(ROOT / "bikeshare.toml", tmp_path)
    flags = {"ingest.timeout_s": 0.2, "ingest.attempts": 1, "weather.provider": "meteostat"}
    opened = open_workspace(load(tmp_path, {}, flags), simulated=True)
    opened.advance(NOON)
    return opened


def known(ws: Workspace) -> pd.DataFrame:
    return ws.lake.read(WEATHER_HOURLY_RAW, city="boston").sort_values(["fetched_at", "hour"])


class Said:
    """A source that says what it is given; `held` keeps it from answering."""

    def __init__(self, temperature: float = 20.0) -> None:
        self.temperature = temperature
        self.held: threading.Event | None = None
        self.asked = 0

    def read(self, at: datetime) -> pd.DataFrame:
        self.asked += 1
        if self.held:
            self.held.wait(30)
        hours = pd.date_range(at - 2 * HOUR, periods=3, freq="h").as_unit("ms")
        return pd.DataFrame(
            {
                "hour": hours,
                "temperature_c": self.temperature,
                "precipitation_mm": 0.0,
                "wind_km_h": float("nan"),
                "humidity_pct": 50.0,
                "origin": "meteostat",
                "fetched_at": pd.Timestamp(at).as_unit("ms"),
            }
        )


def test_weather_is_asked_for_once_an_hour_and_kept_where_it_is_new(ws: Workspace) -> None:
    source = Said()
    for at in (NOON, NOON + HOUR):
        ws.advance(at)
        with HourlyWeather(ws, {"boston": source}) as outside:
            outside.tick(at)
            outside.tick(at + timedelta(minutes=5))
    assert source.asked == 2
    rows = known(ws)
    assert rows["hour"].tolist() == [NOON - 2 * HOUR, NOON - HOUR, NOON, NOON + HOUR]
    assert rows["fetched_at"].tolist() == [NOON] * 3 + [NOON + HOUR]


def test_an_hour_is_known_from_when_it_was_read_not_from_when_it_was_asked(ws: Workspace) -> None:
    source = Said()
    source.held = threading.Event()
    with HourlyWeather(ws, {"boston": source}) as outside:
        outside.tick(NOON)
        ws.advance(NOON + timedelta(minutes=1))
        source.held.set()
    assert set(known(ws)["fetched_at"]) == {NOON + timedelta(minutes=1)}


def test_a_source_that_does_not_answer_is_not_asked_again(
    ws: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    source = Said()
    source.held = threading.Event()
    with HourlyWeather(ws, {"boston": source}) as outside:
        outside.tick(NOON)
        outside.tick(NOON + HOUR)
        source.held.set()
    assert source.asked == 1
    assert "weather of boston: still no answer" in caplog.text


def test_a_stop_waits_a_moment_and_no_longer_for_a_source_that_does_not_answer(
    ws: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    source = Said()
    source.held = threading.Event()
    with HourlyWeather(ws, {"boston": source}, patience_s=0.01) as outside:
        outside.tick(NOON)
    assert "weather of boston: no answer before the stop" in caplog.text
    assert known(ws).empty
    source.held.set()


@pytest.mark.parametrize("mode", ["well", "dead", "slow", "empty", "garbage"])
def test_no_poll_waits_for_the_weather_or_fails_with_it(
    ws: Workspace, tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: str
) -> None:
    caplog.set_level(logging.WARNING)
    city = ws.settings.city("boston")
    files = Files()
    files.stations(tmp_path, near=(42.36, -71.1))
    files.hours("near", *day(20.0))
    files.mode = mode
    recording = small_city(tmp_path / "city")
    pace = Lockstep(ws.clock, until=NOON + timedelta(minutes=31))  # type: ignore[arg-type]
    with served(files) as url, live_weather.client_of(ws.settings) as client:
        told = Workspace(load(tmp_path, {}, {"weather.url": url}), ws.clock)
        source = live_weather.source_of(told, city, client=client)
        done = live(ws, [city], {"boston": recording}, pace, poll_s=300, weather={"boston": source})
    assert (done[0].polls, done[0].lost, done[0].failed_jobs) == (6, {}, 0)
    assert ws.lake.read(STATION_STATUS_RAW, city="boston")["fetched_at"].nunique() == 6
    assert len(known(ws)) == (24 if mode == "well" else 0)
    assert ("weather of boston: " in caplog.text) == (mode != "well")


def test_what_nobody_foresaw_is_logged_too(ws: Workspace, caplog: pytest.LogCaptureFixture) -> None:
    class Wrong:
        def read(self, at: datetime) -> pd.DataFrame:
            raise ZeroDivisionError(at)

    class Refused:
        def read(self, at: datetime) -> pd.DataFrame:
            raise SourceError(f"nothing at {at:%H}")

    with HourlyWeather(ws, {"a": Wrong(), "b": Refused()}) as outside:
        outside.tick(NOON)
    assert "weather of a failed in a way that nobody foresaw" in caplog.text
    assert "weather of b: nothing at 12" in caplog.text


def test_a_city_without_a_place_has_no_weather(ws: Workspace) -> None:
    nowhere = City(name="nowhere", timezone="UTC", country="US")
    with (
        live_weather.client_of(ws.settings) as client,
        pytest.raises(SettingsError, match=r"\[cities.nowhere\] has no lat and lon"),
    ):
        live_weather.source_of(ws, nowhere, client=client)


def test_a_single_poll_on_the_hour_reads_the_weather_too(ws: Workspace, tmp_path: Path) -> None:
    files = Files()
    files.stations(tmp_path, near=(42.36, -71.1))
    files.hours("near", *day(20.0))
    recording = small_city(tmp_path / "city")
    assert isinstance(ws.clock, SimulatedClock)
    feed = ReplayedCity(recording, ws.clock)
    flags = {"weather.provider": "meteostat", "ingest.timeout_s": 5}
    with served(files) as weather, serving(feed) as gbfs:
        told = Workspace(load(tmp_path, {}, {**flags, "weather.url": weather}), ws.clock)
        city = replace(told.settings.city("boston"), gbfs_url=gbfs)
        for minutes, known_hours in ((1, 0), (58, 24)):
            ws.clock.set(NOON + timedelta(minutes=minutes))
            assert live_feed.poll(told, city).failure is None
            assert len(known(ws)) == known_hours
