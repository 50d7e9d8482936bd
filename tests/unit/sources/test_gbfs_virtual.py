"""Virtual stations over real HTTP: what a feed that has read no station list yet says of them."""

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mlops_bikeshare.domain.clock import SimulatedClock
from mlops_bikeshare.domain.contract import to_frame
from mlops_bikeshare.sources.gbfs.client import FeedClient
from mlops_bikeshare.sources.gbfs.feed import GbfsFeed
from tests.served import HURRIED, NOON

AT = int(NOON.timestamp())
PLACE = {"name": "Quay", "lat": 42.0, "lon": -71.0}
LISTED = [{**PLACE, "station_id": "endless", "is_virtual_station": True}]
SAID = [
    {
        "station_id": "endless",
        "num_bikes_available": 3,
        "num_docks_available": 0,
        "is_installed": True,
        "is_renting": True,
        "is_returning": True,
        "last_reported": AT,
    }
]


@contextmanager
def system(asked: list[str], documents: dict[str, Any]) -> Iterator[str]:
    """The documents as a system of GBFS 2.3; `asked` notes the paths, one that is None is a 404."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            data = documents.get(self.path.strip("/"))
            said = {"last_updated": AT, "ttl": 60, "version": "2.3", "data": data}
            body = json.dumps(said).encode()
            self.send_response(404 if data is None else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    root = f"http://127.0.0.1:{server.server_port}"
    feeds = [{"name": n, "url": f"{root}/{n}"} for n in ("station_status", "station_information")]
    documents["gbfs.json"] = {"en": {"feeds": feeds}}
    try:
        yield f"{root}/gbfs.json"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_free_docks_of_a_virtual_station_are_unknown_in_a_process_of_a_single_poll_too() -> None:
    asked: list[str] = []
    documents = {"station_status": {"stations": SAID}, "station_information": {"stations": LISTED}}
    with system(asked, documents) as url, FeedClient(patience=HURRIED) as client:
        feed = GbfsFeed(url, client=client, clock=SimulatedClock(NOON))

        rows = feed.read_status(NOON).rows

        assert rows is not None
        assert to_frame(rows)["num_docks_available"].isna().all()
        listed = feed.read_information(NOON)
        assert listed.rows is not None
        assert not listed.unchanged, "a list that was only looked up is still to be kept"


def test_a_station_list_that_cannot_be_read_costs_no_poll_and_is_not_asked_for_at_each() -> None:
    asked: list[str] = []
    clock = SimulatedClock(NOON)
    with (
        system(asked, {"station_status": {"stations": SAID}}) as url,
        FeedClient(patience=HURRIED) as client,
    ):
        feed = GbfsFeed(url, client=client, clock=clock)

        assert feed.read_status(NOON).rows is not None
        before = asked.count("/station_information")
        clock.set(NOON.replace(minute=5))
        assert feed.read_status(NOON).rows is not None

    assert before > 0
    assert asked.count("/station_information") == before
