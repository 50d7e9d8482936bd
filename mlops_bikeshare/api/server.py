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
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import IO

from fastapi import FastAPI

from mlops_bikeshare.api.app import build_app
from mlops_bikeshare.api.jobs import Job, Jobs
from mlops_bikeshare.api.worker import JOBS, Worker, command
from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.errors import BikeshareError, SettingsError
from mlops_bikeshare.domain.wording import masked
from mlops_bikeshare.flows.releasing import execute
from mlops_bikeshare.serving.host.orderly import LOOPBACK, OrderlyServer, bound, only_one

log = logging.getLogger(__name__)
LOCK_FILE = "api.lock"
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
    await OrderlyServer(app).serve(sockets=[listener])


@contextlib.contextmanager
def _alone(ws: Workspace) -> Iterator[IO[str]]:
    """One API per workspace. The worker holds the lock too: an old one is waited for."""
    with (ws.path / LOCK_FILE).open("w") as lock:
        if not only_one(lock, tries=_LOCK_TRIES, pause_s=_LOCK_PAUSE_S):
            msg = f"another operations API serves workspace {ws.settings.workspace!r}"
            raise SettingsError(f"{msg}; use it, or stop it")
        yield lock


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    try:
        listener = bound(host, port)
    except OSError as error:
        raise _unusable(host, port, error) from None
    with listener:
        try:
            listener.listen()
        except OSError as error:
            raise _unusable(host, port, error) from None
        yield listener


def _unusable(host: str, port: int, error: OSError) -> SettingsError:
    msg = f"port {port} on {host} cannot be used ({error.strerror})"
    return SettingsError(f"{msg}; set api.port (0: any free one), or --port")
