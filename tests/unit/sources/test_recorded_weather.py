"""A recording's weather: units, what is missing, and when it was known."""

from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from mlops_bikeshare.backends import open_workspace
from mlops_bikeshare.domain.errors import SourceError
from mlops_bikeshare.domain.tables import WEATHER_HOURLY_RAW
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows.ingest import import_recording
from mlops_bikeshare.lake.parquet import validate
from mlops_bikeshare.settings import load
from mlops_bikeshare.sources.recorded_weather import FILE, recorded_weather
from tests.served import NOON, small_city

ROOT = Path(__file__).resolve().parents[3]
HOURS = pd.date_range(NOON - timedelta(hours=2), periods=3, freq="h")


def write(folder: Path, **columns: object) -> Path:
    given = {"hour_utc": HOURS, "temp_C": [20.5, None, 19.0], "wind_mps": 10.0} | columns
    pd.DataFrame(given).to_parquet(folder / FILE)
    return folder


def test_an_hour_is_known_from_its_end_and_what_is_not_said_is_missing(tmp_path: Path) -> None:
    rows = recorded_weather(write(tmp_path))

    assert rows is not None
    validate(WEATHER_HOURLY_RAW, rows)
    assert (rows["fetched_at"] - rows["hour"] == pd.Timedelta(hours=1)).all()
    assert rows["wind_km_h"].tolist() == [36.0] * 3
    assert rows["temperature_c"].isna().tolist() == [False, True, False]
    assert rows["humidity_pct"].isna().all()


def test_times_without_a_zone_are_utc_and_no_file_is_no_weather(tmp_path: Path) -> None:
    assert recorded_weather(tmp_path) is None
    rows = recorded_weather(write(tmp_path, hour_utc=HOURS.tz_localize(None)))

    assert rows is not None
    assert rows["hour"].tolist() == HOURS.tolist()


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("temp_C", [20.0, 400.0, 19.0], "temperature_c: expected numbers from -90 to 60, got 400"),
        ("hour_utc", [HOURS[0], HOURS[0], HOURS[1]], "expected each hour once"),
        ("hour_utc", ["a", "b", "c"], "hour_utc must be an aware UTC time"),
    ],
)
def test_a_file_that_cannot_be_is_refused_by_column(
    tmp_path: Path, column: str, values: list[object], message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        recorded_weather(write(tmp_path, **{column: values}))


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("<html>")
    with pytest.raises(SourceError, match="not a readable Parquet file"):
        recorded_weather(tmp_path)


def test_ingest_brings_each_hour_once_however_often_it_runs(tmp_path: Path) -> None:
    city = tmp_path / "city"
    small_city(city)
    write(city)
    (tmp_path / "bikeshare.toml").write_text((ROOT / "bikeshare.toml").read_text())
    ws = open_workspace(load(tmp_path, {}, {}), simulated=True)
    boston = ws.settings.city("boston")

    import_recording(ws, boston, city, window=Window(NOON - timedelta(hours=2), NOON))
    known = ws.lake.read(WEATHER_HOURLY_RAW, city="boston")
    assert known["hour"].tolist() == [HOURS[0]]
    for _ in range(2):
        import_recording(ws, boston, city)

    rows = ws.query.run("SELECT hour, temperature_c FROM weather_hourly_raw ORDER BY hour")
    assert rows["hour"].tolist() == HOURS[:2].tolist()
    assert ws.now >= NOON


@pytest.mark.recordings
def test_the_weather_of_paris_is_read_whole(recordings: Path) -> None:
    rows = recorded_weather(recordings / "paris")

    assert rows is not None
    assert len(rows) == 155
    assert rows["temperature_c"].between(5, 40).all()
