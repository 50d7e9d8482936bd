"""Production under drill: a city's polls, batches and judgements, with faults to be switched on.

`Production.run` replays up to a time and notes after every batch which alarms stand; `after` says
what else is done after the batch of a time, `beside` after every batch. `silent`: polls alone, as
when a batch was missed.
`memory`: what the process held at each midnight, in megabytes.
"""

import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.windows import CADENCE_S, DAY_S, SLOT_S, Window
from mlops_bikeshare.flows import alarms, ingest, replay, serve
from mlops_bikeshare.flows.drilling.outside import FaultyFeed, Webhook
from mlops_bikeshare.flows.process.memory import resident_mb
from mlops_bikeshare.flows.process.progress import Track
from mlops_bikeshare.monitoring.metrics import MODEL
from mlops_bikeshare.serving import launch

KILL_S = 30
TICK = timedelta(seconds=CADENCE_S)
# The share of stations from which on a batch counts as full.
FULL = 0.99


@dataclass(frozen=True, slots=True)
class Seen:
    """When an alarm of production was first seen standing, and then quiet."""

    fired: datetime | None
    quiet: datetime | None


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
        """Polls, batches and judgements from the clock's time to `until`, unless it is that."""
        if until == self.ws.now:
            return
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

    def workers(self) -> list[int]:
        """The processes that hold the models; none when the host is down, or without /proc."""
        facts = launch.running(self.ws.path)
        return [] if facts is None else _children(facts.pid)

    def seen(self, alarm: str, since: datetime) -> Seen:
        """An alarm of the endpoint in production, from `since` on."""
        name = f"{self.prod}-{alarm}"
        return Seen(self.fired(name, since), self.quiet_after(name, since))

    def full_again(self, since: datetime) -> datetime | None:
        """The first decision time from `since` on that was answered in full."""
        found = self.answered(Window(since, self.ws.now + TICK))
        return min((at for at, share in found.items() if share >= FULL), default=None)

    def all_full(self, window: Window) -> bool:
        """Whether every batch of `window` was answered in full."""
        shares = self.answered(window).values()
        return len(shares) == window.duration // TICK and all(share >= FULL for share in shares)

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


def _children(pid: int) -> list[int]:
    """Processes that any thread of a process started."""
    found = []
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended since
            found += [int(child) for child in listed.read_text("ascii").split()]
    return found
