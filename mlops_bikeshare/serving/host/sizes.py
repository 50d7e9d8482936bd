"""How large a body becomes when it is read, asked before anything is allocated for it.

Input    the bytes of an Arrow stream, an opened Parquet file, a JSON document.
Output   nothing, when reading it stays within `MAX_CELLS` cells and `MAX_UNPACKED` bytes.
Raises   BodyError: 413 for more than that, 415 for what has no bound that could be checked.
Source   Arrow columnar format, "Serialization and IPC" (Message.fbs: a compressed buffer begins
         with its unpacked length); FlatBuffers internals; Parquet format, "Data Pages". Snappy
         unpacks to 21 times its size at most; gzip, zstd and brotli have no such bound, and their
         pages are allocated at the length that the sender claims, so they are refused.
"""

import struct
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

MAX_CELLS = 20_000_000
MAX_UNPACKED = 256 * 1024**2
_PLAIN_CODECS = {"UNCOMPRESSED", "SNAPPY"}
_NUMBERS = {"BOOLEAN", "INT32", "INT64", "FLOAT", "DOUBLE"}
_FLAT = (pa.types.is_primitive, pa.types.is_null, pa.types.is_string, pa.types.is_large_string)
_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3


class BodyError(ValueError):
    """A body that cannot be read or an answer that cannot be given in that type."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def check_cells(cells: int) -> None:
    """Refuse more cells than one request may hold."""
    if cells > MAX_CELLS:
        raise BodyError(413, f"the body has more than {MAX_CELLS:,} cells")


def check_arrow(body: bytes) -> None:
    """An Arrow stream: the lengths that its compressed buffers claim, which Arrow allocates."""
    total = 0
    for message in pa.ipc.MessageReader.open_stream(pa.BufferReader(body)):
        if message.body is not None:
            total += sum(_claimed(message.metadata.to_pybytes(), message.body))
        if total > MAX_UNPACKED:
            raise BodyError(413, f"the body unpacks to more than {MAX_UNPACKED:,} bytes")


def check_schema(schema: pa.Schema) -> None:
    """Flat columns only: a nested or run-length type can name more values than a body has bytes."""
    if len(set(schema.names)) < len(schema.names):
        raise BodyError(400, "two columns of the body have one name")
    for kind in set(schema.types):
        value = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not any(is_one(value) for is_one in _FLAT):
            raise BodyError(400, "a column of the body holds neither numbers, times nor text")


def check_parquet(metadata: pq.FileMetaData) -> None:
    """A Parquet file: its columns' own counts, as the file's may say less than is read."""
    cells = 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        columns = [group.column(i) for i in range(group.num_columns)]
        cells += max(group.num_rows, 0) * group.num_columns
        cells += sum(max(column.num_values, 0) for column in columns)
        check_cells(cells // 2)
        if not {column.compression for column in columns} <= _PLAIN_CODECS:
            raise BodyError(415, "Parquet is read with the codecs none and snappy only")
        if not {column.physical_type for column in columns} <= _NUMBERS:
            raise BodyError(415, "Parquet is read with numbers and times only: send text as JSON")


def check_records(records: Any) -> None:
    """Records as JSON: each name in any of them is a column of all."""
    names = {name for record in records if isinstance(record, dict) for name in record}
    check_cells(len(records) * len(names))


def _claimed(metadata: bytes, body: Any) -> Iterator[int]:
    """The unpacked length of each buffer of a message; nothing where nothing is compressed."""
    table = _root(metadata)
    kind, header = _field(metadata, table, 1), _field(metadata, table, 2)
    if not kind or not header or metadata[kind] not in (_DICTIONARY_BATCH, _RECORD_BATCH):
        return
    batch = _follow(metadata, header)
    if metadata[kind] == _DICTIONARY_BATCH:
        batch = _follow(metadata, _field(metadata, batch, 1))
    buffers, compression = _field(metadata, batch, 2), _field(metadata, batch, 3)
    if not buffers or not compression:
        return
    vector = _follow(metadata, buffers)
    (count,) = struct.unpack_from("<I", metadata, vector)
    for offset, length in struct.iter_unpack("<qq", metadata[vector + 4 : vector + 4 + 16 * count]):
        if length >= 8:  # noqa: PLR2004 - the prefix; -1 says: as it is
            yield max(struct.unpack_from("<q", body, offset)[0], length - 8)


def _root(buffer: bytes) -> int:
    return _follow(buffer, 0)


def _follow(buffer: bytes, at: int) -> int:
    return at + int(struct.unpack_from("<I", buffer, at)[0])


def _field(buffer: bytes, table: int, number: int) -> int:
    """Where a table's field is; 0 where it is absent."""
    start = table - struct.unpack_from("<i", buffer, table)[0]
    (size,) = struct.unpack_from("<H", buffer, start)
    if 4 + 2 * number + 2 > size:
        return 0
    (offset,) = struct.unpack_from("<H", buffer, start + 4 + 2 * number)
    return table + offset if offset else 0
