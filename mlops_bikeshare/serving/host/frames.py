"""Messages between the front and a worker: a JSON header and a body over one socket.

Layout   two big-endian uint32 (length of header, length of body), header (UTF-8 JSON), body.
Raises   EOFError when the other side is gone.
"""

import asyncio
import json
import struct
from typing import Any, BinaryIO

_LENGTHS = struct.Struct(">II")
Message = tuple[dict[str, Any], bytes]


def pack(header: dict[str, Any], body: bytes = b"") -> bytes:
    """One message as bytes."""
    text = json.dumps(header).encode()
    return _LENGTHS.pack(len(text), len(body)) + text + body


def read(stream: BinaryIO) -> Message:
    """The next message of a blocking stream."""
    header_bytes, body_bytes = _LENGTHS.unpack(_exactly(stream, _LENGTHS.size))
    return json.loads(_exactly(stream, header_bytes)), _exactly(stream, body_bytes)


async def read_async(reader: asyncio.StreamReader) -> Message:
    """The next message of an asyncio stream."""
    header_bytes, body_bytes = _LENGTHS.unpack(await reader.readexactly(_LENGTHS.size))
    header = json.loads(await reader.readexactly(header_bytes))
    return header, await reader.readexactly(body_bytes)


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data
