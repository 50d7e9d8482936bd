"""What production meets under drill: a feed with faults to be switched on, a channel to be closed.

`FaultyFeed` is the recorded feed, dead or distorted while told so. `Webhook` is a channel for
notifications: a real HTTP server on loopback that can be closed and opened again.
"""

import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from mlops_bikeshare.sources.feed import Feed, Reading

if TYPE_CHECKING:
    import pyarrow as pa

Distortion = Callable[["pa.Table"], "pa.Table"]


@dataclass
class FaultyFeed:
    """A feed that may be dead, or say other counts; `before`: what is done before it is asked."""

    inner: Feed
    dead: bool = False
    distortion: Distortion | None = None
    before: Callable[[datetime], None] | None = None

    def read_status(self, at: datetime) -> Reading:
        """What the feed says, a failure, or something else."""
        if self.before is not None:
            self.before(at)
        if self.dead:
            return Reading(fetched_at=at, failure="drill: the feed does not answer")
        reading = self.inner.read_status(at)
        if self.distortion is None or reading.rows is None:
            return reading
        return replace(reading, rows=self.distortion(reading.rows))

    def read_information(self, at: datetime) -> Reading:
        """The station list."""
        return self.inner.read_information(at)


class Webhook:
    """Takes notifications as long as it is open; `taken` are their texts."""

    def __init__(self) -> None:
        """Open on a free port, kept for the next opening."""
        self.taken: list[str] = []
        self.port = 0
        self._server: ThreadingHTTPServer | None = None
        self.open()

    @property
    def url(self) -> str:
        """As apprise has it: JSON over HTTP."""
        return f"json://127.0.0.1:{self.port}/drill"

    def open(self) -> None:
        """Answer from now on."""
        taken = self.taken

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                taken.append(json.loads(body).get("message", ""))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
                """Nothing on the screen."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Refuse connections."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


def closed_port() -> int:
    """A port of loopback on which nobody answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
