"""Frames to Parquet bytes and back, under the contract of their table.

Rows of stations are sorted by station and then time, others by time: within a station counts and
report times change little, so that DELTA_BINARY_PACKED finds small steps (a day of Boston's polls:
160 kB; sorted by time 515 kB; snappy defaults 394 kB). Ids are dictionary-encoded, all is zstd.
`encode` raises TableError with the offending rows; `decode` trusts what `encode` wrote. `merge`
makes one object of many, which says what it holds.
"""

import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlops_bikeshare.domain.contract import conforms
from mlops_bikeshare.domain.errors import LakeError, TableError
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

PART = "part"
_HELD = b"bikeshare.held"


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

    schema = arrow_schema(table)
    try:
        columns = [_column(frame[field.name], field.type) for field in schema]
        rows = _sorted(table, pa.Table.from_arrays(columns, schema=schema))
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise TableError(f"table {table.name}: {error}") from None
    return _written(rows)


def merge(table: Table, parts: "Sequence[tuple[str, bytes]]", held: Sequence[str]) -> bytes:
    """One object with the rows of all `parts` (name, body), which it names as held.

    A part that is a merged object itself keeps the names of its own parts. The column `PART` says
    which of the held names each row came from.
    """
    import pyarrow as pa

    place = {name: i for i, name in enumerate(held)}
    whole = pa.concat_tables(
        [_placed(name, body, place) for name, body in parts], promote_options="default"
    )
    rows = _sorted(table, whole)
    if rows.num_rows != sum(_rows(body) for _, body in parts):
        raise LakeError(f"merging {table.name}: rows went missing; nothing was written")
    return _written(rows.replace_schema_metadata({_HELD: json.dumps(list(held))}))


def held_by(body: bytes) -> list[str]:
    """The names that a merged object stands for; none for a part."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    told = pq.read_schema(pa.BufferReader(body)).metadata or {}
    names: list[str] = json.loads(told.get(_HELD, b"[]"))
    return names


def _placed(name: str, body: bytes, place: dict[str, int]) -> "pa.Table":
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = pq.read_table(pa.BufferReader(body)).replace_schema_metadata(None)
    before = held_by(body)
    if not before:
        return rows.append_column(PART, pa.array(np.full(len(rows), place[name], dtype=np.int32)))
    moved = np.array([place[part] for part in before], dtype=np.int32)
    where = rows.column_names.index(PART)
    return rows.set_column(where, PART, pa.array(moved[rows[PART].to_numpy()]))


def _rows(body: bytes) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    count: int = pq.read_metadata(pa.BufferReader(body)).num_rows
    return count


def _sorted(table: Table, rows: "pa.Table") -> "pa.Table":
    by_station = table.key[0] == STATION.name
    order = [STATION.name, table.partition_by] if by_station else [table.partition_by]
    return rows.sort_by([(name, "ascending") for name in order])


def _written(rows: "pa.Table") -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {field.name: field.type for field in rows.schema}
    whole = [n for n, k in kinds.items() if pa.types.is_integer(k) or pa.types.is_timestamp(k)]
    sink = io.BytesIO()
    pq.write_table(
        rows,
        sink,
        compression="zstd",
        use_dictionary=[n for n, kind in kinds.items() if pa.types.is_string(kind)],
        column_encoding=dict.fromkeys(whole, "DELTA_BINARY_PACKED"),
    )
    return sink.getvalue()


def _column(values: "pd.Series[Any]", kind: "pa.DataType") -> "pa.Array":
    import pyarrow as pa

    if pa.types.is_timestamp(kind):
        # pyarrow asks pandas for aware times in a way that pandas is about to change.
        return pa.array(values.to_numpy(dtype="datetime64[ms]"), type=kind)
    return pa.array(values, type=kind, from_pandas=True)


def decode(
    body: bytes,
    columns: Sequence[str],
    where: tuple[str, object] | None = None,
    *,
    table: Table | None = None,
) -> "pd.DataFrame":
    """The named columns of an object, of the rows that hold the value in the column of `where`.

    A column that `table` got after the object was written is null.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    there = set(pq.read_schema(pa.BufferReader(body)).names) if table else set(columns)
    rows = pq.read_table(
        pa.BufferReader(body),
        columns=[name for name in columns if name in there],
        filters=[(where[0], "=", where[1])] if where else None,
    )
    if table and not there.issuperset(columns):
        kinds = {field.name: field.type for field in arrow_schema(table)}
        for name in columns:
            if name not in there:
                rows = rows.append_column(name, pa.nulls(len(rows), kinds[name]))
    return rows.select(list(columns)).to_pandas()  # type: ignore[no-any-return]
