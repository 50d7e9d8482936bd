"""What happened at stations, one int64 per change, so that a month of a city fits in memory.

Input    station (index), time (seconds since 1970, below 2^36) and Change.
Output   entries that sort by station, then time; read back with `unpack`.
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
_SHIFT_BITS, _KIND_BITS = 36, 4
_KIND_MASK, _TIME_MASK = (1 << _KIND_BITS) - 1, (1 << _SHIFT_BITS) - 1


class Change(IntEnum):
    """What happened at a station."""

    REPORT = 0
    TAKE = 1
    RETURN = 2
    BREAK = 3
    REPAIR = 4
    DOCK_BREAKS = 5
    DOCK_REPAIRED = 6
    CLOSE = 7
    OPEN = 8
    REMOVE = 9
    INSTALL = 10
    COLLECT = 11  # a disabled bike goes to the depot


def pack(station: int, at_s: int, change: int) -> int:
    """One ledger entry; entries sort by station, then time."""
    return (station << _SHIFT_BITS + _KIND_BITS) | (at_s << _KIND_BITS) | change


def unpack(ledger: Ints) -> tuple[Ints, Ints, Ints]:
    """Stations, times and changes of ledger entries."""
    return (
        ledger >> (_SHIFT_BITS + _KIND_BITS),
        (ledger >> _KIND_BITS) & _TIME_MASK,
        ledger & _KIND_MASK,
    )
