"""Columns of JSON values to arrays: quick where a feed is well formed, careful where it is not.

Input    a list with one JSON value per station; None where the station does not say.
Output   `counts`, `degrees`: float64, NaN where not given, inf for what is no such number.
         `flags`: int8, 1 yes, 0 no, -1 not given, -2 for what is neither.
         `times`: datetime64[ms], NaT where not given or not a time.
         `ids`, `names`: lists of text; None where there is none.
Source   GBFS: 1.x writes flags as 0 and 1 and times as POSIX seconds, 2.x booleans, 3.x RFC 3339
         times and names as `[{"text": ..., "language": ...}]`. Seen in feeds: numbers in quotes,
         milliseconds, ids as numbers.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.tables import Column

Floats = NDArray[np.float64]
Times = NDArray[np.datetime64]
GIVEN_NOT, WRONG = -1, -2
UNKNOWN_TIME = np.datetime64("NaT", "ms")
_LONGEST_ID = 255
_LONGEST_NUMBER = 20
# POSIX seconds have ten digits until the year 2286; longer ones are milliseconds.
_MILLISECONDS_FROM = 1e11
_LATEST_S = 253_402_300_800.0  # the year 10000
LATEST_MS = 1000 * _LATEST_S
_RFC3339 = re.compile(r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|z|[+-]\d\d:?\d\d)?$")
_FLAGS = {
    None: GIVEN_NOT, True: 1, False: 0, "1": 1, "0": 0,
    "true": 1, "false": 0, "True": 1, "False": 0,
}  # fmt: skip


def counts(values: list[Any]) -> Floats:
    """Whole numbers; a sign is kept, for the contract to refuse."""
    return _numbers(values, {int, type(None)}, _whole)


def degrees(values: list[Any]) -> Floats:
    """Decimal numbers."""
    return _numbers(values, {int, float, type(None)}, _decimal)


def flags(values: list[Any]) -> NDArray[np.int8]:
    """Yes or no."""
    kinds = set(map(type, values))
    if kinds == {type(None)}:
        return np.full(len(values), GIVEN_NOT, dtype=np.int8)
    if kinds == {bool}:
        return np.frombuffer(bytes(values), dtype=np.int8)
    try:
        return np.array([_FLAGS.get(value, WRONG) for value in values], dtype=np.int8)
    except TypeError:  # a list or an object, which has no hash
        found = [_FLAGS.get(v, WRONG) if not isinstance(v, list | dict) else WRONG for v in values]
        return np.array(found, dtype=np.int8)


def times(values: list[Any]) -> Times:
    """POSIX seconds (or milliseconds) and RFC 3339 texts; without an offset they are UTC."""
    kinds = set(map(type, values))
    if kinds == {int}:
        return _posix(counts(values))
    texts = [i for i, value in enumerate(values) if isinstance(value, str) and not value.isdigit()]
    if len(texts) == len(values):
        return _texts(values)
    numbers = list(values)
    for i in texts:
        numbers[i] = None
    found = _posix(counts(numbers))
    if texts:
        found[texts] = _texts([values[i] for i in texts])
    return found


def without_offset(text: str) -> bool:
    """Whether a time does not say in which zone it is."""
    found = _RFC3339.match(text)
    return found is not None and found.group(3) is None


def ids(values: list[Any]) -> list[str | None]:
    """Ids as text, zeros kept; whole numbers count, as some feeds write them."""
    if set(map(type, values)) == {str} and "".join(values).isascii():
        lengths = list(map(len, values))
        if min(lengths) > 0 and max(lengths) <= _LONGEST_ID:
            return list(values)
    return [_id(value) for value in values]


def names(values: list[Any], *, language: str | None) -> list[str | None]:
    """Names as text, in `language` where there are several, else in the first."""
    return [_text(_localised(value, language)) for value in values]


def bounded(column: Column, numbers: Floats) -> NDArray[np.bool_]:
    """Whether each number lies in the bounds of the column's contract; NaN does not."""
    low = -np.inf if column.low is None else column.low
    high = np.inf if column.high is None else column.high
    inside: NDArray[np.bool_] = (numbers >= low) & (numbers <= high)
    return inside


def writable(text: str) -> bool:
    """Whether a text can be stored: half of a surrogate pair, which JSON can spell, cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _numbers(values: list[Any], plain: set[type], careful: Any) -> Floats:
    kinds = set(map(type, values))
    if kinds == {type(None)}:
        return np.full(len(values), np.nan)
    try:
        if kinds <= plain:
            return np.array(values, dtype=np.float64)
    except OverflowError:
        pass
    return np.array([careful(value) for value in values], dtype=np.float64)


def _whole(value: object) -> float:
    if value is None:
        return np.nan
    number = _decimal(value)
    return number if number.is_integer() else np.inf


def _decimal(value: object) -> float:
    if value is None:
        return np.nan
    quoted = isinstance(value, str) and len(value) <= _LONGEST_NUMBER
    if isinstance(value, bool) or not (isinstance(value, int | float) or quoted):
        return np.inf
    try:
        number = float(value)  # type: ignore[arg-type]
    except (ValueError, OverflowError):
        return np.inf
    return np.inf if np.isnan(number) else number


def _posix(seconds: Floats) -> Times:
    scaled = np.where(np.abs(seconds) >= _MILLISECONDS_FROM, seconds / 1000, seconds)
    known = (scaled >= 0) & (scaled < _LATEST_S)
    stamps = (np.where(known, scaled, 0) * 1000).astype("M8[ms]")
    return np.where(known, stamps, UNKNOWN_TIME)


def _texts(values: Sequence[str]) -> Times:
    import pandas as pd

    # Nothing but a time passes: pandas would read "now" and "2021" too.
    written = [value if _RFC3339.match(value) else None for value in values]
    read = pd.to_datetime(
        pd.Series(written, dtype="object"), utc=True, format="ISO8601", errors="coerce"
    )
    found: Times = read.dt.tz_localize(None).to_numpy().astype("M8[ms]")
    return found


def _id(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < 10**18 else None
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_ID:
        return None
    return value if value.isascii() or writable(value) else None


def _localised(value: object, language: str | None) -> object:
    if not isinstance(value, list):
        return value
    said = [item for item in value if isinstance(item, dict) and isinstance(item.get("text"), str)]
    wanted = [item for item in said if item.get("language") == language]
    return (wanted or said or [{}])[0].get("text")


def _text(value: object) -> str | None:
    if not isinstance(value, str) or not value.strip():
        return None
    return (
        value if value.isascii() or writable(value) else value.encode("utf-8", "replace").decode()
    )
