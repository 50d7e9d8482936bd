"""Live mode over real HTTP, in lockstep: hours of a feed that does everything wrong."""

import logging
import shutil
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.domain.clock import SimulatedClock
from mlops_bikeshare.domain.errors import InputError, SettingsError, SourceError
from mlops_bikeshare.domain.label import Label
from mlops_bikeshare.domain.tables import (
    PROFILES,
    STATION_INFORMATION_RAW,
    STATION_STATUS,
    STATION_STATUS_RAW,
)
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows import features, ingest, live_feed, records
from mlops_bikeshare.flows.live import LEAD_S, live
from mlops_bikeshare.flows.live_readings import OWED
from mlops_bikeshare.flows.process.lived import Lived, summary
from mlops_bikeshare.flows.process.pace import Lockstep, Running
from mlops_bikeshare.flows.process.stopping import asked_to_stop
from mlops_bikeshare.flows.replay_feed import Wish, replay_feed
from mlops_bikeshare.flows.trying import summary as tried_summary
from mlops_bikeshare.flows.trying import try_feed
from mlops_bikeshare.settings import load
from mlops_bikeshare.sources.feed import Feed, Reading
from mlops_bikeshare.sources.gbfs.client import FeedClient
from mlops_bikeshare.sources.gbfs.faults import Faults, Kind
from mlops_bikeshare.sources.gbfs.server import ReplayedCity, serving
from mlops_bikeshare.sources.recorded import Recording
from tests.served import HURRIED, NOON, small_city

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return small_city(tmp_path_factory.mktemp("city"), hours=8)


@pytest.fixture
def open_ws(tmp_path: Path) -> Callable[..., Workspace]:
    def make(at: datetime = NOON, **flags: object) -> Workspace:
        shutil.copy(ROOT / "bikeshare.toml", tmp_path)
        hurried = {"ingest.timeout_s": 0.3, "ingest.first_pause_s": 0.001, "ingest.attempts": 2}
        ws = open_workspace(load(tmp_path, {}, {**hurried, **flags}), simulated=True)
        ws.advance(at)
        return ws

    return make


def lived(ws: Workspace, served: dict[str, ReplayedCity], *, hours: float) -> list[Lived]:
    """Live mode for some hours on the cities' feeds, all on the workspace's clock."""
    assert isinstance(ws.clock, SimulatedClock)
    cities = [ws.settings.city(name) for name in served]
    with FeedClient(patience=HURRIED) as client:
        with_all = [serving(city) for city in served.values()]
        urls = [context.__enter__() for context in with_all]
        try:
            feeds = {
                city.name: live_feed.feed_of(
                    ws.settings, city, client=client, clock=ws.clock, url=url
                )
                for city, url in zip(cities, urls, strict=True)
            }
            pace = Lockstep(ws.clock, until=ws.now + timedelta(hours=hours))
            return live(ws, cities, feeds, pace, poll_s=300)
        finally:
            for context in with_all:
                context.__exit__(None, None, None)


def polls(ws: Workspace, city: str = "boston") -> set[pd.Timestamp]:
    return set(ws.lake.read(STATION_STATUS, city=city)["fetched_at"])


def test_hours_of_every_fault_lose_nothing_that_the_feed_delivered(
    open_ws: Callable[..., Workspace], recording: Recording
) -> None:
    ws = open_ws()
    assert isinstance(ws.clock, SimulatedClock)
    faults = Faults(share=0.5, seed=11)
    city = ReplayedCity(recording, ws.clock, hold_s=5, faults=faults)

    (done,) = lived(ws, {"boston": city}, hours=2.5)

    delivered = {pd.Timestamp(at) for at in city.delivered}
    assert done.polls == 30
    assert 0 < sum(done.lost.values()) < 15
    assert done.refused > 0
    assert done.repeated > 0
    assert polls(ws) >= delivered
    assert len(polls(ws)) == done.polls - sum(done.lost.values())
    rows = ws.lake.read(STATION_STATUS_RAW, city="boston")
    assert not rows.duplicated(["station_id", "fetched_at"]).any()
    assert len(rows) == done.rows
    assert f"{sum(done.lost.values())} polls lost" in summary([done])


