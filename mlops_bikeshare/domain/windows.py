"""Slots, decision times and half-open windows. All times are UTC.

A slot is named by its end: slot *s* covers (s - 5 min, s]. Decision times lie on every tenth
minute. Windows are half-open, [start, end). Kernels use int64 seconds since 1970; everything
else uses aware datetimes.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from mlops_bikeshare.domain.errors import InputError

SLOT_S = 300
CADENCE_S = 600
DAY_S = 86_400
_HOURS = re.compile(r"^([1-9]|[1-9]\d|1[0-5]\d|16[0-8])h$")
_RANGE = re.compile(r"^(\S*?)\.\.(\S*)$")


def to_seconds(at: datetime) -> int:
    """Whole seconds since 1970; `at` must be aware."""
    return int(at.timestamp())


def from_seconds(seconds: int) -> datetime:
    """The aware UTC datetime of whole seconds since 1970."""
    return datetime.fromtimestamp(int(seconds), UTC)


def floor_time(at: datetime, *, step_s: int = CADENCE_S) -> datetime:
    """The newest multiple of `step_s` at or before `at`."""
    return from_seconds(to_seconds(at) // step_s * step_s)


def stamp(at: datetime) -> str:
    """Compact UTC text for object names and keys, such as 20210901T001000Z."""
    return at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


@dataclass(frozen=True, slots=True)
class Window:
    """Half-open [start, end), aware UTC datetimes, start < end."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        """Refuse an empty or reversed window."""
        if self.start >= self.end:
            msg = f"empty range {self}: the start must lie before the end"
            raise InputError(msg)

    @classmethod
    def day(cls, day: date) -> "Window":
        """The UTC day."""
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        return cls(start, start + timedelta(days=1))

    @classmethod
    def before(cls, end: datetime, *, hours: int = 24) -> "Window":
        """The `hours` before `end`, which is floored to a decision time."""
        end = floor_time(end)
        return cls(end - timedelta(hours=hours), end)

    @classmethod
    def parse(cls, text: str, *, key: str) -> "Window":
        """Read `2021-06-01..2021-08-25` (dates or ISO times, UTC); InputError names `key`."""
        found = _RANGE.match(text)
        if not found:
            msg = f"{key}: expected START..END such as 2021-06-01..2021-08-25, got {text!r}"
            raise InputError(msg)
        start, end = (parse_time(part, key=key) for part in found.groups())
        return cls(start, end)

    @property
    def duration(self) -> timedelta:
        """Length of the window."""
        return self.end - self.start

    def days(self) -> list[date]:
        """The UTC dates that the window touches."""
        last = (self.end - timedelta(microseconds=1)).date()
        count = (last - self.start.date()).days + 1
        return [self.start.date() + timedelta(days=i) for i in range(count)]

    def steps(self, *, step_s: int = CADENCE_S) -> Iterator[datetime]:
        """Multiples of `step_s` in [start, end)."""
        at = -(-to_seconds(self.start) // step_s) * step_s
        while at < to_seconds(self.end):
            yield from_seconds(at)
            at += step_s

    def widened(self, *, step_s: int) -> "Window":
        """The window with its ends moved outwards to multiples of `step_s`."""
        end = -(-to_seconds(self.end) // step_s) * step_s
        return Window(floor_time(self.start, step_s=step_s), from_seconds(end))

    def __contains__(self, at: datetime) -> bool:
        """Whether start <= at < end."""
        return self.start <= at < self.end

    def __str__(self) -> str:
        """Readable form, parsed back by `parse`."""
        return f"{_text(self.start)}..{_text(self.end)}"


def parse_time(text: str, *, key: str) -> datetime:
    """Read a date or an ISO time as UTC; InputError names `key`."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        msg = f"{key}: expected a UTC date or time such as 2021-09-01T08:00, got {text!r}"
        raise InputError(msg) from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def parse_hours(text: str, *, key: str) -> int:
    """Read `24h` as 24; InputError names `key`."""
    found = _HOURS.match(text)
    if not found:
        msg = f"{key}: expected hours such as 24h, from 1h to 168h, got {text!r}"
        raise InputError(msg)
    return int(found[1])


def _text(at: datetime) -> str:
    return f"{at:%Y-%m-%d}" if (at.hour, at.minute) == (0, 0) else f"{at:%Y-%m-%dT%H:%M}"
