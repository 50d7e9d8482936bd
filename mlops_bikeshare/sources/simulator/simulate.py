"""A bike-share city as a recording: the same seed gives the same bytes.

Input    stations, whole UTC days from `start`, the time zone its riders live by, a seed.
Output   SimulatedRecording: the frames of a recording (see sources/recorded) plus weather_hourly
         and polls; `write` stores them as the recording's files.
Raises   InputError for a size that makes no city; OSError where the folder cannot be written.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.windows import DAY_S, SLOT_S, from_seconds, to_seconds
from mlops_bikeshare.sources.simulator.city import City, lay_out
from mlops_bikeshare.sources.simulator.demand import Demand
from mlops_bikeshare.sources.simulator.engine import Engine
from mlops_bikeshare.sources.simulator.feed import Span, draw_polls, station_status
from mlops_bikeshare.sources.simulator.weather import comfort, simulate_weather

if TYPE_CHECKING:
    import pandas as pd

Ints = NDArray[np.int64]
LEAST_STATIONS, MOST_STATIONS = 10, 3000
_WARM_UP_DAYS = 3
_CITY_STREAM, _WEATHER_STREAM, _FEED_STREAM, _POLL_STREAM = 10, 11, 12, 13
_BINS = DAY_S // SLOT_S


@dataclass(frozen=True, slots=True)
class SimulatedRecording:
    """The frames of a recording."""

    station_status: "pd.DataFrame"
    station_information: "pd.DataFrame"
    weather_hourly: "pd.DataFrame"
    polls: "pd.DataFrame"

    def write(self, folder: Path) -> None:
        """Store the frames as `<name>.parquet`; each file appears whole, the log last."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("polls", "weather_hourly", "station_information", "station_status"):
            frame: pd.DataFrame = getattr(self, name)
            unfinished = folder / f".{name}.parquet.unfinished"
            frame.to_parquet(unfinished, compression="zstd", index=False)
            unfinished.replace(folder / f"{name}.parquet")


def simulate(
    *, stations: int, days: int, seed: int, start: date, timezone: str
) -> SimulatedRecording:
    """Simulate `days` UTC days from `start`."""
    check(stations=stations, days=days, seed=seed)
    start_s = to_seconds(datetime(start.year, start.month, start.day, tzinfo=UTC))
    span = Span(start_s, start_s + days * DAY_S)
    city = lay_out(stations, np.random.default_rng([seed, _CITY_STREAM]))
    weather = _weather(span, timezone=timezone, seed=seed)
    ledger, bikes_at_first = _play(city, weather, span, timezone=timezone, seed=seed)
    status = station_status(
        city,
        ledger,
        bikes_at_first=bikes_at_first,
        span=span,
        rng=np.random.default_rng([seed, _FEED_STREAM]),
    )
    return SimulatedRecording(
        station_status=status,
        station_information=_information(city),
        weather_hourly=weather.iloc[_WARM_UP_DAYS * 24 :].reset_index(drop=True),
        polls=draw_polls(span, np.random.default_rng([seed, _POLL_STREAM])),
    )


def check(*, stations: int, days: int, seed: int) -> None:
    """InputError for a city that `simulate` would refuse."""
    if not LEAST_STATIONS <= stations <= MOST_STATIONS:
        allowed = f"{LEAST_STATIONS} to {MOST_STATIONS}"
        raise InputError(f"stations: expected {allowed}, got {stations}")
    if days < 1:
        raise InputError(f"days: expected at least 1, got {days}")
    if seed < 0:
        raise InputError(f"seed: expected 0 or more, got {seed}")


def _weather(span: Span, *, timezone: str, seed: int) -> "pd.DataFrame":
    """Hourly weather, the warm-up included."""
    first_s = span.start_s - _WARM_UP_DAYS * DAY_S
    offset_s = int(_local_s(np.array([first_s]), timezone=timezone)[0]) - first_s
    return simulate_weather(
        from_seconds(first_s),
        hours=(span.end_s - first_s) // 3600,
        utc_offset_h=offset_s / 3600,
        rng=np.random.default_rng([seed, _WEATHER_STREAM]),
    )


def _play(
    city: City, weather: "pd.DataFrame", span: Span, *, timezone: str, seed: int
) -> tuple[Ints, Ints]:
    """Run the days, warm-up first; the ledger and the bikes it began with."""
    demand = Demand.of(city, seed=seed)
    first_day = span.start_s // DAY_S - _WARM_UP_DAYS
    engine = Engine.of(city, seed=seed, start_s=first_day * DAY_S)
    bikes_at_first = np.array(engine.bikes, dtype=np.int64)
    pleasant = np.repeat(comfort(weather), 3600 // SLOT_S).reshape(-1, _BINS)
    for number, factors in enumerate(pleasant):
        day = first_day + number
        bins_s = day * DAY_S + SLOT_S * np.arange(_BINS)
        local_s = _local_s(bins_s, timezone=timezone)
        trips = demand.day(day, local_s=local_s, comfort=factors)
        offset_s = int(local_s[_BINS // 2] - bins_s[_BINS // 2])
        engine.run_day(day, trips, utc_offset_s=offset_s, seed=seed)
    return np.frombuffer(engine.ledger, dtype=np.int64), bikes_at_first


def _local_s(seconds: Ints, *, timezone: str) -> Ints:
    """The local wall clock, as seconds since 1970."""
    import pandas as pd

    utc = pd.DatetimeIndex(seconds.astype("M8[s]")).tz_localize("UTC")
    naive = utc.tz_convert(timezone).tz_localize(None)
    return naive.as_unit("s").asi8


def _information(city: City) -> "pd.DataFrame":
    import pandas as pd

    columns = {
        "station_id": city.station_ids,
        "name": list(city.names),
        "lat": city.lat,
        "lon": city.lon,
        "capacity": city.capacity.astype(np.int16),
    }
    return pd.DataFrame(columns).astype({"station_id": "str", "name": "str"})