def test_two_cities_live_at_once(
    open_ws: Callable[..., Workspace], recording: Recording, tmp_path: Path
) -> None:
    ws = open_ws()
    assert isinstance(ws.clock, SimulatedClock)
    other = small_city(tmp_path / "other", hours=4, stations=7)
    served = {
        "boston": ReplayedCity(recording, ws.clock),
        "taipei": ReplayedCity(other, ws.clock, version="3.0"),
    }

    done = lived(ws, served, hours=1)

    assert [(city.city, city.polls, city.rows) for city in done] == [
        ("boston", 12, 360),
        ("taipei", 12, 84),
    ]
    assert [city.lost for city in done] == [{}, {}]


def test_after_hours_without_it_the_loop_goes_on_and_leaves_a_gap(
    open_ws: Callable[..., Workspace], recording: Recording
) -> None:
    ws = open_ws()
    assert isinstance(ws.clock, SimulatedClock)
    lived(ws, {"boston": ReplayedCity(recording, ws.clock)}, hours=0.5)
    for key in ws.lake.store.keys("curated/station_status")[-2:]:
        ws.lake.store.delete(key)  # as if killed before these slots were made

    again = open_ws(NOON + timedelta(hours=3))
    assert isinstance(again.clock, SimulatedClock)
    (done,) = lived(again, {"boston": ReplayedCity(recording, again.clock)}, hours=0.5)

    assert done.caught_up == 2
    assert (done.polls, done.lost, done.skipped) == (6, {}, 0)
    assert len(polls(again)) == 12


def test_polls_are_made_before_the_slot_ends_so_that_the_batch_knows_them(
    open_ws: Callable[..., Workspace], recording: Recording
) -> None:
    ws = open_ws()
    assert isinstance(ws.clock, SimulatedClock)
    lived(ws, {"boston": ReplayedCity(recording, ws.clock)}, hours=0.5)

    rows = ws.lake.read(STATION_STATUS, city="boston")
    assert set(rows["slot"] - rows["fetched_at"]) == {pd.Timedelta(seconds=LEAD_S)}


def test_a_single_poll_is_for_the_interval_that_ends_next_and_brings_the_list_when_there_is_none(
    open_ws: Callable[..., Workspace], recording: Recording
) -> None:
    ws = open_ws(NOON + timedelta(minutes=4))
    assert isinstance(ws.clock, SimulatedClock)
    with serving(ReplayedCity(recording, ws.clock)) as url:
        city = replace(ws.settings.city("boston"), gbfs_url=url)
        done = live_feed.poll(ws, city)

    assert (done.at, done.failure) == (NOON + timedelta(minutes=5), None)
    assert set(ws.lake.read(STATION_STATUS, city="boston")["slot"]) == {pd.Timestamp(done.at)}
    assert len(ws.lake.read(STATION_INFORMATION_RAW, city="boston")) == 30


class Broken:
    """A feed whose list cannot be read, in a way that nobody foresaw."""

    def read_status(self, at: datetime) -> Reading:
        return Reading(fetched_at=at, failure="station_status: http://x: HTTP 500")

    def read_information(self, at: datetime) -> Reading:
        raise ZeroDivisionError(f"{at}")


def test_a_job_that_fails_unforeseen_is_counted_and_ends_nothing(
    open_ws: Callable[..., Workspace], caplog: pytest.LogCaptureFixture
) -> None:
    ws = open_ws()
    assert isinstance(ws.clock, SimulatedClock)
    pace = Lockstep(ws.clock, until=NOON + timedelta(hours=1))
    city = ws.settings.city("boston")

    (done,) = live(ws, [city], {"boston": Broken()}, pace, poll_s=300)

    assert done.failed_jobs == 2  # the station list, at the start and after an hour
    assert done.lost == {"station_status: HTTP 500": 12}
    assert "in a way that nobody foresaw" in caplog.text


