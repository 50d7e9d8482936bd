"""The feeds of cities as their settings say: the one place where a client is made for them.

`run` is live mode on them, by the machine's clock or by that of a replayed feed, which runs faster.
"""

import json
import threading
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import urljoin

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.clock import Clock, PacedClock, RealClock
from mlops_bikeshare.domain.errors import InputError, SettingsError, SourceError
from mlops_bikeshare.domain.tables import STATION_INFORMATION_RAW
from mlops_bikeshare.domain.windows import parse_time
from mlops_bikeshare.flows import ingest, live_weather
from mlops_bikeshare.flows.ingest import Polled
from mlops_bikeshare.flows.live import live, next_tick
from mlops_bikeshare.flows.live_weather import HourlyWeather
from mlops_bikeshare.flows.process.lived import Lived
from mlops_bikeshare.flows.process.pace import Running
from mlops_bikeshare.settings import Settings
from mlops_bikeshare.sources.gbfs.client import FeedClient, Patience
from mlops_bikeshare.sources.gbfs.feed import GbfsFeed

# Nothing else waits for the weather of a single poll.
_ONE_POLL_S = 120.0


def client_of(settings: Settings, *, stop: threading.Event | None = None) -> FeedClient:
    """A client as patient as the settings say, until `stop`; close it when done."""
    ingest = settings.ingest
    patience = Patience(
        timeout_s=ingest.timeout_s,
        attempts=ingest.attempts,
        first_pause_s=ingest.first_pause_s,
        body_limit_mb=ingest.body_limit_mb,
    )
    return FeedClient(contact=ingest.contact, patience=patience, stop=stop)


def feed_of(
    settings: Settings, city: City, *, client: FeedClient, clock: Clock, url: str | None = None
) -> GbfsFeed:
    """The city's feed, at `url` if one is given; SettingsError for a city without an address."""
    address = url or city.gbfs_url
    if address is None:
        msg = f"[cities.{city.name}] has no gbfs_url"
        raise SettingsError(f"{msg}; add the address of its gbfs.json to bikeshare.toml")
    return GbfsFeed(address, client=client, clock=clock, language=settings.ingest.language)


def run(
    ws: Workspace,
    names: Sequence[str],
    *,
    stop: threading.Event,
    url: str | None = None,
    replay_clock: bool = False,
    until: datetime | None = None,
) -> list[Lived]:
    """Live mode on the named cities until `stop` is set, or `until`."""
    cities = [ws.settings.city(name) for name in dict.fromkeys(names)]
    if (url is not None and len(cities) > 1) or (replay_clock and url is None):
        raise InputError("--url goes with one --city, and --replay-clock with --url")
    with (
        client_of(ws.settings, stop=stop) as client,
        live_weather.client_of(ws.settings, stop=stop) as outside,
    ):
        clock, speed = clock_of(client, url) if replay_clock and url else (RealClock(), 1.0)
        feeds = {
            city.name: feed_of(ws.settings, city, client=client, clock=clock, url=url)
            for city in cities
        }
        pace = Running(clock, stop, speed=speed, until=until)
        weather = live_weather.sources_of(ws, cities, client=outside)
        return live(ws, cities, feeds, pace, poll_s=ws.settings.ingest.poll_s, weather=weather)


def poll(ws: Workspace, city: City) -> Polled:
    """One poll for the interval that ends next; the station list and the weather every hour."""
    with client_of(ws.settings) as client, live_weather.client_of(ws.settings) as outside:
        feed = feed_of(ws.settings, city, client=client, clock=ws.clock)
        at = next_tick(ws.now, ws.settings.ingest.poll_s)
        if at.minute == 0 or not ws.lake.days(STATION_INFORMATION_RAW, city=city.name):
            ingest.poll_information(ws, city, feed, at)
        done = ingest.poll(ws, city, feed, at)
        if at.minute == 0:
            weather = live_weather.sources_of(ws, [city], client=outside)
            with HourlyWeather(ws, weather, patience_s=_ONE_POLL_S) as hourly:
                hourly.tick(ws.now)
        return done


def clock_of(client: FeedClient, url: str) -> tuple[Clock, float]:
    """The clock of a replayed feed, and its speed."""
    try:
        told = json.loads(client.get(urljoin(url, "control/clock")).body or b"")
        start, speed = parse_time(told["now"], key="now"), float(told["speed"])
    except (ValueError, KeyError, TypeError):
        raise SourceError(f"{url} has no clock; is it a `bikeshare replay-feed`?") from None
    except SourceError as error:
        raise SourceError(f"no clock to follow, is it a `bikeshare replay-feed`? {error}") from None
    return PacedClock(start, speed=speed), speed
