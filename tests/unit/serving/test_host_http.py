"""What is neither a head nor a body is bounded, wherever in a request it comes."""

import asyncio
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from mlops_bikeshare.serving.host.http import MAX_HEAD, BoundedHttp

POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n"
PIECE = 4096


class Wire(asyncio.Transport):
    """A connection that keeps what was answered."""

    def __init__(self) -> None:
        super().__init__()
        self.answer, self.closed = b"", False

    def write(self, data: Any) -> None:
        self.answer += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        """Whoever is slow is waited for."""

    def resume_reading(self) -> None:
        """As before."""


async def read_all(scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG001 - ASGI
    """Read the body, say nothing."""
    while (await receive()).get("more_body"):
        pass


def sent(start: bytes, piece: bytes, *, pieces: int) -> Wire:
    """`start`, then `piece` so many times, as far as the connection is open."""

    async def scenario() -> Wire:
        config = uvicorn.Config(read_all, http=BoundedHttp, lifespan="off", log_config=None)
        config.load()
        protocol = BoundedHttp(config=config, server_state=ServerState(), app_state={})
        wire = Wire()
        protocol.connection_made(wire)
        for data in (start, *[piece] * pieces):
            if not wire.closed:
                protocol.data_received(data)
                await asyncio.sleep(0)
        closed, answer = wire.closed, wire.answer
        protocol.connection_lost(None)
        await asyncio.sleep(0)
        wire.closed, wire.answer = closed, answer
        return wire

    return asyncio.run(scenario())


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (POST, b"X-More: " + b"a" * PIECE + b"\r\n"),
        (POST + b"X-Endless: ", b"a" * PIECE),
        (CHUNKED + b"0\r\n", b"X-Trailer: " + b"a" * PIECE + b"\r\n"),
        (CHUNKED + b"1;", b"a" * PIECE),
    ],
    ids=["headers", "a header", "trailers", "an extension of a chunk"],
)
def test_what_never_ends_is_refused(start: bytes, piece: bytes) -> None:
    wire = sent(start, piece, pieces=2 * MAX_HEAD // PIECE)

    assert wire.closed
    assert wire.answer.startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (POST + b"Content-Length: 1000000\r\n\r\n", b"a" * PIECE),
        (CHUNKED, b"%x\r\n" % PIECE + b"a" * PIECE + b"\r\n"),
    ],
    ids=["of known length", "in chunks"],
)
def test_a_body_is_no_head(start: bytes, piece: bytes) -> None:
    assert not sent(start, piece, pieces=2 * MAX_HEAD // PIECE).closed
