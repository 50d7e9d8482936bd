"""Feeds over real HTTP: what arrives, and what each fault of a feed comes to."""

import gzip
import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import httpx
import pandas as pd
import pytest

from mlops_bikeshare.domain.clock import SimulatedClock
from mlops_bikeshare.domain.contract import to_frame
from mlops_bikeshare.domain.errors import InputError, SourceError
from mlops_bikeshare.sources.gbfs.client import FeedClient, Patience, user_agent
from mlops_bikeshare.sources.gbfs.faults import KINDS, UNDELIVERED, Faults, Kind
from mlops_bikeshare.sources.gbfs.feed import GbfsFeed
from mlops_bikeshare.sources.gbfs.server import ReplayedCity, serving
from mlops_bikeshare.sources.recorded import Recording
from tests.served import HURRIED, NOON, Live

Served = Callable[..., Live]


@pytest.mark.parametrize("version", ["2.3", "3.0"])
def test_a_replayed_feed_reads_back_as_the_recording_in_every_version(
    served: Served, version: str, small_recording: Recording
) -> None:
    live = served(version=version)

    reading = live.feed.read_status(NOON)

    assert reading.failure is None
    assert reading.rows is not None
    expected = small_recording.poll(NOON)
    assert expected is not None
    pd.testing.assert_frame_equal(to_frame(reading.rows), expected, check_dtype=False)
    stations = live.feed.read_information(NOON).rows
    assert stations is not None
    assert stations["name"].to_pylist() == small_recording.station_list["name"].tolist()


def test_a_poll_goes_on_after_one_failure_of_the_server(served: Served) -> None:
    live = served()
    live.city.faults.plan("error_500", feed="station_status")

    assert live.feed.read_status(NOON).failure is None


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("timeout", "ReadTimeout"),
        ("error_500", "HTTP 500 Internal Server Error"),
        ("truncated", "RemoteProtocolError"),
        ("cut", "not valid JSON"),
        ("html", "got HTML or XML: it begins '<html>"),
    ],
)
def test_a_feed_out_of_order_is_a_failed_reading_with_the_reason(
    served: Served, fault: str, reason: str
) -> None:
    live = served()
    live.city.faults.plan(fault, feed="station_status", times=HURRIED.attempts)

    reading = live.feed.read_status(NOON)

    assert reading.rows is None
    assert reading.failure is not None
    assert reason in reading.failure
    assert (reading.evidence is not None) == (fault in {"cut", "html"})
    live.city.faults.clear()
    assert live.feed.read_status(NOON).rows is not None


def test_a_frozen_feed_is_read_again_and_grows_old(served: Served) -> None:
    live = served()
    live.city.faults.plan("frozen", feed="station_status", times=3)
    first = live.feed.read_status(NOON)
    again = live.feed.read_status(live.later(10))

    assert (first.unchanged, again.unchanged) == (False, True)
    assert (first.age_s, again.age_s) == (0, 600)
    assert again.rows is not None
    assert set(to_frame(again.rows)["fetched_at"]) == {pd.Timestamp(NOON + timedelta(minutes=10))}
    assert set(to_frame(again.rows)["observed_at"]) == {pd.Timestamp(NOON)}


def test_stations_listed_twice_come_once_with_the_newest_report(served: Served) -> None:
    live = served()
    expected = live.feed.read_status(NOON).rows
    live.city.faults.plan("duplicated", feed="station_status")
    reading = live.feed.read_status(NOON)

    assert reading.repeated == 6
    assert reading.rows is not None
    assert expected is not None
    assert reading.rows.equals(expected)


def test_a_feed_whose_clock_is_ahead_observes_no_future(served: Served) -> None:
    live = served()
    live.city.faults.plan("skew", feed="station_status")

    assert live.feed.read_status(NOON).observed_at == NOON


def test_a_station_that_vanishes_is_missing_and_comes_back(served: Served) -> None:
    live = served()
    live.city.faults.plan("vanished", feed="station_status")
    counted = [live.feed.read_status(NOON).rows for _ in range(2)]

    assert [len(rows) for rows in counted if rows is not None] == [27, 30]


