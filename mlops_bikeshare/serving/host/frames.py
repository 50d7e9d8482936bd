"""Messages between the front and a worker: a JSON header and a body over one socket.

Layout   two big-endian uint32 (length of header, length of body), header (UTF-8 JSON), body.
Raises   EOFError when the other side is gone.

A worker reads with this alone: the import of asyncio would be felt in its start. The front's
side is in connection.py.
"""

import json
import struct
from typing import Any, BinaryIO

LENGTHS = struct.Struct(">II")
Message = tuple[dict[str, Any], bytes]


def pack(header: dict[str, Any], body: bytes = b"") -> bytes:
    """One message as bytes."""
    text = json.dumps(header).encode()
    return LENGTHS.pack(len(text), len(body)) + text + body


def read(stream: BinaryIO) -> Message:
    """The next message of a blocking stream."""
    header_bytes, body_bytes = LENGTHS.unpack(_exactly(stream, LENGTHS.size))
    return json.loads(_exactly(stream, header_bytes)), _exactly(stream, body_bytes)


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data
