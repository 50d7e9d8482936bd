"""Looks at several feeds beside each other: one that is slow keeps no other city waiting.

Input    the feeds of cities, a pace; `at` once per poll.
Output   what each feed said, with the poll that it was asked for. Who has not answered by the end
         of the slot is not waited for: the answer is given when it has come, at a later poll, and
         as long as it is owed, the city's polls fail with `OWED`.

A feed that raises, which none should, costs its own poll alone.
"""

import logging
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

from mlops_bikeshare.flows.process.pace import Pace
from mlops_bikeshare.sources.feed import Feed, Reading

log = logging.getLogger(__name__)
OWED = "no answer yet to the poll before"
# What was read before the end of the slot has been parsed by then: the batch will know it.
_PARSED = timedelta(seconds=5)
# How often to look whether that time has come.
_LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class Said:
    """What a city's feed said to the poll of `tick`."""

    city: str
    tick: datetime
    reading: Reading


class Readings:
    """Asks the feeds; to be used in a `with`, whose end waits for what was asked."""

    def __init__(self, feeds: Mapping[str, Feed], pace: Pace) -> None:
        self.feeds, self._pace = feeds, pace
        self._pool = ThreadPoolExecutor(max(1, len(feeds)))
        self._asked: dict[str, tuple[datetime, Future[Reading]]] = {}

    def __enter__(self) -> Self:
        """Nothing is asked before the first poll."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Let the threads end."""
        self._pool.shutdown()

    def at(self, tick: datetime) -> list[Said]:
        """Ask whoever owes no answer; what has come by the end of the slot, late answers first."""
        late = self._come()
        now = self._pace.now()
        owed = [Said(city, tick, Reading(fetched_at=now, failure=OWED)) for city in self._asked]
        for city in self.feeds:
            if city not in self._asked:
                self._asked[city] = tick, self._pool.submit(self._read, city, tick)
        while self._wait(_LOOK_S) and self._pace.now() < tick + _PARSED:
            pass
        return [*late, *owed, *self._come()]

    def owes(self, city: str) -> bool:
        """Whether a city's feed has not answered yet."""
        return city in self._asked

    def rest(self) -> list[Said]:
        """The answers that are still owed, waited for."""
        self._wait(None)
        return self._come()

    def _wait(self, seconds: float | None) -> bool:
        """Wait a moment, or until all have answered; whether one has not."""
        return bool(wait([future for _, future in self._asked.values()], seconds).not_done)

    def _come(self) -> list[Said]:
        done = [city for city in self.feeds if city in self._asked and self._asked[city][1].done()]
        asked = [(city, *self._asked.pop(city)) for city in done]
        return [Said(city, tick, future.result()) for city, tick, future in asked]

    def _read(self, city: str, tick: datetime) -> Reading:
        try:
            return self.feeds[city].read_status(tick)
        except Exception as error:
            log.exception("poll of %s at %s failed in a way that nobody foresaw", city, tick)
            return Reading(fetched_at=tick, failure=f"unforeseen: {type(error).__name__}")
