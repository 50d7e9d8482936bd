"""The local calendar of a city: what the clock on the wall says at UTC seconds.

Input    int64 seconds since 1970 and a time zone.
Output   `Calendar`: int64 arrays of minutes since local midnight and weekday (Monday is 0), and a
         bool array of weekends. Summer time follows the IANA database.
"""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

_SATURDAY = 5


@dataclass(frozen=True, eq=False)
class Calendar:
    """Local minute of day, weekday and weekend of each time."""

    minute: npt.NDArray[np.int64]
    weekday: npt.NDArray[np.int64]
    weekend: npt.NDArray[np.bool_]

    @classmethod
    def at(cls, seconds: npt.NDArray[np.int64], *, zone: ZoneInfo) -> "Calendar":
        """The calendar in `zone` at each of `seconds`."""
        local = [datetime.fromtimestamp(at, zone) for at in seconds.tolist()]
        minute = np.array([at.hour * 60 + at.minute for at in local], dtype=np.int64)
        weekday = np.array([at.weekday() for at in local], dtype=np.int64)
        return cls(minute, weekday, weekday >= _SATURDAY)
