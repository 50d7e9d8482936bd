"""Does a frame keep the contract of its table? A quick yes, so that a poll costs little.

Input    a frame with the columns of a table, in order.
Output   True only if the Pandera schema of the table would accept it: every required value there,
         every number in its bounds, no key twice. False says "perhaps not": ask Pandera, which
         names columns, rules and rows.
Method   one vectorised pass per column; a poll costs a fraction of what Pandera takes.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

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
    array = values.array
    if not column.nullable and np.any(array.isna()):
        return False
    if column.low is None and column.high is None:
        return True
    return _inside(column, values)


def _inside(column: Column, values: "pd.Series[Any]") -> bool:
    """Whether every known value lies in the bounds; NaN and null lie nowhere."""
    if values.dtype == object:
        return False
    numbers = values.array.to_numpy(dtype=np.float64, na_value=np.nan)
    # fmin and fmax pass over NaN, unlike min and max.
    low, high = np.fmin.reduce(numbers, initial=np.inf), np.fmax.reduce(numbers, initial=-np.inf)
    return bool(
        (column.low is None or low >= column.low) and (column.high is None or high <= column.high)
    )


def _unique(table: Table, frame: "pd.DataFrame") -> bool:
    """Whether no key comes twice; parts of the key that never change are left out."""
    key = [name for name in table.key if not _constant(frame[name])]
    if len(key) == 1:
        return bool(frame[key[0]].is_unique)
    return len(frame) <= 1 if not key else not frame.duplicated(key).any()


def _constant(values: "pd.Series[Any]") -> bool:
    """Whether a column holds one known value; told from its ends first, which mostly differ."""
    if values.empty or values.isna().iloc[0] or values.iloc[0] != values.iloc[-1]:
        return False
    return bool((values == values.iloc[0]).all())
