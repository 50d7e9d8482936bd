"""Run the endpoint host of one workspace until it is told to stop.

Input    the workspace's folder, an address (port 0: any free one; not loopback: only with a token),
         a metric sink.
Output   `host.json` in the folder while the host is ready: pid, port, url, started_at (ISO, UTC).
Raises   EndpointError: the address is open and there is no token, the port is taken, another host
         has the folder.

SIGTERM and SIGINT stop it in order: no new requests, open ones finish, workers end, `host.json`
goes.
"""

import asyncio
import contextlib
import json
import os
import shutil
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import uvicorn
import uvloop
from starlette.applications import Starlette

from mlops_bikeshare.domain.errors import EndpointError
from mlops_bikeshare.serving.host.app import build_app
from mlops_bikeshare.serving.host.control import ControlPlane
from mlops_bikeshare.serving.host.exposition import Exposition
from mlops_bikeshare.serving.host.lifecycle import Lifecycle
from mlops_bikeshare.serving.host.meter import Meter, Sink
from mlops_bikeshare.serving.host.objects import ObjectStore
from mlops_bikeshare.serving.host.orderly import LOOPBACK, OrderlyServer, bound, only_one
from mlops_bikeshare.serving.host.runtime import Runtime
from mlops_bikeshare.serving.host.s3 import S3
from mlops_bikeshare.serving.host.state import HostState
from mlops_bikeshare.serving.host.workers import LOOK_S, keep_short
from mlops_bikeshare.serving.launch import LOG

ANYWHERE = ("0.0.0.0", "")  # noqa: S104 - refused without a token
READY_FILE = "host.json"
LOCK_FILE = "host.lock"
LOCK_TRIES, LOCK_PAUSE_S = 10, 0.02


def run_host(
    *,
    root: Path,
    host: str,
    port: int,
    sink: Sink,
    replay_clock: bool,
    token: str | None = None,
    allow_pickle: bool = False,
    more_metrics: Callable[[], bytes] = bytes,
) -> None:
    """Serve until SIGTERM or SIGINT."""
    root.mkdir(parents=True, exist_ok=True)
    if host not in LOOPBACK and not token:
        raise EndpointError(
            f"the endpoint host listens on 127.0.0.1 only, not on {host}, unless serving.token is"
            " set: set BIKESHARE_SERVING__TOKEN here and where requests come from"
        )
    with _alone(root), _listening(host, port) as listener:
        address = "127.0.0.1" if host in ANYWHERE else host
        url = f"http://{address}:{listener.getsockname()[1]}"
        try:
            uvloop.run(
                _serve(
                    root,
                    listener,
                    url=url,
                    sink=sink,
                    replay_clock=replay_clock,
                    token=token,
                    allow_pickle=allow_pickle,
                    more_metrics=more_metrics,
                )
            )
        finally:
            (root / READY_FILE).unlink(missing_ok=True)


async def _serve(
    root: Path,
    listener: socket.socket,
    *,
    url: str,
    sink: Sink,
    replay_clock: bool,
    token: str | None,
    allow_pickle: bool,
    more_metrics: Callable[[], bytes],
) -> None:
    state, meter = HostState(root / "host.db"), Meter(sink)
    store = ObjectStore(root / "s3")
    _empty(store.incoming)  # what a killed host had half received
    folder = _empty(root / "host")
    lifecycle = Lifecycle(state, store=store, folder=folder, allow_pickle=allow_pickle)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        try:
            # Before the first request: an endpoint that was InService answers at once.
            await lifecycle.resume()
            yield
        finally:
            await runtime.close()
            await lifecycle.close()
            meter.close()
            state.close()

    exposition = Exposition(more_metrics)
    runtime = Runtime(lifecycle, meter, exposition, replay_clock=replay_clock)
    control = ControlPlane(state, lifecycle, store)
    s3 = S3(store, state)
    app = build_app(control, runtime, s3, exposition, token=token, lifespan=lifespan)
    server = OrderlyServer(app)
    beside = [
        asyncio.create_task(_announce(server, root, url)),
        asyncio.create_task(_keep_log_short(root)),
    ]
    await server.serve(sockets=[listener])
    for task in beside:
        task.cancel()
    if not server.started:
        raise EndpointError(f"the endpoint host of {root.name} did not start: see the log above")


async def _announce(server: uvicorn.Server, root: Path, url: str) -> None:
    while not server.started:
        await asyncio.sleep(0.01)
    facts = {
        "pid": os.getpid(),
        "port": int(url.rpartition(":")[2]),
        "url": url,
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    draft = root / f".{READY_FILE}"
    draft.write_text(json.dumps(facts))
    draft.replace(root / READY_FILE)


async def _keep_log_short(root: Path) -> None:
    while True:
        keep_short(root / LOG)
        await asyncio.sleep(LOOK_S)


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    with (root / LOCK_FILE).open("w") as lock:
        # `launch.running` holds it for a moment to see whether a host does
        if not only_one(lock, tries=LOCK_TRIES, pause_s=LOCK_PAUSE_S):
            raise EndpointError(
                f"another endpoint host serves {root.name}: use it, or stop it with `make stop`"
            )
        # a host that was killed left its facts behind; from here on they would be wrong
        (root / READY_FILE).unlink(missing_ok=True)
        yield


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    try:
        listener = bound(host, port)
    except OSError as error:
        raise EndpointError(
            f"port {port} on {host} cannot be used ({error.strerror}): stop what listens "
            "there, or choose another port (0 takes any free one)"
        ) from error
    with listener:
        yield listener


def _empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