def test_bad_rows_are_refused_and_all_others_kept(served: Served) -> None:
    live = served()
    live.city.faults.plan("bad_rows", feed="station_status")
    reading = live.feed.read_status(NOON)

    assert reading.rows is not None
    assert reading.refused is not None
    assert (len(reading.rows), len(reading.refused)) == (27, 3)


def test_not_modified_is_the_document_before_read_again(served: Served) -> None:
    live = served()
    before = live.feed.read_status(NOON)
    live.city.faults.plan("not_modified", feed="station_status")
    again = live.feed.read_status(live.later(5))

    assert again.unchanged
    assert again.rows is not None
    assert before.rows is not None
    assert again.observed_at == before.observed_at
    assert len(again.rows) == len(before.rows)
    fresh = live.feed.read_status(live.clock.at)
    assert fresh.observed_at == live.clock.at


def test_etags_save_the_body_of_an_unchanged_document(served: Served) -> None:
    live = served()
    live.feed.read_status(NOON)
    delivered = len(live.city.delivered)
    again = live.feed.read_status(NOON)

    assert again.unchanged
    assert len(live.city.delivered) == delivered == 1


def test_a_ttl_is_respected(served: Served) -> None:
    live = served(ttl_s=120)
    live.feed.read_status(NOON)
    early = live.feed.read_status(live.later(1))
    late = live.feed.read_status(live.later(1.1))

    assert (early.unchanged, late.unchanged) == (True, False)
    assert early.fetched_at == NOON + timedelta(minutes=1)
    assert len(live.city.delivered) == 2


def test_addresses_found_before_hold_while_discovery_fails(served: Served) -> None:
    live = served()
    live.feed.read_status(NOON)
    live.city.faults.plan("html", feed="gbfs", times=9)
    live.later(60)

    assert live.feed.read_status(live.clock.at).failure is None


class Moved(ReplayedCity):
    """A city that says where its station_status was until noon, and then where it is."""

    def document(self, feed: str, fault: Kind | None, *, base: str) -> Any:
        document: Any = super().document(feed, fault, base=base)
        if feed == "gbfs" and self.clock.now() <= NOON:
            for entry in document["data"]["en"]["feeds"]:
                entry["url"] = "http://127.0.0.1:1/gone.json"
        return document


def test_an_address_that_fails_is_looked_up_again_before_the_ttl_of_the_list_is_over(
    small_recording: Recording,
) -> None:
    clock = SimulatedClock(NOON)
    city = Moved(small_recording, clock, ttl_s=86_400)
    with serving(city) as url, FeedClient(patience=HURRIED) as client:
        feed = GbfsFeed(url, client=client, clock=clock)
        failures = []
        for minutes in (0, 5, 10, 15):
            clock.set(NOON + timedelta(minutes=minutes))
            failures.append(feed.read_status(clock.at).failure is not None)

    assert failures == [True, True, True, False]


def test_a_feed_that_was_never_there_fails_without_an_error() -> None:
    with FeedClient(patience=HURRIED) as client:
        for url in ("http://127.0.0.1:1/gbfs.json", "file:///etc/hosts", "http://[::1", "nothing"):
            feed = GbfsFeed(url, client=client, clock=SimulatedClock(NOON))
            assert feed.read_status(NOON).failure is not None


def test_the_system_tells_its_name_and_time_zone(served: Served) -> None:
    live = served(name="boston", timezone="America/New_York")

    assert live.feed.system()["timezone"] == "America/New_York"


def test_faults_can_be_asked_for_over_http_and_unknown_ones_are_refused(served: Served) -> None:
    live = served()
    base = live.url.removesuffix("/gbfs.json")

    asked = httpx.post(f"{base}/control/faults", json={"kind": "html", "times": 2})
    wrong = httpx.post(f"{base}/control/faults", json={"kind": "flood"})

    assert asked.json() == {"station_status": ["html", "html"]}
    assert (wrong.status_code, "choose from timeout" in wrong.json()["error"]) == (400, True)
    assert httpx.delete(f"{base}/control/faults").json() == {}
    assert httpx.get(f"{base}/control/clock").json()["now"] == NOON.isoformat()
    assert httpx.get(f"{base}/nothing.json").status_code == 404


