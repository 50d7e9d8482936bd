"""Does a frame keep the contract of its table? A quick yes, so that a poll costs little.

Input    `to_arrow`: a frame with the columns of a table. `conforms`: what came of it.
Output   `to_arrow`: the columns of the table, in its order and types; NaN and NaT are null.
         `conforms`: True only if the Pandera schema of the table would accept the frame: every
         required value there, every number in its bounds, no key twice. False says "perhaps not":
         ask Pandera, which names columns, rules and rows.
Raises   `to_arrow`: pyarrow's ArrowInvalid or ArrowTypeError for a value that its column cannot
         hold.
Method   one pass of Arrow per column that has a rule; a poll costs a fraction of what Pandera
         takes.
"""

from typing import TYPE_CHECKING, Any

from mlops_bikeshare.domain.tables import Column, Table, arrow_schema

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def to_arrow(table: Table, frame: "pd.DataFrame") -> "pa.Table":
    """The frame under the table's own schema."""
    return under(arrow_schema(table), frame)


def under(schema: "pa.Schema", frame: "pd.DataFrame") -> "pa.Table":
    """The frame under a schema."""
    import pyarrow as pa

    columns = [_column(frame[field.name], field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def to_frame(rows: "pa.Table") -> "pd.DataFrame":
    """Arrow rows as a frame; counts and flags keep their types beside nulls."""
    import pandas as pd
    import pyarrow as pa

    kinds = {pa.int16(): pd.Int16Dtype(), pa.bool_(): pd.BooleanDtype()}
    return rows.to_pandas(types_mapper=kinds.get)  # type: ignore[no-any-return]


def conforms(table: Table, rows: "pa.Table") -> bool:
    """Whether the rows surely keep the table's contract."""
    kept = all(_kept(column, rows.column(column.name)) for column in table.columns)
    return kept and _unique(table, rows)


def _column(values: "pd.Series[Any]", kind: "pa.DataType") -> "pa.Array":
    import pandas as pd
    import pyarrow as pa

    if pa.types.is_timestamp(kind) and isinstance(values.dtype, pd.DatetimeTZDtype):
        # pyarrow asks pandas for aware times in a way that pandas is about to change.
        return pa.array(values.to_numpy(dtype="datetime64[ms]"), type=kind)
    return pa.array(values, type=kind, from_pandas=True)


def _kept(column: Column, values: "pa.ChunkedArray") -> bool:
    if not column.nullable and values.null_count:
        return False
    if column.low is None and column.high is None:
        return True
    import pyarrow.compute as pc

    ends = pc.min_max(values)
    low, high = ends["min"].as_py(), ends["max"].as_py()
    if low is None:  # nothing is known
        return True
    return bool(
        (column.low is None or low >= column.low) and (column.high is None or high <= column.high)
    )


def _unique(table: Table, rows: "pa.Table") -> bool:
    """Whether no key comes twice; mostly its first column alone says so."""
    import pyarrow.compute as pc

    if pc.count_distinct(rows.column(table.key[0]), mode="all").as_py() == rows.num_rows:
        return True
    keys = rows.group_by(list(table.key), use_threads=False).aggregate([])
    return bool(keys.num_rows == rows.num_rows)
