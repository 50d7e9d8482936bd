"""Run the operations API of one workspace until it is told to stop.

Input    a workspace; the address from `[api]` (port 0: any free one; not loopback: only with a
         token).
Output   `ready` is told the address once it answers. SIGTERM and SIGINT stop it in order: no new
         requests, open ones finish, the job under way ends and is told as interrupted.
Raises   SettingsError: the address is open and there is no token, the port is taken, or another
         API serves the workspace.

A job that a restart finds under way was interrupted. A promotion or rollback that had begun is
queued again: its journal says how far it came, and the flow goes on from there.
"""

import asyncio
import contextlib
import fcntl
import logging
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import IO

import uvicorn
from fastapi import FastAPI

from mlops_bikeshare.api.app import build_app
from mlops_bikeshare.api.jobs import Job, Jobs
from mlops_bikeshare.api.worker import JOBS, Worker, command
from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.errors import BikeshareError, SettingsError
from mlops_bikeshare.domain.wording import masked
from mlops_bikeshare.flows.releasing import execute
from mlops_bikeshare.serving.host.http import BoundedHttp

log = logging.getLogger(__name__)
LOOPBACK = ("127.0.0.1", "localhost")
LOCK_FILE = "api.lock"
GRACE_S = 10
MOST_ATTEMPTS = 3
_LOCK_TRIES, _LOCK_PAUSE_S = 50, 0.1
_GOES_ON = {"promote": "promotion", "rollback": "rollback"}


def run(ws: Workspace, *, ready: Callable[[str], object]) -> None:
    """Serve until SIGTERM or SIGINT."""
    known = ws.settings.api
    if known.host not in LOOPBACK and not known.token:
        msg = f"the operations API listens on 127.0.0.1 only, not on {known.host}, unless a token"
        raise SettingsError(f"{msg} is set: BIKESHARE_API__TOKEN")
    ws.path.mkdir(parents=True, exist_ok=True)
    with _alone(ws) as lock, _listening(known.host, known.port) as listener:
        url = f"http://{known.host}:{listener.getsockname()[1]}"
        asyncio.run(_serve(ws, listener, lock.fileno(), ready=lambda: ready(url)))


def settle(ws: Workspace, jobs: Jobs, why: str) -> None:
    """Say of every job under way that it was interrupted, or let it go on."""
    for job in jobs.running():
        if _goes_on(ws, job):
            jobs.again(job.id)
        else:
            jobs.end(job.id, "interrupted", error=f"{why} while it ran; ask again if it is wanted")


def _goes_on(ws: Workspace, job: Job) -> bool:
    """Whether the journal has something to go on with, of just this kind; if it can be read."""
    kind = _GOES_ON.get(job.kind)
    if kind is None or job.attempts >= MOST_ATTEMPTS:
        return False
    try:
        found = execute.unfinished(ws, ws.settings.endpoint("prod", job.city))
    except (BikeshareError, ValueError) as error:  # a line that is no JSON is one too
        log.error("job %s (%s) does not go on: %s", job.id, job.kind, masked(str(error)))
        return False
    return found is not None and found.kind == kind


async def _serve(
    ws: Workspace, listener: socket.socket, lock: int, *, ready: Callable[[], object]
) -> None:
    jobs = Jobs(ws.path / JOBS)
    settle(ws, jobs, "the API ended")
    does = command(ws.settings)
    worker = Worker(jobs, does, settle=lambda why: settle(ws, jobs, why), kept=(lock,))

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        if jobs.waiting():
            worker.wake()
        ready()
        try:
            yield
        finally:
            await asyncio.to_thread(worker.stop)

    app = build_app(ws, jobs, wake=worker.wake, lifespan=lifespan)
    config = uvicorn.Config(
        app,
        http=BoundedHttp,
        ws="none",
        log_level="warning",
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=GRACE_S,
        server_header=False,
    )
    await _Server(config).serve(sockets=[listener])


class _Server(uvicorn.Server):
    """Uvicorn without its signal handling, which would end the process by the signal."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        yield

    def _stop(self) -> None:
        self.should_exit = True


@contextlib.contextmanager
def _alone(ws: Workspace) -> Iterator[IO[str]]:
    """One API per workspace. The worker holds the lock too: an old one is waited for."""
    with (ws.path / LOCK_FILE).open("w") as lock:
        if not any(_locked(lock) for _ in range(_LOCK_TRIES)):
            msg = f"another operations API serves workspace {ws.settings.workspace!r}"
            raise SettingsError(f"{msg}; use it, or stop it")
        yield lock


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(_LOCK_PAUSE_S)
        return False
    return True


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    # asyncio switches Nagle's algorithm off only on sockets that say TCP; see the endpoint host.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen()
        except OSError as error:
            msg = f"port {port} on {host} cannot be used ({error.strerror})"
            raise SettingsError(f"{msg}; set api.port (0: any free one), or --port") from None
        yield listener
