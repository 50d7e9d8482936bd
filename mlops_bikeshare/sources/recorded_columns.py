"""The columns of a recording, brought to the kinds of the lake's tables or refused.

Input    the file a frame was read from (for messages), the frame, and the table's `Column`.
Output   one Series each: counts as Int16, coordinates as float64, flags as boolean, ids as str,
         times as datetime64[…, UTC]. What the file does not say is missing.
Raises   SourceError naming file, column, what was expected and the first value that is not it.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_bikeshare.domain.errors import SourceError
from mlops_bikeshare.domain.tables import Column

if TYPE_CHECKING:
    import pandas as pd

LATEST_S = 1 << 34  # the year 2514: larger than any time that is meant
_KINDS: dict[str, Any] = {"int16": "Int16", "float64": "float64"}


def number(path: Path, frame: "pd.DataFrame", column: Column) -> "pd.Series[Any]":
    """Counts or coordinates within the bounds of the table."""
    import pandas as pd

    values = _whole_column(frame, column.name)
    whole = column.kind == "int16"
    expected = f"{'whole ' if whole else ''}numbers from {column.low} to {column.high}"
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        raise _not(path, column.name, expected, values.dropna())
    known = values.to_numpy(dtype=float, na_value=np.nan)
    missing = np.isnan(known)
    if missing.any() and not column.nullable:
        raise _not(path, column.name, expected, values[missing])
    bad = ~missing & ~((known >= column.low) & (known <= column.high))
    if whole and not bad.any():
        bad = ~missing & (known % 1 != 0)
    if bad.any():
        raise _not(path, column.name, expected, values[bad])
    checked: pd.Series[Any] = values.astype(_KINDS[column.kind])
    return checked


def flag(
    path: Path, frame: "pd.DataFrame", name: str, *, nullable: bool = True
) -> "pd.Series[Any]":
    """True or false, or 1 and 0 as feeds of GBFS 1 say it."""
    import pandas as pd

    values = _whole_column(frame, name)
    expected = f"true or false{'' if nullable else ' in every row'}"
    if not pd.api.types.is_numeric_dtype(values):
        raise _not(path, name, expected, values.dropna())
    bad = ~(values.isin([0, 1]) | (values.isna() & nullable))
    if bad.any():
        raise _not(path, name, expected, values[bad])
    checked: pd.Series[Any] = values.astype("boolean")
    return checked


def time(
    path: Path, frame: "pd.DataFrame", name: str, *, optional: "pd.Series[Any] | None" = None
) -> "pd.Series[Any]":
    """Aware times since 1970; only the rows of `optional` may lack one."""
    import pandas as pd

    values = frame[name]
    if not isinstance(values.dtype, pd.DatetimeTZDtype):
        raise SourceError(f"{path}: {name} must be an aware UTC time, got {values.dtype}")
    missing = values.isna() if optional is None else values.isna() & ~optional
    if missing.any():
        raise _not(path, name, "a time in every row", values[missing])
    utc: pd.Series[Any] = values.dt.tz_convert("UTC")
    first, last = pd.Timestamp(0, tz="UTC"), pd.Timestamp(LATEST_S, unit="s", tz="UTC")
    bad = (utc < first) | (utc >= last)
    if bad.any():
        raise _not(path, name, f"times from {first:%Y} to {last:%Y}", utc[bad])
    return utc


def ident(
    path: Path, frame: "pd.DataFrame", name: str, *, nullable: bool = False
) -> "pd.Series[Any]":
    """Ids as text; whole numbers become theirs, fractions have none."""
    import pandas as pd

    if nullable and (name not in frame or frame[name].isna().all()):
        return pd.Series(None, index=frame.index, dtype="str")
    values, of = frame[name], pd.api.types
    if nullable and of.is_float_dtype(values) and (values.dropna() % 1 == 0).all():
        values = values.astype("Int64")  # whole numbers with gaps
    missing = values.isna()
    if missing.any() and not nullable:
        raise _not(path, name, "an id in every row", values[missing])
    named = isinstance(values.dtype, pd.CategoricalDtype) or of.is_string_dtype(values)
    if not named and not of.is_integer_dtype(values):
        raise _not(path, name, "ids as text or whole numbers", values)
    ids: pd.Series[Any] = values.astype("str")
    return ids


def _whole_column(frame: "pd.DataFrame", name: str) -> "pd.Series[Any]":
    """The column; one that is absent or empty throughout, as missing numbers."""
    import pandas as pd

    if name in frame and not frame[name].isna().all():
        # pandas reads booleans with gaps as objects
        return frame[name].convert_dtypes() if frame[name].dtype == object else frame[name]
    return pd.Series(pd.NA, index=frame.index, dtype="Int16")


def _not(path: Path, name: str, expected: str, bad: "pd.Series[Any]") -> SourceError:
    first = "nothing" if bad.isna().iloc[0] else repr(bad.tolist()[0])
    others = f" (and {len(bad) - 1:,} more such rows)" if len(bad) > 1 else ""
    return SourceError(f"{path}: column {name}: expected {expected}, got {first}{others}")
