"""How times, spans, probabilities and names are written for people: in the city's zone, UTC beside.

What a feed or a person wrote is text: `plain` keeps Markdown from drawing it.
"""

import math
import re
from datetime import UTC, datetime, timedelta
from typing import SupportsFloat
from zoneinfo import ZoneInfo

_MINUTE_S = 60
_HOUR_MIN = 60
_DAY_H = 24
_LEAST, _MOST = 0.01, 0.99
_MARKS = re.compile(r"([\\`*_\[\]<>$|:#~])")
_LISTS = re.compile(r"^(\d+(?=[.)])|(?=[-+]))")


def both_zones(at: datetime, zone: ZoneInfo) -> str:
    """Such as `Wed 1 Sep 2021, 08:10 EDT (12:10 UTC)`."""
    local, utc = at.astimezone(zone), at.astimezone(UTC)
    day = f"{local:%a} {local.day} {local:%b %Y}"
    elsewhere = "" if local.date() == utc.date() else f"{utc:%a} "
    return f"{day}, {local:%H:%M %Z} ({elsewhere}{utc:%H:%M} UTC)"


def span(length: timedelta) -> str:
    """Such as `less than a minute`, `7 min`, `3 h 5 min`, `2 days`."""
    minutes = int(length.total_seconds() // _MINUTE_S)
    if minutes < 1:
        return "less than a minute"
    hours, rest = divmod(minutes, _HOUR_MIN)
    if hours >= 2 * _DAY_H:
        return f"{hours // _DAY_H} days"
    return " ".join(part for part in (hours and f"{hours} h", rest and f"{rest} min") if part)


def chance(p: float) -> str:
    """A probability in whole percent; `unknown` for NaN, and never a rounded certainty."""
    if math.isnan(p):
        return "unknown"
    if 0 < p < _LEAST:
        return "<1%"
    return ">99%" if _MOST < p < 1 else f"{p:.0%}"


def figure(value: object, form: str = ".3f") -> str:
    """A number as asked; `unknown` for None and NaN."""
    if not isinstance(value, SupportsFloat) or math.isnan(float(value)):
        return "unknown"
    return format(float(value), form)


def plain(text: str) -> str:
    """Text inside Markdown, on one line, which draws no link, list, formula or colour."""
    return _LISTS.sub(r"\1\\", _MARKS.sub(r"\\\1", " ".join(text.split())))


def known(value: object) -> bool:
    """Whether a cell of a frame holds something."""
    import pandas as pd

    return not pd.isna(value)  # type: ignore[call-overload]
