"""Frames to Parquet bytes and back, under the contract of their table.

Rows of stations are sorted by station and then time, others by time: within a station counts and
report times change little, so that DELTA_BINARY_PACKED finds small steps (a day of Boston's polls:
160 kB; sorted by time 515 kB; snappy defaults 394 kB). Ids are dictionary-encoded, all is zstd.
`encode` raises TableError with the offending rows; `decode` trusts what `encode` wrote.
"""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlops_bikeshare.domain.contract import conforms
from mlops_bikeshare.domain.errors import TableError
from mlops_bikeshare.domain.tables import (
    STATION,
    Table,
    arrow_schema,
    check_columns,
    pandera_schema,
)

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_PACKED = {"int16", "int32", "int64", "timestamp"}


def validate(table: Table, frame: "pd.DataFrame") -> "pd.DataFrame":
    """The frame in the table's column order; TableError names columns, rules and a few rows."""
    check_columns(table, frame)
    ordered = frame if list(frame.columns) == table.names else frame[table.names]
    if not conforms(table, ordered):
        _explain(table, ordered)
    return ordered


def _explain(table: Table, ordered: "pd.DataFrame") -> None:
    """Let Pandera say what is wrong."""
    import pandera.errors

    try:
        pandera_schema(table).validate(ordered, lazy=True)
    except pandera.errors.SchemaErrors as error:
        cases = error.failure_cases
        first = cases[["column", "check", "failure_case"]].head(5).to_dict("records")
        msg = f"table {table.name}: {len(cases)} values break the contract, such as {first}"
        raise TableError(msg) from None


def encode(table: Table, frame: "pd.DataFrame") -> bytes:
    """Parquet bytes of a validated frame."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    by_station = table.key[0] == STATION.name
    order = [STATION.name, table.partition_by] if by_station else [table.partition_by]
    schema = arrow_schema(table)
    try:
        columns = [_column(frame[field.name], field.type) for field in schema]
        rows = pa.Table.from_arrays(columns, schema=schema)
        rows = rows.sort_by([(name, "ascending") for name in order])
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise TableError(f"table {table.name}: {error}") from None
    sink = io.BytesIO()
    pq.write_table(
        rows,
        sink,
        compression="zstd",
        use_dictionary=[c.name for c in table.columns if c.kind == "string"],
        column_encoding={c.name: "DELTA_BINARY_PACKED" for c in table.columns if c.kind in _PACKED},
    )
    return sink.getvalue()


def _column(values: "pd.Series[Any]", kind: "pa.DataType") -> "pa.Array":
    import pyarrow as pa

    if pa.types.is_timestamp(kind):
        # pyarrow asks pandas for aware times in a way that pandas is about to change.
        return pa.array(values.to_numpy(dtype="datetime64[ms]"), type=kind)
    return pa.array(values, type=kind, from_pandas=True)


def decode(
    body: bytes, columns: Sequence[str], where: tuple[str, object] | None = None
) -> "pd.DataFrame":
    """The named columns of an object, of the rows that hold the value in the column of `where`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = pq.read_table(
        pa.BufferReader(body),
        columns=list(columns),
        filters=[(where[0], "=", where[1])] if where else None,
    )
    return rows.to_pandas()  # type: ignore[no-any-return]
