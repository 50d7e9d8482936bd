"""Request and answer bodies of a model.

Input    Parquet, an Arrow stream, or JSON `dataframe_split`, `instances` (records or rows) or
         `inputs` (records, or columns by name); at most `MAX_CELLS` cells.
Output   a DataFrame in; Parquet, an Arrow stream, or JSON `{"predictions": [records]}` out, where
         NaN is null.
Raises   BodyError with an HTTP status. Its message never repeats what was sent: bodies may hold
         anything, and messages end up in logs.
"""

import io
import json
from collections.abc import Callable

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

PARQUET = "application/vnd.apache.parquet"
ARROW = "application/vnd.apache.arrow.stream"
JSON = "application/json"
MAX_CELLS = 20_000_000


class BodyError(ValueError):
    """A body that cannot be read or an answer that cannot be given in that type."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def decode(body: bytes, content_type: str) -> pd.DataFrame:
    """The rows of a request."""
    kind = _media_type(content_type)
    if kind not in _READERS:
        raise BodyError(415, f"content type is not one of {', '.join(_READERS)}")
    try:
        frame = _READERS[kind](body)
    except BodyError:
        raise
    except Exception as error:  # Arrow, Parquet and JSON readers raise many kinds on broken bytes
        raise BodyError(400, f"the body is not readable as {kind}") from error
    if frame.empty:
        raise BodyError(400, "the body has no rows or no columns")
    return frame


def encode(frame: pd.DataFrame, accept: str) -> tuple[str, bytes]:
    """The answer as (content type, body)."""
    kind = _media_type(accept)
    if kind in ("", "*/*", JSON):
        return JSON, _write_json(frame)
    if kind == ARROW:
        return ARROW, _write_arrow(frame)
    if kind == PARQUET:
        return PARQUET, _write_parquet(frame)
    raise BodyError(406, f"accept is not one of {PARQUET}, {ARROW}, {JSON}")


def warm_up() -> None:
    """Make the readers and writers import what they import late, before the first request."""
    for kind in _READERS:
        content_type, body = encode(pd.DataFrame({"x": [0.0]}), kind)
        if content_type != JSON:
            decode(body, content_type)


def _media_type(value: str) -> str:
    return value.split(";", maxsplit=1)[0].strip().lower()


def _read_parquet(body: bytes) -> pd.DataFrame:
    file = pq.ParquetFile(pa.BufferReader(body))
    _limit(file.metadata.num_rows * file.metadata.num_columns)
    return _plain(file.read(use_threads=False))


def _read_arrow(body: bytes) -> pd.DataFrame:
    with pa.ipc.open_stream(pa.BufferReader(body)) as reader:
        table = reader.read_all()
    table.validate(full=True)
    _limit(table.num_rows * table.num_columns)
    return _plain(table)


def _plain(table: pa.Table) -> pd.DataFrame:
    # pandas metadata could turn columns into an index; only the columns count here.
    return table.to_pandas(ignore_metadata=True, use_threads=False)  # type: ignore[no-any-return]


def _read_json(body: bytes) -> pd.DataFrame:
    document = json.loads(body)
    if isinstance(document, dict):
        if "dataframe_split" in document:
            split = document["dataframe_split"]
            return pd.DataFrame(split["data"], columns=split["columns"])
        for key in ("instances", "inputs"):
            if key in document:
                return pd.DataFrame(document[key])
    raise BodyError(400, "the JSON body needs one of dataframe_split, instances, inputs")


def _limit(cells: int) -> None:
    if cells > MAX_CELLS:
        raise BodyError(413, f"the body has more than {MAX_CELLS:,} cells")


def _write_json(frame: pd.DataFrame) -> bytes:
    records = json.loads(frame.to_json(orient="records", double_precision=15))
    return json.dumps({"predictions": records}).encode()


def _write_arrow(frame: pd.DataFrame) -> bytes:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _write_parquet(frame: pd.DataFrame) -> bytes:
    sink = io.BytesIO()
    table = pa.Table.from_pandas(frame, preserve_index=False)
    pq.write_table(table, sink, compression="none", use_dictionary=False)
    return sink.getvalue()


_READERS: dict[str, Callable[[bytes], pd.DataFrame]] = {
    PARQUET: _read_parquet,
    ARROW: _read_arrow,
    JSON: _read_json,
}
