"""Request and answer bodies of a model.

Input    Parquet, an Arrow stream, or JSON: `dataframe_split`, `dataframe_records`, `instances` or
         `inputs` (records, rows, or columns by name). `sizes` bounds what each may become.
Output   an Arrow table in; Parquet, an Arrow stream, or JSON `{"predictions": [records]}` out (rows
         or plain values where the model names no columns), NaN as null.
Raises   BodyError with an HTTP status. Its message never repeats what was sent: bodies may hold
         anything, and messages end up in logs.

Nothing here needs pandas, whose import alone would cost a worker half a second and 60 MB.
"""

import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mlops_bikeshare.serving.host.sizes import (
    BodyError,
    check_arrow,
    check_cells,
    check_parquet,
    check_records,
    check_schema,
)

PARQUET = "application/vnd.apache.parquet"
ARROW = "application/vnd.apache.arrow.stream"
JSON = "application/json"
_RECORDS = ("dataframe_records", "instances", "inputs")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said; `named` is false where its columns have no names of their own."""

    table: pa.Table
    named: bool = True


def decode(body: bytes, content_type: str) -> pa.Table:
    """The rows of a request: flat columns, each name once."""
    kind = _media_type(content_type)
    if kind not in _READERS:
        raise BodyError(415, f"content type is not one of {', '.join(_READERS)}")
    try:
        table = _READERS[kind](body)
    except BodyError:
        raise
    except Exception as error:  # Arrow, Parquet and JSON readers raise many kinds on broken bytes
        raise BodyError(400, f"the body is not readable as {kind}") from error
    if not table.num_rows or not table.num_columns:
        raise BodyError(400, "the body has no rows or no columns")
    return table


def encode(answer: Answer, accept: str) -> tuple[str, bytes]:
    """The answer as (content type, body)."""
    kind = _media_type(accept)
    if kind in ("", "*/*", JSON):
        return JSON, _write_json(answer)
    if kind == ARROW:
        return ARROW, _write_arrow(answer.table)
    if kind == PARQUET:
        return PARQUET, _write_parquet(answer.table)
    raise BodyError(406, f"accept is not one of {PARQUET}, {ARROW}, {JSON}")


def warm_up() -> None:
    """Make the readers and writers import what they import late, before the first request."""
    table = pa.table({"x": [0.0]})
    for kind in _READERS:
        encode(Answer(table), kind)
    for kind in (ARROW, PARQUET):
        decode(encode(Answer(table), kind)[1], kind)


def _media_type(value: str) -> str:
    return value.split(";", maxsplit=1)[0].strip().lower()


def _read_parquet(body: bytes) -> pa.Table:
    file = pq.ParquetFile(pa.BufferReader(body))
    check_parquet(file.metadata)
    return file.read(use_threads=False)


def _read_arrow(body: bytes) -> pa.Table:
    check_arrow(body)
    batches, cells = [], 0
    with pa.ipc.open_stream(pa.BufferReader(body)) as reader:
        schema = reader.schema
        check_schema(schema)
        for batch in reader:
            cells += batch.num_rows * batch.num_columns
            check_cells(cells)
            batch.validate(full=True)
            batches.append(batch)
    return pa.Table.from_batches(batches, schema)


def _read_json(body: bytes) -> pa.Table:
    document = json.loads(body)
    if not isinstance(document, dict):
        document = {}
    if "dataframe_split" in document:
        split = document["dataframe_split"]
        check_cells(len(split["data"]) * len(split["columns"]))
        return _rows(split["data"], split["columns"])
    for key in _RECORDS:
        if key in document:
            return _records(document[key])
    words = ", ".join(("dataframe_split", *_RECORDS))
    raise BodyError(400, f"the JSON body needs one of {words}")


def _records(records: Any) -> pa.Table:
    if isinstance(records, dict):
        return _table(records.items())
    check_records(records)
    if all(isinstance(record, dict) for record in records):
        names = dict.fromkeys(name for record in records for name in record)
        return _table((name, [record.get(name) for record in records]) for name in names)
    rows = [record if isinstance(record, list) else [record] for record in records]
    return _rows(rows, range(len(rows[0])))


def _rows(rows: Iterable[list[Any]], names: Iterable[object]) -> pa.Table:
    return _table(zip(names, zip(*rows, strict=True), strict=True))


def _table(columns: Iterable[tuple[object, Any]]) -> pa.Table:
    pairs = [(str(name), pa.array(values)) for name, values in columns]
    table = pa.Table.from_arrays([a for _, a in pairs], names=[name for name, _ in pairs])
    check_schema(table.schema)
    return table


def _write_json(answer: Answer) -> bytes:
    columns = {name: _json_values(answer.table[name]) for name in answer.table.column_names}
    rows = zip(*columns.values(), strict=True)
    if answer.named:
        said: Iterable[Any] = (dict(zip(columns, row, strict=True)) for row in rows)
    else:
        said = (row[0] for row in rows) if len(columns) == 1 else rows
    return json.dumps({"predictions": list(said)}, default=str).encode()


def _json_values(column: pa.ChunkedArray) -> list[object]:
    if not pa.types.is_floating(column.type):
        return list(column.to_pylist())
    return [
        value if value is not None and isfinite(value) else None for value in column.to_pylist()
    ]


def _write_arrow(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _write_parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="none", use_dictionary=False)
    return sink.getvalue()


_READERS: Mapping[str, Callable[[bytes], pa.Table]] = {
    PARQUET: _read_parquet,
    ARROW: _read_arrow,
    JSON: _read_json,
}