def test_a_feed_that_raises_costs_its_own_polls_alone(
    open_ws: Callable[..., Workspace], recording: Recording
) -> None:
    class Wrong(Broken):
        def read_status(self, at: datetime) -> Reading:
            return super().read_information(at)

    ws = open_ws()
    assert isinstance(ws.clock, SimulatedClock)
    pace = Lockstep(ws.clock, until=NOON + timedelta(minutes=30))
    cities = [ws.settings.city(name) for name in ("boston", "taipei")]

    done = live(ws, cities, {"boston": Wrong(), "taipei": recording}, pace, poll_s=300)

    assert [city.lost for city in done] == [{"unforeseen: ZeroDivisionError": 6}, {}]
    assert len(polls(ws, "taipei")) == 6


class Restless(Lockstep):
    """Time that passes whenever somebody looks at the clock."""

    def now(self) -> datetime:
        self.clock.set(self.clock.at + timedelta(seconds=1))
        return self.clock.at


def test_a_feed_that_does_not_answer_keeps_no_other_city_waiting_and_its_answer_is_kept(
    open_ws: Callable[..., Workspace], recording: Recording
) -> None:
    ws, answered = open_ws(), threading.Event()

    class Slow:
        asked = 0

        def read_status(self, at: datetime) -> Reading:
            Slow.asked += 1
            if Slow.asked == 1:
                answered.wait(20)
            return recording.read_status(at)

        def read_information(self, at: datetime) -> Reading:
            return recording.read_information(at)

    class Releasing(Restless):
        """Lets the slow feed answer after its third poll."""

        def wait_until(self, at: datetime) -> bool:
            if at >= NOON + timedelta(minutes=17):
                answered.set()
            return super().wait_until(at)

    assert isinstance(ws.clock, SimulatedClock)
    cities = [ws.settings.city(name) for name in ("boston", "taipei")]
    feeds: dict[str, Feed] = {"boston": Slow(), "taipei": recording}
    pace = Releasing(ws.clock, until=NOON + timedelta(minutes=30))

    slow, other = live(ws, cities, feeds, pace, poll_s=300)

    assert (other.polls, other.lost, len(polls(ws, "taipei"))) == (6, {}, 6)
    # Asked at 12:05, not at 12:10 and 12:15; the answer came before 12:20 was asked, or after.
    assert (slow.polls, set(slow.lost)) == (6, {OWED})
    assert slow.lost[OWED] in {2, 3}
    assert slow.skipped == other.skipped == 0
    assert len(polls(ws)) == 6 - slow.lost[OWED]


