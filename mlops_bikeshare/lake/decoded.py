"""Decoded objects in memory, for as long as they are of use.

Input    a key: the object's own, then what of it was read; a frame, which nobody changes.
Output   the frame again, or None once it had to go: when all take more than their room (longest
         unused first), when many others were asked for meanwhile (the objects of last week), and
         when the object that its own was merged into is read. Safe to share between threads.
"""

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING

from mlops_bikeshare.lake.partition import is_merged, name_of

if TYPE_CHECKING:
    import pandas as pd

Wanted = tuple[str, ...]
# Values, not rows: a feature row is six times as wide as a status row. Two to eight bytes each.
CACHED_VALUES = 50_000_000
# What a column of a frame takes, however few rows it has: a poll of 40 stations is 30 kB, not 5.
PER_COLUMN = 300
# Some hours of live mode: what is used every hour stays.
IDLE_LOOKS = 30_000


class Decoded:
    """A bounded memory of frames."""

    def __init__(self, room: int, *, idle_looks: int = IDLE_LOOKS) -> None:
        self._room, self._idle_looks = room, idle_looks
        self._frames: OrderedDict[Wanted, pd.DataFrame] = OrderedDict()
        self._used: dict[Wanted, int] = {}
        self._looks = 0
        self._lock = Lock()

    def held(self) -> list[Wanted]:
        """What is there, longest unused first."""
        return list(self._frames)

    def get(self, wanted: Wanted) -> "pd.DataFrame | None":
        """The frame, if it is still there."""
        with self._lock:
            self._looks += 1
            rows = self._frames.get(wanted)
            if rows is not None:
                self._frames.move_to_end(wanted)
                self._used[wanted] = self._looks
            return rows

    def put(self, wanted: Wanted, rows: "pd.DataFrame") -> None:
        """Keep a frame."""
        with self._lock:
            if is_merged(name_of(wanted[0])):
                self._forget_parts(_folder(wanted))
            self._forget(wanted)  # another thread may have read it too
            self._frames[wanted], self._used[wanted] = rows, self._looks
            self._room -= _weight(rows)
            while len(self._frames) > 1 and self._too_much():
                self._forget(next(iter(self._frames)))

    def _too_much(self) -> bool:
        """Whether what was unused for longest should go."""
        oldest = next(iter(self._frames))
        return self._room < 0 or self._used[oldest] < self._looks - self._idle_looks

    def _forget_parts(self, folder: str) -> None:
        """The parts of a partition that was merged; one that came late is read again."""
        for wanted in list(self._frames):
            if _folder(wanted) == folder and not is_merged(name_of(wanted[0])):
                self._forget(wanted)

    def _forget(self, wanted: Wanted) -> None:
        rows = self._frames.pop(wanted, None)
        if rows is not None:
            self._room += _weight(rows)
            del self._used[wanted]


def _folder(wanted: Wanted) -> str:
    return wanted[0].rpartition("/")[0]


def _weight(rows: "pd.DataFrame") -> int:
    return int(rows.size) + PER_COLUMN * rows.shape[1]
