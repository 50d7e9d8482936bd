"""Weather from a real HTTP server that has Meteostat's files, or something else."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from mlops_bikeshare.domain.errors import SourceError
from mlops_bikeshare.domain.tables import WEATHER_HOURLY_RAW
from mlops_bikeshare.lake.parquet import validate
from mlops_bikeshare.sources.gbfs.client import FeedClient, Patience
from mlops_bikeshare.sources.meteostat import Meteostat
from tests.weather_served import NOON, Files, day, row, served

HURRIED = Patience(timeout_s=0.2, attempts=2, first_pause_s=0.001)
PLACE = (42.36, -71.06)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    made = Files()
    made.stations(tmp_path, near=(42.36, -71.16), far=(42.36, -71.26), other=(48.8, 2.3))
    made.hours("near", *day(20.0))
    made.hours("far", *day(10.0))
    return made


@pytest.fixture
def source(files: Files, tmp_path: Path) -> Iterator[Meteostat]:
    with served(files) as url, FeedClient(patience=HURRIED, contact="me@example.org") as client:
        yield Meteostat(client=client, lat=PLACE[0], lon=PLACE[1], folder=tmp_path / "w", url=url)


def test_hours_are_between_the_stations_around_by_inverse_distance(
    source: Meteostat, files: Files
) -> None:
    rows = source.read(NOON + timedelta(minutes=5))
    validate(WEATHER_HOURLY_RAW, rows)
    assert len(rows) == 24
    assert rows["temperature_c"].round(3).unique().tolist() == [18.0], "4 parts of 20, 1 of 10"
    assert rows["hour"].iloc[-1] == NOON
    assert set(rows["fetched_at"]) == {NOON + timedelta(minutes=5)}
    assert set(rows["origin"]) == {"meteostat"}
    assert files.asked[0][0] == "/stations.db"
    assert all("mlops_bikeshare/" in who and "me@example.org" in who for _, who in files.asked)


def test_hours_still_to_come_are_left_out_and_what_no_station_says_is_missing(
    source: Meteostat, files: Files
) -> None:
    hour = timedelta(hours=1)
    now = [row(NOON, 20, rhum="", prcp="trace"), row(NOON + hour, 21)]
    files.hours("near", *now)
    files.hours("far", row(NOON, "", rhum=900, prcp="", wspd=18), row(NOON - hour, "", rhum=70))
    rows = source.read(NOON)
    assert rows["hour"].tolist() == [NOON - hour, NOON]
    last = rows.iloc[1]
    assert last["temperature_c"] == 20, "of the one station that says"
    assert last[["precipitation_mm", "humidity_pct"]].isna().all(), "900 % is no humidity"
    assert last["wind_km_h"] == pytest.approx((9 * 4 + 18) / 5)


def test_the_station_database_is_fetched_once_a_month_and_an_old_one_will_do(
    source: Meteostat, files: Files
) -> None:
    source.read(NOON)
    source.read(NOON + timedelta(hours=1))
    assert sum(path == "/stations.db" for path, _ in files.asked) == 1
    later = NOON + timedelta(days=31)
    for station in ("near", "far"):
        files.hours(station, *day(5.0, until=later))
    del files.bodies["/stations.db"]
    assert len(source.read(later)) == 24
    assert sum(path == "/stations.db" for path, _ in files.asked) == 2
    files.bodies["/stations.db"] = b"<html>maintenance</html>"
    assert len(source.read(later)) == 24, "no more does a page instead of the file"


def test_two_cities_may_fetch_the_station_database_at_once(
    source: Meteostat, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, stamp = threading.Barrier(2, timeout=10), os.utime

    def together(path: Path, times: tuple[float, float]) -> None:
        both.wait()
        stamp(path, times)

    monkeypatch.setattr(os, "utime", together)
    with ThreadPoolExecutor(2) as pool:
        read = list(pool.map(lambda _: source.read(NOON), range(2)))
    assert [len(rows) for rows in read] == [24, 24]
    assert [path.name for path in source.folder.iterdir()] == ["stations.db"]


def test_the_first_hours_of_a_year_come_from_two_files(source: Meteostat, files: Files) -> None:
    midnight = datetime(2022, 1, 1, 0, tzinfo=NOON.tzinfo)
    files.hours("near", *day(1.0, until=midnight - timedelta(hours=1)))
    files.hours("near", row(midnight, 2.0), year=2022)
    rows = source.read(midnight)
    assert rows["temperature_c"].tolist() == [*[1.0] * 23, 2.0]


@pytest.mark.parametrize("mode", ["dead", "slow", "empty", "garbage"])
def test_a_source_that_fails_says_why_within_its_time(
    source: Meteostat, files: Files, mode: str
) -> None:
    source.read(NOON)
    files.mode = mode
    said = {"dead": "503", "slow": "Timeout", "empty": "not hours", "garbage": "not hours"}
    with pytest.raises(SourceError, match=rf"no weather at 42\.36, -71\.06: .*{said[mode]}"):
        source.read(NOON)
    tries = 2 if mode in {"dead", "slow"} else 1
    assert len(files.asked) <= 3 + 2 * tries, "attempts are bounded"


@pytest.mark.parametrize("mode", ["dead", "empty", "garbage"])
def test_without_a_station_database_there_is_no_weather(
    source: Meteostat, files: Files, mode: str
) -> None:
    files.mode = mode
    with pytest.raises(SourceError, match="503" if mode == "dead" else "not a SQLite file"):
        source.read(NOON)


def test_a_broken_station_database_is_thrown_away(source: Meteostat, files: Files) -> None:
    whole = files.bodies["/stations.db"]
    files.bodies["/stations.db"] = whole[:16] + b"\0" * 200
    with pytest.raises(SourceError, match="station database of Meteostat is not usable"):
        source.read(NOON)
    files.bodies["/stations.db"] = whole
    assert len(source.read(NOON)) == 24


def test_no_station_near_and_no_time_left_are_told(source: Meteostat, files: Files) -> None:
    nowhere = Meteostat(
        client=source.client, lat=0.0, lon=0.0, folder=source.folder, url=source.url
    )
    with pytest.raises(SourceError, match="no station within 50 km of 0, 0"):
        nowhere.read(NOON)
    ticks = iter([0.0, 61.0])
    late = Meteostat(
        client=source.client,
        lat=PLACE[0],
        lon=PLACE[1],
        folder=source.folder,
        url=source.url,
        monotonic=lambda: next(ticks),
    )
    with pytest.raises(SourceError, match="no time left after 60 s"):
        late.read(NOON)
    assert len(files.asked) == 1
