"""Frames that were read, kept while there is room.

Output   the rows of one object, or of the first objects of a partition as one frame, under
         (key or folder, what was asked of it, ...): objects never change, so neither do these. The
         least recently used go when there is no room, and when many others were asked for since
         (the objects of last week); the last one put stays, whatever it takes.

Safe to be used by several threads at once.
"""

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from mlops_bikeshare.lake.partition import is_merged

if TYPE_CHECKING:
    import pandas as pd

Place = tuple[str, ...]
# What a column of a frame takes, however few rows it has: a poll of 40 stations is 30 kB, not 5.
_PER_COLUMN = 300
# Half a day of live mode: what is used every hour stays.
IDLE_LOOKS = 5_000


@dataclass(frozen=True, slots=True)
class Kept:
    """Rows, and the keys of the objects that they come from."""

    keys: list[str]
    rows: "pd.DataFrame"


class Memory:
    """At most `room` values (not rows: a feature row is six times as wide as a status row)."""

    def __init__(self, room: int, *, idle_looks: int = IDLE_LOOKS) -> None:
        self._room, self._idle_looks = room, idle_looks
        self._looks = 0
        self._used: dict[Place, int] = {}
        self._kept: OrderedDict[Place, Kept] = OrderedDict()
        self._lock = Lock()

    def get(self, place: Place) -> Kept | None:
        """What is kept there; it is used now, so others go before it."""
        with self._lock:
            self._looks += 1
            kept = self._kept.get(place)
            if kept is not None:
                self._kept.move_to_end(place)
                self._used[place] = self._looks
            return kept

    def put(self, place: Place, kept: Kept) -> None:
        """Keep it, in place of what was there."""
        with self._lock:
            self._forget(place)
            self._kept[place], self._used[place] = kept, self._looks
            self._room -= _weight(kept.rows)
            while len(self._kept) > 1 and self._too_much():
                self._forget(next(iter(self._kept)))

    def forget(self, place: Place) -> None:
        """Keep it no longer."""
        with self._lock:
            self._forget(place)

    def forget_parts(self, folder: str) -> None:
        """Those of a partition that was merged; one that came late is read again."""
        with self._lock:
            for place in list(self._kept):
                where, _, name = place[0].rpartition("/")
                if place[0] == folder or (where == folder and not is_merged(name)):
                    self._forget(place)

    def _too_much(self) -> bool:
        """Whether what was unused for longest should go."""
        oldest = next(iter(self._kept))
        return self._room < 0 or self._used[oldest] < self._looks - self._idle_looks

    def _forget(self, place: Place) -> None:
        kept = self._kept.pop(place, None)
        if kept is not None:
            self._room += _weight(kept.rows)
            del self._used[place]


def _weight(rows: "pd.DataFrame") -> int:
    return int(rows.size) + _PER_COLUMN * rows.shape[1]