def test_a_city_that_never_had_an_endpoint_is_only_collected_and_no_host_is_missed(
    open_ws: Callable[..., Workspace], recording: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    ws = open_ws()
    assert isinstance(ws.clock, SimulatedClock)

    (done,) = lived(ws, {"boston": ReplayedCity(recording, ws.clock)}, hours=0.5)

    assert (done.only_collected, done.failed_jobs, done.batches) == (True, 0, 0)
    assert "jobs failed" not in summary([done])
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_a_served_city_whose_host_is_gone_is_judged_and_watched_and_every_failure_counts(
    open_ws: Callable[..., Workspace], recording: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    ws = open_ws()
    assert isinstance(ws.clock, SimulatedClock)
    facts = {"city": "boston", "endpoint": ws.settings.endpoint("prod", "boston"), "version": "1"}
    records.audit(ws, "deploy", why="first champion", facts=facts)

    (done,) = lived(ws, {"boston": ReplayedCity(recording, ws.clock)}, hours=0.5)

    told = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    gone = "no endpoint host runs"
    assert sum(text.startswith(f"batch of boston: {gone}") for text in told) == 3
    assert sum(text.startswith(f"watch of boston: {gone}") for text in told) == 3
    # The judgement needs no host: it says that it could not ask one, and goes on.
    assert sum("cannot be asked what they serve" in text for text in told) >= 3
    assert (done.only_collected, done.failed_jobs, done.batches) == (False, 6, 0)
    assert "6 jobs failed" in summary([done])


@pytest.mark.parametrize("poll_s", [0, 30, 70, 600])
def test_an_interval_that_does_not_fit_is_refused(
    open_ws: Callable[..., Workspace], poll_s: int
) -> None:
    ws = open_ws()
    assert isinstance(ws.clock, SimulatedClock)
    with pytest.raises(InputError, match="from 60 to 300"):
        live(ws, [], {}, Lockstep(ws.clock, until=NOON), poll_s=poll_s)


def test_a_replayed_day_by_its_own_fast_clock_ends_when_asked(
    open_ws: Callable[..., Workspace], recording: Recording, tmp_path: Path
) -> None:
    stop, ready = threading.Event(), threading.Event()
    told: list[str] = []

    def started(url: str, _begin: datetime) -> None:
        told.append(url)
        ready.set()

    city = open_ws(NOON - timedelta(hours=1)).settings.city("boston")
    server = threading.Thread(
        target=replay_feed,
        args=(recording.folder, city),
        kwargs={
            "start": NOON,
            "wish": Wish(speed=1800, faults=("html",)),
            "stop": stop,
            "ready": started,
        },
    )
    server.start()
    assert ready.wait(20)
    try:
        ws = open_ws(NOON)
        until = NOON + timedelta(hours=1)
        (done,) = live_feed.run(
            ws, ["boston"], url=told[0], replay_clock=True, until=until, stop=threading.Event()
        )
    finally:
        stop.set()
        server.join()

    assert done.polls >= 2  # how many more depends on how busy the machine is
    assert done.rows == 30 * (done.polls - sum(done.lost.values()))
    assert (tmp_path / "var").is_dir()


def test_the_first_signal_asks_and_the_old_handler_is_back_afterwards() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with asked_to_stop() as stop:
        signal.raise_signal(signal.SIGTERM)
        assert stop.is_set()
        assert not Running(SimulatedClock(NOON), stop).wait_until(NOON)
    assert signal.getsignal(signal.SIGTERM) is before


def test_once_asked_to_stop_a_poll_tries_no_further_and_is_not_counted_as_lost(
    open_ws: Callable[..., Workspace],
) -> None:
    stop, asked = threading.Event(), list[str]()

    class Silent(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            stop.set()
            self.send_error(503)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    ws = open_ws(**{"ingest.attempts": 3})
    with ThreadingHTTPServer(("127.0.0.1", 0), Silent) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/gbfs.json"
        client = live_feed.client_of(ws.settings, stop=stop)
        city = ws.settings.city("boston")
        feed = live_feed.feed_of(ws.settings, city, client=client, clock=ws.clock, url=url)
        pace = Running(ws.clock, stop)
        (done,) = live(ws, [city], {"boston": feed}, pace, poll_s=300)
        server.shutdown()
        thread.join()
        client.close()

    assert asked == ["/gbfs.json"]
    assert (done.polls, done.lost) == (0, {})


def test_days_that_were_over_while_it_was_off_are_closed_when_it_is_back(
    open_ws: Callable[..., Workspace], tmp_path: Path
) -> None:
    ws = open_ws()
    city, days = ws.settings.city("boston"), small_city(tmp_path / "days", hours=66)
    ingest.import_recording(ws, city, days.folder, window=Window(NOON, NOON + timedelta(hours=12)))
    ws.advance(NOON + timedelta(hours=36))
    features.build(ws, city)
    for hour in range(13, 36):
        ingest.poll(ws, city, days, NOON + timedelta(hours=hour))

    again = open_ws(NOON + timedelta(hours=38))
    assert isinstance(again.clock, SimulatedClock)
    pace = Lockstep(again.clock, until=again.now + timedelta(minutes=21))
    (done,) = live(again, [city], {"boston": days}, pace, poll_s=300)

    assert done.failed_jobs == 0
    made = [day.isoformat() for day in again.lake.days(PROFILES, city="boston")]
    assert made == ["2021-09-02", "2021-09-03"]
    yesterday = (NOON + timedelta(days=1)).date()
    assert len(again.lake.keys(STATION_STATUS, city="boston", day=yesterday)) == 1


def test_addresses_and_clocks_that_do_not_fit_are_refused(
    open_ws: Callable[..., Workspace], recording: Recording
) -> None:
    ws, stop = open_ws(), threading.Event()
    with pytest.raises(InputError, match="--url goes with one --city"):
        live_feed.run(ws, ["boston", "nyc"], url="http://x", stop=stop)
    with pytest.raises(SettingsError, match="has no gbfs_url"):
        live_feed.run(ws, ["taipei"], stop=stop)
    with pytest.raises(InputError, match="--speed"):
        replay_feed(
            recording.folder, ws.settings.city(), start=None, wish=Wish(speed=0), stop=stop,
            ready=print,
        )  # fmt: skip
    with pytest.raises(InputError, match="the recording covers"):
        replay_feed(
            recording.folder, ws.settings.city(), start=NOON + timedelta(days=9), wish=Wish(),
            stop=stop, ready=print,
        )  # fmt: skip


def test_try_goes_from_an_address_to_a_map_and_what_to_type_next(
    open_ws: Callable[..., Workspace], recording: Recording
) -> None:
    ws = open_ws()
    city = ReplayedCity(
        recording, SimulatedClock(NOON), name="Ville d'Été", timezone="America/Toronto",
        version="3.0",
    )  # fmt: skip
    with serving(city) as url:
        tried = try_feed(ws.settings, url, clock=SimulatedClock(NOON))
        again = try_feed(ws.settings, url, clock=SimulatedClock(NOON + timedelta(minutes=5)))

    assert (tried.stations, tried.known, tried.version) == (30, 30, "3.0")
    assert tried.city == again.city == "ville-d-t"
    assert sum(tried.at_risk.values()) > 0
    text = tried.page.read_text()
    assert text.count("<circle") == 30
    assert "src=" not in text
    assert "Ville d&#x27;Été" in text
    said = tried_summary(tried)
    assert 'timezone = "America/Toronto"\ncountry = "CA"' in said
    assert "make live CITY=ville-d-t" in said
    assert "first model after 6 whole days" in said
    assert "[labels]" not in said
    assert "Out is at most 2 left" in text


def test_try_says_where_the_settings_call_something_else_out(
    open_ws: Callable[..., Workspace], recording: Recording
) -> None:
    ws = open_ws()
    settings = replace(ws.settings, labels=Label(threshold=3, mode="within"))
    with serving(ReplayedCity(recording, SimulatedClock(NOON))) as url:
        tried = try_feed(settings, url, clock=SimulatedClock(NOON))

    said = tried_summary(tried)
    assert "that is: at most 2, at dt + horizon; what [labels] says (at most 3, within" in said


def test_try_of_a_feed_that_is_down_says_why(open_ws: Callable[..., Workspace]) -> None:
    with pytest.raises(SourceError, match="ConnectError"):
        try_feed(open_ws().settings, "http://127.0.0.1:1/gbfs.json", clock=SimulatedClock(NOON))


def test_a_station_that_is_off_or_long_silent_is_unknown_not_safe(
    open_ws: Callable[..., Workspace], recording: Recording
) -> None:
    late = recording.span.end.astimezone(UTC) + timedelta(hours=30)
    with serving(ReplayedCity(recording, SimulatedClock(late))) as url:
        tried = try_feed(open_ws().settings, url, clock=SimulatedClock(late))

    assert (tried.stations, tried.known) == (30, 0)
    said = tried_summary(tried)
    assert "none says anything that could be used" in said
    assert f"the newest report of all is of {recording.span.end:%F %H:%M} UTC" in said
    assert "likely out" not in said  # nothing is known, which is not none


def test_a_station_that_left_the_feed_is_unknown_though_it_never_said_when_it_reported(
    open_ws: Callable[..., Workspace], tmp_path: Path
) -> None:
    class Silent(ReplayedCity):
        def document(self, feed: str, fault: Kind | None, *, base: str) -> Any:
            document: Any = super().document(feed, fault, base=base)
            if feed == "station_status":
                stations = document["data"]["stations"]
                document["data"]["stations"] = stations[: 30 if self.clock.now() == NOON else 20]
                for station in stations:
                    del station["last_reported"]
            return document

    clock = SimulatedClock(NOON)
    with serving(Silent(small_city(tmp_path / "days", hours=66), clock)) as url:
        first = try_feed(open_ws().settings, url, clock=clock)
        clock.set(NOON + timedelta(days=2))
        later = try_feed(open_ws().settings, url, clock=clock)

    assert (first.known, later.known, later.stations) == (30, 20, 30)