def test_faults_by_chance_are_the_same_for_a_seed_and_of_every_kind() -> None:
    drawn = [[Faults(share=1.0, seed=s).next("x") for _ in range(1)] for s in (1, 1, 2)]
    assert drawn[0] == drawn[1]
    plan = Faults(share=1.0, seed=3)
    assert {plan.next("x") for _ in range(500)} == set(KINDS)
    assert set(KINDS) > UNDELIVERED
    with pytest.raises(InputError, match="between 0 and 1"):
        Faults(share=2)


def test_a_taken_port_is_said(small_recording: Recording) -> None:
    city = ReplayedCity(small_recording, SimulatedClock(NOON))
    with serving(city) as url:
        port = int(url.split(":")[2].split("/")[0])
        with pytest.raises(InputError, match="choose another"), serving(city, port=port):
            pass


@contextmanager
def answering(status: int, body: bytes, headers: dict[str, str]) -> Iterator[tuple[str, list[Any]]]:
    """A server that always says the same, and remembers what it was sent."""
    seen: list[Any] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/feed?key=secret", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_operator_is_told_who_asks_and_whom_to_write_to() -> None:
    with answering(200, b"{}", {}) as (url, seen), FeedClient(contact="me@example.org") as client:
        client.get(url)

    assert seen[0]["User-Agent"] == user_agent("me@example.org")
    assert user_agent("me@example.org").endswith("(+me@example.org)")
    assert user_agent(None).startswith("mlops_bikeshare/")
    assert "gzip" in seen[0]["Accept-Encoding"]


def test_a_small_gzip_that_unpacks_to_too_much_is_refused() -> None:
    bomb = gzip.compress(b"0" * 3_000_000)
    patience = Patience(body_limit_mb=1, attempts=1)
    with (
        answering(200, bomb, {"Content-Encoding": "gzip"}) as (url, _),
        FeedClient(patience=patience) as client,
        pytest.raises(SourceError, match="larger than 1 MB"),
    ):
        client.get(url)


def test_an_error_says_what_happened_and_keeps_keys_of_the_address_to_itself() -> None:
    with (
        answering(403, b"", {}) as (url, seen),
        FeedClient(patience=HURRIED) as client,
        pytest.raises(SourceError, match="HTTP 403 Forbidden") as raised,
    ):
        client.get(url)

    assert "secret" not in str(raised.value)
    assert len(seen) == 1  # a refusal is not asked for again


def test_retry_after_is_heeded_and_attempts_are_bounded() -> None:
    with (
        answering(503, b"", {"Retry-After": "0"}) as (url, seen),
        FeedClient(patience=Patience(attempts=3, first_pause_s=60)) as client,
        pytest.raises(SourceError, match="HTTP 503"),
    ):
        client.get(url)

    assert len(seen) == 3


@pytest.mark.parametrize(("asked", "attempts"), [("120", 1), ("²", 2), ("Mon, 1 Jan 2035", 2)])
def test_who_asks_for_a_longer_pause_is_left_alone(asked: str, attempts: int) -> None:
    with (
        answering(429, b"", {"Retry-After": asked}) as (url, seen),
        FeedClient(patience=HURRIED) as client,
        pytest.raises(SourceError, match="HTTP 429"),
    ):
        client.get(url)

    assert len(seen) == attempts


def test_a_body_that_drips_is_given_up() -> None:
    ticks = iter(range(0, 10_000, 15))
    with (
        answering(200, b"{}", {}) as (url, _),
        FeedClient(
            patience=Patience(timeout_s=5, attempts=1), monotonic=lambda: next(ticks)
        ) as client,
        pytest.raises(SourceError, match="body not complete after 10 s"),
    ):
        client.get(url)


def test_304_without_having_been_asked_is_an_error() -> None:
    with (
        answering(304, b"", {}) as (url, _),
        FeedClient(patience=HURRIED) as client,
        pytest.raises(SourceError, match="HTTP 304"),
    ):
        client.get(url)
