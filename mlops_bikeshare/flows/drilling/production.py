"""Production under drill: a city's polls, batches and judgements, with faults to be switched on.

`Production.run` replays up to a time and notes after every batch which alarms stand; `after` says
what else is done after the batch of a time, `beside` after every batch. `silent`: polls alone, as
when a batch was missed.
`memory`: what the process held at each midnight, in megabytes.
`FaultyFeed` is the recorded feed, dead or distorted while told so. `Webhook` is a channel for
notifications: a real HTTP server on loopback that can be closed and opened again.
"""

import json
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.windows import DAY_S, SLOT_S, Window
from mlops_bikeshare.flows import alarms, ingest, replay, serve
from mlops_bikeshare.flows.process.memory import resident_mb
from mlops_bikeshare.flows.process.progress import Track
from mlops_bikeshare.monitoring.metrics import MODEL
from mlops_bikeshare.serving import launch
from mlops_bikeshare.sources.feed import Feed, Reading

if TYPE_CHECKING:
    import pyarrow as pa

KILL_S = 30
Distortion = Callable[["pa.Table"], "pa.Table"]


@dataclass
class FaultyFeed:
    """A feed that may be dead, or say other counts than there are."""

    inner: Feed
    dead: bool = False
    distortion: Distortion | None = None

    def read_status(self, at: datetime) -> Reading:
        """What the feed says, a failure, or something else."""
        from dataclasses import replace

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


@dataclass
class Production:
    """The city in production, and what was seen of it."""

    ws: Workspace
    city: City
    feed: FaultyFeed
    webhook: Webhook
    track: Track
    stood: list[tuple[datetime, frozenset[str]]] = field(default_factory=list)
    memory: dict[datetime, float] = field(default_factory=dict)
    after: dict[datetime, Callable[[], None]] = field(default_factory=dict)
    beside: Callable[[datetime], None] | None = None

    @property
    def prod(self) -> str:
        """The endpoint in production."""
        return self.ws.settings.endpoint("prod", self.city.name)

    @property
    def staging(self) -> str:
        """The endpoint for challengers."""
        return self.ws.settings.endpoint("staging", self.city.name)

    def run(self, until: datetime) -> None:
        """Polls, batches and judgements from the clock's time to `until`."""
        window = Window(self.ws.now, until)
        after = self._note
        replay.replay(self.ws, self.city, self.feed, window, after_batch=after, track=self.track)

    def silent(self, until: datetime) -> None:
        """Polls alone."""
        for at in Window(self.ws.now, until).steps(step_s=SLOT_S):
            self.ws.advance(at)
            ingest.poll(self.ws, self.city, self.feed, at)
        self.ws.advance(until)

    def kill_host(self) -> None:
        """Kill -9."""
        facts = launch.running(self.ws.path)
        if facts is not None:
            launch.stop(facts, timeout_s=KILL_S, by=signal.SIGKILL)

    def start_host(self) -> None:
        """Start it again, as `make serve` does."""
        serve.start(self.ws)

    def fired(self, name: str, since: datetime) -> datetime | None:
        """When an alarm was first seen standing, from `since` on."""
        return next((at for at, up in self.stood if at >= since and name in up), None)

    def quiet(self, name: str, since: datetime) -> datetime | None:
        """When it was first seen quiet after the last time that it stood, from `since` on."""
        seen = [(at, name in up) for at, up in self.stood if at >= since]
        last = max((i for i, (_, up) in enumerate(seen) if up), default=-1)
        return seen[last + 1][0] if last + 1 < len(seen) else None

    def quiet_after(self, name: str, since: datetime) -> datetime | None:
        """When it was seen quiet for the first time after it fired, from `since` on."""
        fired = self.fired(name, since)
        later = [at for at, up in self.stood if fired and at > fired and name not in up]
        return later[0] if later else None

    def answered(self, window: Window) -> dict[datetime, float]:
        """Share of the stations that the model in production answered, by decision time."""
        of = {"EndpointName": self.prod, "City": self.city.name}
        found = self.ws.metrics.series(
            MODEL, "BatchSuccessRate", of, window=window, statistic="Minimum", period_s=600
        )
        return dict(found)

    def _note(self, ws: Workspace, city: City) -> None:  # noqa: ARG002 - replay's
        kept = alarms.read(ws)
        up = frozenset(name for name, found in kept.items() if found["state"] == "ALARM")
        self.stood.append((ws.now, up))
        held = resident_mb() if ws.now.timestamp() % DAY_S == 0 else None
        if held is not None:
            self.memory[ws.now] = held
        self.after.pop(ws.now, _nothing)()
        if self.beside is not None:
            self.beside(ws.now)


def _nothing() -> None:
    """What is done after most batches."""


def closed_port() -> int:
    """A port of loopback on which nobody answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
