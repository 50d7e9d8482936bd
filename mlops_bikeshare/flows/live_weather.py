"""The weather beside the polls: asked for once an hour, stored when it has come.

Input    a workspace, the weather sources of its cities; `tick` at every poll.
Output   rows of `weather_hourly_raw` that tell something new, known from when they were read.

A source may be dead, slow or talk nonsense: it is asked in a thread of its own, its failure is a
line in the log, and no poll waits for it. One that has not answered by the next hour is not asked
again until it has. Who stops waits `patience_s` for what was asked, and no longer: the thread of
an answer that is still to come ends with the process.
"""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, wait
from datetime import datetime, timedelta
from threading import Event, Thread
from types import TracebackType
from typing import TYPE_CHECKING, Self

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import BikeshareError, SettingsError
from mlops_bikeshare.domain.tables import WEATHER_HOURLY_RAW
from mlops_bikeshare.domain.windows import Window, stamp, to_seconds
from mlops_bikeshare.settings import Settings
from mlops_bikeshare.sources.gbfs.client import FeedClient, Patience
from mlops_bikeshare.sources.weather import WeatherSource

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)
PATIENCE_S = 5.0
_HOUR_S = 3600
_BACK = timedelta(hours=48)
_VALUES = [c.name for c in WEATHER_HOURLY_RAW.columns if c.kind == "float64"]


class HourlyWeather:
    """Asks the sources and keeps what they say; to be used in a `with`."""

    def __init__(
        self,
        ws: Workspace,
        sources: Mapping[str, WeatherSource],
        *,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._ws = ws
        self._sources = sources
        self._patience_s = patience_s
        self._asked: dict[str, Future[pd.DataFrame]] = {}
        self._hour = -1

    def __enter__(self) -> Self:
        """Nothing is asked before the first tick."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Wait a moment for what was asked, and keep what came."""
        wait(self._asked.values(), timeout=self._patience_s)
        self._collect()
        for city in self._asked:
            log.warning("weather of %s: no answer before the stop; the next run asks again", city)

    def tick(self, at: datetime) -> None:
        """Keep what has come; ask anew in every hour's first tick."""
        self._collect()
        hour = to_seconds(at) // _HOUR_S
        if hour == self._hour:
            return
        self._hour = hour
        for city, source in self._sources.items():
            if city in self._asked:
                log.warning("weather of %s: still no answer to what was asked before", city)
            else:
                self._asked[city] = self._ask(source, at)

    def _ask(self, source: WeatherSource, at: datetime) -> "Future[pd.DataFrame]":
        """Read in a thread that holds up nobody's end, which one of a pool would."""
        asked: Future[pd.DataFrame] = Future()

        def run() -> None:
            try:
                asked.set_result(self._read(source, at))
            except BaseException as error:
                asked.set_exception(error)

        Thread(target=run, name="weather", daemon=True).start()
        return asked

    def _read(self, source: WeatherSource, at: datetime) -> "pd.DataFrame":
        """What was said, known from when it had been read, not from when it was asked for."""
        import pandas as pd

        rows = source.read(at)
        return rows.assign(fetched_at=pd.Timestamp(max(at, self._ws.now)).as_unit("ms"))

    def _collect(self) -> None:
        done = [city for city, future in self._asked.items() if future.done()]
        for city in done:
            future = self._asked.pop(city)
            try:
                keep(self._ws, city, future.result())
            except BikeshareError as error:
                log.warning("weather of %s: %s", city, error)
            except Exception:
                log.exception("weather of %s failed in a way that nobody foresaw", city)


def keep(ws: Workspace, city: str, rows: "pd.DataFrame") -> int:
    """Store the hours of which the lake says nothing, or something else; how many there were."""
    if rows.empty:
        log.warning("weather of %s: no hour is known", city)
        return 0
    at = rows["fetched_at"].iloc[0]
    window = Window(at - _BACK, at + timedelta(seconds=1))
    known = ws.lake.read(WEATHER_HOURLY_RAW, city=city, window=window)
    newest = known.sort_values("fetched_at").drop_duplicates("hour", keep="last")
    before = newest.set_index("hour")[_VALUES].reindex(rows["hour"]).reset_index(drop=True)
    now = rows[_VALUES].reset_index(drop=True)
    new = rows[~((before == now) | (before.isna() & now.isna())).all(axis=1).to_numpy()]
    if len(new):
        ws.lake.write(WEATHER_HOURLY_RAW, new, city=city, name=f"read-{stamp(at)}")
    return len(new)


def client_of(settings: Settings, *, stop: Event | None = None) -> FeedClient:
    """A client as patient as for feeds, that takes the station database too."""
    ingest = settings.ingest
    patience = Patience(
        timeout_s=ingest.timeout_s,
        attempts=ingest.attempts,
        first_pause_s=ingest.first_pause_s,
        body_limit_mb=settings.weather.body_limit_mb,
    )
    return FeedClient(contact=ingest.contact, patience=patience, stop=stop)


def sources_of(
    ws: Workspace, cities: Sequence[City], *, client: FeedClient
) -> dict[str, WeatherSource]:
    """The weather of cities; none where the settings name no provider."""
    if ws.settings.weather.provider == "none":
        return {}
    return {city.name: source_of(ws, city, client=client) for city in cities}


def source_of(ws: Workspace, city: City, *, client: FeedClient) -> WeatherSource:
    """The weather of a city as its settings say; SettingsError for a city without a place."""
    from mlops_bikeshare.sources.meteostat import Meteostat

    told = ws.settings.weather
    if city.lat is None or city.lon is None:
        msg = f"[cities.{city.name}] has no lat and lon, which the weather needs"
        raise SettingsError(f'{msg}; add them, or set provider = "none" in [weather]')
    return Meteostat(
        client=client,
        lat=city.lat,
        lon=city.lon,
        folder=ws.path / "weather",
        url=told.url.rstrip("/"),
        radius_km=told.radius_km,
        stations=told.stations,
    )
