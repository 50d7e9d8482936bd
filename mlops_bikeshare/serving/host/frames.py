"""Messages between the front and a worker: a JSON header and a body over one socket.

Layout   two big-endian uint32 (length of header, length of body), header (UTF-8 JSON), body.
Raises   EOFError when the other side is gone.
"""

import asyncio
import json
import struct
from collections.abc import Callable
from typing import Any, BinaryIO, cast

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


class Messages(asyncio.Protocol):
    """An asyncio connection that hands over each message, and at last None."""

    def __init__(self, take: Callable[[Message | None], None]) -> None:
        self._take = take
        self._data = bytearray()
        self._transport: asyncio.Transport | None = None

    def send(self, message: bytes) -> None:
        """Send what `pack` made; what cannot be sent any more is dropped."""
        if self._transport is not None:
            self._transport.write(message)

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Called by asyncio, with any piece of a message or of several."""
        self._data += data
        while len(self._data) >= _LENGTHS.size:
            header_bytes, body_bytes = _LENGTHS.unpack_from(self._data)
            middle = _LENGTHS.size + header_bytes
            end = middle + body_bytes
            if len(self._data) < end:
                return
            header = json.loads(self._data[_LENGTHS.size : middle])
            body = bytes(self._data[middle:end])
            del self._data[:end]
            self._take((header, body))

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """Called by asyncio."""
        self._take(None)


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data
