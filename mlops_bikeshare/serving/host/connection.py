"""The front's side of a worker's socket: messages as they come, without waiting for any.

Input    pieces of a stream of messages as frames.py lays them out.
Output   `take` is called with each message, and with None when the worker is gone.
"""

import asyncio
import json
from collections.abc import Callable
from typing import cast

from mlops_bikeshare.serving.host.frames import LENGTHS, Message


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
        while len(self._data) >= LENGTHS.size:
            header_bytes, body_bytes = LENGTHS.unpack_from(self._data)
            middle = LENGTHS.size + header_bytes
            end = middle + body_bytes
            if len(self._data) < end:
                return
            header = json.loads(self._data[LENGTHS.size : middle])
            body = bytes(self._data[middle:end])
            del self._data[:end]
            self._take((header, body))

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """Called by asyncio."""
        self._take(None)
