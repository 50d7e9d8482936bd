"""How a server of ours listens, is the only one of its kind, and ends.

`bound` gives a socket; `only_one` takes a lock that lasts as long as its file is open;
`OrderlyServer` serves an ASGI application until SIGTERM or SIGINT, then takes no new requests and
lets open ones finish.

Raises   OSError from `bound` for an address that cannot be used.
"""

import asyncio
import contextlib
import fcntl
import signal
import socket
import time
from collections.abc import Iterator
from typing import IO, Any

import uvicorn

from mlops_bikeshare.serving.host.http import BoundedHttp

LOOPBACK = ("127.0.0.1", "localhost")
GRACE_S = 10


class OrderlyServer(uvicorn.Server):
    """Uvicorn without its signal handling, which would end the process before its workers ended."""

    def __init__(self, app: Any) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=BoundedHttp,
                ws="none",
                log_level="warning",
                access_log=False,
                lifespan="on",
                timeout_graceful_shutdown=GRACE_S,
                server_header=False,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ask for an end in order on SIGTERM and SIGINT."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        yield

    def _stop(self) -> None:
        self.should_exit = True


def bound(host: str, port: int) -> socket.socket:
    """A socket of that address (port 0: any free one), which the caller closes."""
    # asyncio switches Nagle's algorithm off only on sockets that say TCP; with it on, every answer
    # waits 40 ms for the client's delayed acknowledgement.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


def only_one(lock: IO[str], *, tries: int, pause_s: float) -> bool:
    """Whether nobody else holds the lock; who holds it for a moment only is waited for."""
    for _ in range(tries):
        try:
            # The kernel drops it with the process, so a killed server leaves nothing to clean up.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(pause_s)
        else:
            return True
    return False
