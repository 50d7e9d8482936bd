"""Where the time comes from: the machine, or a replay. A flow never asks the machine itself."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Gives the time now, as an aware UTC datetime; `kind` is stored with the workspace."""

    @property
    def kind(self) -> str:
        """`real` or `simulated`."""
        ...

    def now(self) -> datetime:
        """The time now, UTC."""
        ...


@dataclass(frozen=True, slots=True)
class RealClock:
    """The machine's clock."""

    kind: str = "real"

    def now(self) -> datetime:
        """The machine's time, UTC."""
        return datetime.now(UTC)


@dataclass(slots=True)
class SimulatedClock:
    """A clock that a replay sets; it never goes back."""

    at: datetime
    kind: str = "simulated"

    def now(self) -> datetime:
        """The replay's time, UTC."""
        return self.at

    def set(self, at: datetime) -> None:
        """Move forward to `at`; ValueError if that is in the past."""
        if at < self.at:
            msg = f"a replay's clock cannot go back from {self.at:%F %T} to {at:%F %T}"
            raise ValueError(msg)
        self.at = at


@dataclass(slots=True)
class PacedClock:
    """A clock that runs by itself from `start`, `speed` times as fast as the machine's."""

    start: datetime
    speed: float = 1.0
    kind: str = "simulated"
    monotonic: Callable[[], float] = time.monotonic
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        """Start it."""
        self._began = self.monotonic()

    def now(self) -> datetime:
        """The time it shows, UTC."""
        return self.start + timedelta(seconds=(self.monotonic() - self._began) * self.speed)
