"""Frames to Parquet bytes and back, under the contract of their table.

Rows of stations are sorted by station and then time, others by time: within a station counts
change little, so that DELTA_BINARY_PACKED finds small steps, and report times repeat, which zstd
finds in them as they are (decision 0005). Ids, and times that stations share, are
dictionary-encoded. All of these but the report times are snappy, which is read faster, the rest is
zstd; a poll, which is written in haste and merged the day after, keeps the order of its feed and
is snappy but for its ids, each of which it holds once.
`validate` raises TableError with the offending rows; `decode` trusts what `encode` wrote. `merge`
makes one object of many, which says what it holds.
"""

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mlops_bikeshare.domain.contract import conforms, to_arrow, to_frame
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
OWN_TIME = "last_reported"  # of each station; other times are those of a poll
_HELD = b"bikeshare.held"


def validate(table: Table, given: "pd.DataFrame | pa.Table") -> "pa.Table":
    """The rows in the table's order and types; TableError names columns, rules and a few rows."""
    import pyarrow as pa

    if isinstance(given, pa.Table):
        rows = given if given.schema == arrow_schema(table) else validate(table, to_frame(given))
    else:
        rows = _converted(table, given)
    if not conforms(table, rows):
        _explain(table, to_frame(rows))
    return rows


def _converted(table: Table, frame: "pd.DataFrame") -> "pa.Table":
    import pyarrow as pa

    check_columns(table, frame)
    try:
        return to_arrow(table, frame)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        _explain(table, frame)
        raise TableError(f"table {table.name}: {error}") from None


def _explain(table: Table, frame: "pd.DataFrame") -> None:
    """Let Pandera say what is wrong."""
    import pandera.errors

    try:
        pandera_schema(table).validate(frame[table.names], lazy=True)
    except pandera.errors.SchemaErrors as error:
        cases = error.failure_cases
        first = cases[["column", "check", "failure_case"]].head(5).to_dict("records")
        msg = f"table {table.name}: {len(cases)} values break the contract, such as {first}"
        raise TableError(msg) from None


def encode(table: Table, rows: "pa.Table") -> bytes:
    """Parquet bytes of validated rows."""
    if _one_moment(table, rows):
        return _written(rows, quick=True)
    return _written(_sorted(table, rows))


def merge(table: Table, parts: "Sequence[tuple[str, bytes]]", held: Sequence[str]) -> bytes:
    """One object with the rows of all `parts` (name, body), which it names as held.

    LakeError names a part that is damaged.
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


@contextmanager
def naming(key: str) -> Iterator[None]:
    """Name the object that is damaged: half a file, or another kind of file."""
    import pyarrow as pa

    try:
        yield
    except (MemoryError, pa.ArrowCancelled):
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        said = str(error).partition("\n")[0] or type(error).__name__
        msg = f"{key} of the lake is damaged ({said})"
        raise LakeError(f"{msg}; put it back from a copy, see docs/runbook.md#training") from error


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

    with naming(f"part {name}"):
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


def _one_moment(table: Table, rows: "pa.Table") -> bool:
    """Whether every station is there once, as in a poll."""
    import pyarrow.compute as pc

    if table.key != (STATION.name, table.partition_by):
        return False
    ends = pc.min_max(rows[table.partition_by])
    return bool(ends["min"] == ends["max"])


def _sorted(table: Table, rows: "pa.Table") -> "pa.Table":
    by_station = table.key[0] == STATION.name
    order = [STATION.name, table.partition_by] if by_station else [table.partition_by]
    return rows.sort_by([(name, "ascending") for name in order])


def _written(rows: "pa.Table", *, quick: bool = False) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {field.name: field.type for field in rows.schema}
    whole = [n for n, k in kinds.items() if pa.types.is_integer(k) or pa.types.is_timestamp(k)]
    texts = {n for n, kind in kinds.items() if pa.types.is_string(kind)}
    times = {n for n, kind in kinds.items() if pa.types.is_timestamp(kind)}
    few = set() if quick else (texts | times) - {OWN_TIME}
    small = {n for n, k in kinds.items() if k in {pa.int16(), pa.bool_()}}
    light = set(kinds) - texts if quick else small | times - {OWN_TIME} | {STATION.name}
    plain = set() if quick else {OWN_TIME}
    sink = io.BytesIO()
    pq.write_table(
        rows,
        sink,
        compression={n: "snappy" if n in light else "zstd" for n in kinds},
        use_dictionary=[name for name in kinds if name in few],
        column_encoding={n: "DELTA_BINARY_PACKED" for n in whole if n not in few | plain},
    )
    return sink.getvalue()


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
    known = [name for name in columns if name in there]
    if where:
        filters = [(where[0], "=", where[1])]
        rows = pq.read_table(pa.BufferReader(body), columns=known, filters=filters)
    else:
        rows = _whole(body, known)
    if table and not there.issuperset(columns):
        kinds = {field.name: field.type for field in arrow_schema(table)}
        for name in columns:
            if name not in there:
                rows = rows.append_column(name, pa.nulls(len(rows), kinds[name]))
    # A block per column needs no copy.
    return rows.select(list(columns)).to_pandas(split_blocks=True)  # type: ignore[no-any-return]


def _whole(body: bytes, columns: Sequence[str]) -> "pa.Table":
    """All rows; ids are read as places in their dictionary, and spelt out once."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    ids = [STATION.name] if STATION.name in columns else []
    file = pq.ParquetFile(pa.BufferReader(body), read_dictionary=ids)
    rows = file.read(columns=list(columns), use_threads=False)
    if not ids:
        return rows
    place = rows.schema.get_field_index(STATION.name)
    return rows.set_column(place, STATION.name, rows[STATION.name].cast(pa.large_string()))
