"""What is supposed, and when it would be.

Input    values as a person gives them, local times; None leaves an input as it is.
Output   `Changes`; `shift_s`, seconds from dt to the supposed time.
Raises   InputError naming the flag of a value that cannot be.
"""

from calendar import monthrange
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from mlops_bikeshare.domain.errors import InputError

WEATHER = ("temperature_c", "humidity_pct", "precipitation_mm")
_BOUNDS: Mapping[str, tuple[float, float]] = {
    "bikes": (0, 2000),
    "bikes_more": (-2000, 2000),
    "temperature_c": (-90, 60),
    "humidity_pct": (0, 100),
    "precipitation_mm": (0, 500),
    "hour": (0, 23),
    "weekday": (0, 6),
    "month": (1, 12),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What is supposed; None is as it is. Times are local, Monday is 0.

    `bikes`: of one station now; `bikes_more`: added to every station, as far as it holds them.
    """

    bikes: int | None = None
    bikes_more: int | None = None
    temperature_c: float | None = None
    humidity_pct: float | None = None
    precipitation_mm: float | None = None
    hour: int | None = None
    weekday: int | None = None
    month: int | None = None

    def __post_init__(self) -> None:
        """InputError for a value that cannot be."""
        for name, value in self.given.items():
            low, high = _BOUNDS[name]
            if not low <= value <= high:
                flag = name.replace("_", "-")
                raise InputError(f"--{flag} {value:g}: expected {low:g} to {high:g}")

    @property
    def given(self) -> dict[str, float]:
        """The inputs that were changed."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def shift_s(changes: Changes, dt: datetime, zone: ZoneInfo) -> int:
    """Seconds from dt to the nearest date of the supposed month and weekday, at that hour."""
    local = dt.astimezone(zone)
    if changes.hour is changes.weekday is changes.month is None:
        return 0
    month = changes.month or local.month
    weekday = local.weekday() if changes.weekday is None else changes.weekday
    hour = local.hour if changes.hour is None else changes.hour
    days = range(1, monthrange(local.year, month)[1] + 1)
    dates = [local.replace(month=month, day=day, hour=hour) for day in days]
    that_day = min(
        (date for date in dates if date.weekday() == weekday),
        key=lambda date: abs(date.day - local.day),
    )
    return int(that_day.timestamp() - dt.timestamp())
