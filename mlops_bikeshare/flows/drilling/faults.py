"""Faults of what production lives on: the feed, the host, the weather, a batch.

Each is done to production, then looked at, and becomes one `Finding`.
"""

from datetime import datetime, timedelta

from mlops_bikeshare.domain.tables import INFERENCE, WEATHER_HOURLY_RAW
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows import gate
from mlops_bikeshare.flows.drilling.findings import Finding, minutes_from, within
from mlops_bikeshare.flows.drilling.outside import closed_port
from mlops_bikeshare.flows.drilling.production import TICK, Production
from mlops_bikeshare.flows.live_weather import HourlyWeather
from mlops_bikeshare.serving import endpoints
from mlops_bikeshare.sources.gbfs.client import FeedClient, Patience
from mlops_bikeshare.sources.meteostat import Meteostat


def feed_outage(p: Production, start: datetime, *, hours: int = 3) -> Finding:
    """The feed answers nothing, and nobody can be told of it at first."""
    p.run(start)
    end = start + timedelta(hours=hours)
    p.feed.dead = True
    p.webhook.close()
    p.run(end)
    p.feed.dead = False
    p.webhook.open()
    p.run(end + timedelta(hours=2))
    alarm = f"{p.prod}-feed-age-warn"
    fired, back = p.fired(alarm, start), p.full_again(end)
    blind = Window(start + timedelta(minutes=80), end)
    return Finding(
        fault="the feed is down, and the notification channel with it",
        start=start,
        end=end,
        expected="an alarm within 30 min; no batch from nothing; full batches and the news after",
        happened={
            "the feed's age is an alarm within half an hour": within(fired, start, 30),
            "nothing is predicted once no count is known": not _any_rows(p, blind),
            "batches are full again within half an hour": within(back, end, 30),
            "the alarm is quiet again": p.quiet(alarm, end) is not None,
            "the channel is told of the alarm once it is back": _told(p, alarm),
        },
        detected_min=minutes_from(start, fired),
        restored_min=minutes_from(end, back),
    )


def host_killed(p: Production, start: datetime, *, minutes: int = 40) -> Finding:
    """The endpoint host is killed; somebody starts it again."""
    p.run(start)
    before = endpoints.describe(p.ws.clients, p.prod)
    end = start + timedelta(minutes=minutes)
    p.after = {start: p.kill_host, end - TICK: p.start_host}
    p.run(end + timedelta(hours=1))
    alarm = f"{p.prod}-host-down-critical"
    fired, back = p.fired(alarm, start), p.full_again(end)
    after = endpoints.describe(p.ws.clients, p.prod)
    return Finding(
        fault="the endpoint host is killed",
        start=start,
        end=end,
        expected="an alarm within 20 min; the same endpoint and version after a restart",
        happened={
            "host-down is an alarm within 20 min": within(fired, start, 20),
            "the endpoint comes back with its config": after.config == before.config,
            "batches are full again within 20 min": within(back, end, 20),
            "the alarm is quiet again": p.quiet(alarm, end) is not None,
        },
        detected_min=minutes_from(start, fired),
        restored_min=minutes_from(end, back),
    )


def weather_dead(p: Production, start: datetime, *, hours: int = 3) -> Finding:
    """The weather's server refuses every connection."""
    p.run(start)
    end = start + timedelta(hours=hours)
    patience = Patience(timeout_s=1, attempts=1, first_pause_s=0, body_limit_mb=1)
    with FeedClient(contact=None, patience=patience) as client:
        url = f"http://127.0.0.1:{closed_port()}"
        source = Meteostat(client=client, lat=0, lon=0, folder=p.ws.path / "weather", url=url)
        with HourlyWeather(p.ws, {p.city.name: source}) as hourly:
            p.beside = hourly.tick
            p.run(end)
            p.beside = None
    asked = Window(start, end + TICK)
    known = p.ws.lake.read(WEATHER_HOURLY_RAW, city=p.city.name, window=asked)
    return Finding(
        fault="the weather does not answer",
        start=start,
        end=end,
        expected="every batch is full all the same, and no weather is made up",
        happened={
            "every batch is full": p.all_full(Window(start, end)),
            "no weather came, and none was made up": known.empty,
        },
    )


def missed_batch(p: Production, start: datetime) -> Finding:
    """Polls go on, one batch does not run."""
    p.run(start)
    p.silent(start + TICK)
    p.run(start + timedelta(hours=1))
    hole = Window(start, start + TICK)
    report = gate.gate(p.ws, p.city, endpoint=p.prod)
    beats = [c for c in report.checks if c.name.startswith("PredictionHeartbeat")]
    return Finding(
        fault="one batch does not run",
        start=start,
        end=start + TICK,
        expected="a hole stays a hole, the gate sees it, the next batch is full",
        happened={
            "nobody writes predictions for the past": not _any_rows(p, hole),
            "the gate's check of heartbeats does not pass": any(c.verdict != "pass" for c in beats),
            "the next batch is full": within(p.full_again(start + TICK), start + TICK, 0),
        },
        restored_min=minutes_from(start + TICK, p.full_again(start + TICK)),
    )


def _any_rows(p: Production, window: Window) -> bool:
    rows = p.ws.lake.read(INFERENCE, city=p.city.name, window=window, columns=["dt"])
    return not rows.empty


def _told(p: Production, alarm: str) -> bool:
    return any(alarm in text for text in p.webhook.taken)
