"""How live mode lets time pass: by a clock that runs by itself, or by one that is set.

`Running` waits on a clock (the machine's, or a replay's that runs faster) until a stop is asked
for. `Lockstep` sets a simulated clock to what is waited for: a day in as long as its work takes.
"""

import threading
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mlops_bikeshare.domain.clock import Clock, SimulatedClock


class Pace(Protocol):
    """Whose time it is, and how to let it pass."""

    def now(self) -> datetime:
        """The time."""
        ...

    def wait_until(self, at: datetime) -> bool:
        """Let the time come; False when the work shall end instead."""
        ...


@dataclass(frozen=True, slots=True)
class Running:
    """A clock that runs `speed` times as fast as the machine's; `until` ends the work."""

    clock: Clock
    stop: threading.Event
    speed: float = 1.0
    until: datetime | None = None

    def now(self) -> datetime:
        """The clock's time."""
        return self.clock.now()

    def wait_until(self, at: datetime) -> bool:
        """Wait; False when asked to stop, or when `at` lies past the end."""
        if self.until is not None and at > self.until:
            return False
        left = (at - self.clock.now()).total_seconds() / self.speed
        return not self.stop.wait(max(0.0, left))


@dataclass(frozen=True, slots=True)
class Lockstep:
    """A clock that stands still until the next thing is due."""

    clock: SimulatedClock
    until: datetime

    def now(self) -> datetime:
        """The clock's time."""
        return self.clock.now()

    def wait_until(self, at: datetime) -> bool:
        """Set the clock; False past the end."""
        if at > self.until:
            return False
        if at > self.clock.at:
            self.clock.set(at)
        return True
