"""Worker processes as the front sees them: start, ask, respawn, drain, stop.

Input    a model archive on disk; request bodies.
Output   WorkerReply (status, content type, body); status 503 when the process died, 504 after
         `ANSWER_S` without an answer (the process is then replaced).
Raises   ModelError with the worker's reason when a model cannot be loaded.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import socket
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_bikeshare.domain.errors import ModelError
from mlops_bikeshare.serving.host.connection import Messages
from mlops_bikeshare.serving.host.frames import Message, pack

_LOG = logging.getLogger(__name__)
MODULE = "mlops_bikeshare.serving.host.worker"
START_S = 300.0  # a foreign model imports mlflow and its flavour, which may take a minute
ANSWER_S = 60.0
STOP_S = 2.0
LOG = "workers.log"
LONGEST_LOG = 4 * 1024**2
LOOK_S = 60.0
# Two threads per model were 10x slower under load: one process, one thread, one core.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True, slots=True)
class WorkerReply:
    """A worker's answer, or what stands in for it."""

    status: int
    content_type: str
    body: bytes


class Worker:
    """One process with one model; requests are answered in order."""

    def __init__(self, process: "subprocess.Popen[bytes]", folder: Path) -> None:
        self.gone = asyncio.Event()
        self._process = process
        self._folder = folder
        self._waiting: dict[int, asyncio.Future[WorkerReply]] = {}
        self._asked = 0
        self._ready: asyncio.Future[Message | None] = asyncio.get_running_loop().create_future()
        self._connection = Messages(self._take)

    @classmethod
    async def start(cls, archive: Path, folder: Path, *words: str) -> "Worker":
        """Spawn a process and wait until its model is loaded; `folder` is its own to use."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                worker = cls(_spawn(theirs, archive, folder, *words), folder)
            except OSError as error:
                ours.close()
                raise ModelError(f"no process for the model: {error.strerror}") from error
        try:
            await asyncio.wait_for(worker._connect(ours), START_S)
        except (ModelError, TimeoutError, OSError) as error:
            await worker.stop()
            reason = str(error) if isinstance(error, ModelError) else "the worker ended or hung"
            raise ModelError(f"the model cannot be loaded: {reason}") from error
        except asyncio.CancelledError:
            await worker.stop()
            raise
        return worker

    async def ask(self, header: dict[str, Any], body: bytes) -> WorkerReply:
        """Send one request and wait for its answer."""
        if self.gone.is_set():
            return _stand_in(503, "the model's process is restarting")
        self._asked += 1
        number, loop = self._asked, asyncio.get_running_loop()
        future: asyncio.Future[WorkerReply] = loop.create_future()
        self._waiting[number] = future
        late = loop.call_later(ANSWER_S, self._give_up, future)
        self._connection.send(pack({**header, "id": number}, body))
        try:
            return await future
        finally:
            late.cancel()
            self._waiting.pop(number, None)

    async def stop(self) -> None:
        """Hang up, wait for the process to end, remove its folder."""
        self._connection.close()
        self._process.terminate()
        try:
            await asyncio.to_thread(self._process.wait, STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def _connect(self, ours: socket.socket) -> None:
        await asyncio.get_running_loop().create_connection(lambda: self._connection, sock=ours)
        message = await self._ready
        if message is None:
            raise ModelError("the worker ended")
        if not message[0]["ready"]:
            raise ModelError(message[0]["reason"])

    def _take(self, message: Message | None) -> None:
        """The first message says whether the model is loaded, the others are answers."""
        if not self._ready.done():
            self._ready.set_result(message)
        elif message is not None:
            header, body = message
            reply = WorkerReply(header["status"], header["content_type"], body)
            _settle(self._waiting.get(header["id"]), reply)
        if message is None:
            self.gone.set()
            for future in self._waiting.values():
                _settle(future, _stand_in(503, "the model's process ended"))

    def _give_up(self, future: "asyncio.Future[WorkerReply]") -> None:
        # It may be stuck for good; a fresh process is the only cure.
        self._process.kill()
        _settle(future, _stand_in(504, f"the model gave no answer within {ANSWER_S:.0f} s"))


class Variant:
    """One production variant: keeps a worker alive, counts what is in flight."""

    def __init__(
        self, name: str, archive: Path, folder: Path, *, allow_pickle: bool = False
    ) -> None:
        self.name = name
        self._words = ("allow-pickle",) if allow_pickle else ()
        self._archive = archive
        self._folder = folder
        self._worker: Worker | None = None
        self._keeper: asyncio.Task[None] | None = None
        self.in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def start(self) -> None:
        """Bring up the first worker; ModelError when its model cannot be loaded."""
        self._worker = await self._fresh()
        self._keeper = asyncio.create_task(self._keep(self._worker))

    async def ask(self, header: dict[str, Any], body: bytes) -> WorkerReply:
        """Ask the current worker."""
        if self._worker is None:
            return _stand_in(503, "the model's process is restarting")
        self.in_flight += 1
        self._idle.clear()
        try:
            return await self._worker.ask(header, body)
        finally:
            self.in_flight -= 1
            if not self.in_flight:
                self._idle.set()

    async def drain(self) -> None:
        """Let what is in flight finish, then stop."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), ANSWER_S)
        await self.stop()

    async def stop(self) -> None:
        """End the worker and its keeper."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._worker is not None:
            await self._worker.stop()

    @property
    def pid(self) -> int | None:
        """The process id of the current worker."""
        return self._worker.pid if self._worker else None

    async def _fresh(self) -> Worker:
        folder = self._folder / uuid.uuid4().hex
        try:
            folder.mkdir(parents=True)
            return await Worker.start(self._archive, folder, *self._words)
        except OSError as error:  # a full disk, no free descriptors: to be tried again
            raise ModelError(f"no process for the model: {error.strerror}") from error

    async def _keep(self, worker: Worker) -> None:
        pause_s = 0.1
        while True:
            await self._gone(worker)
            await worker.stop()
            try:
                worker = await self._fresh()
                self._worker, pause_s = worker, 0.1
            except ModelError:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, 30.0)

    async def _gone(self, worker: Worker) -> None:
        """Wait for the end of a process; what it prints meanwhile stays in bounds."""
        while not worker.gone.is_set():
            keep_short(self._folder / LOG)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(worker.gone.wait(), LOOK_S)


def keep_short(log: Path) -> None:
    """Move the end of what was printed aside once it is long, over what was moved before.

    Whoever prints appends to the file itself, so it is emptied in place; and first, which is the
    room that a full disk has for the rest.
    """
    try:
        if not log.exists() or log.stat().st_size <= LONGEST_LOG:
            return
        with log.open("rb") as long:
            long.seek(-LONGEST_LOG, os.SEEK_END)
            end = long.read(LONGEST_LOG)
        os.truncate(log, 0)
        log.with_name(f"{log.name}.1").write_bytes(end)
    except OSError as error:
        _LOG.warning("%s could not be shortened: %s", log.name, error.strerror)


def _spawn(
    theirs: socket.socket, archive: Path, folder: Path, *words: str
) -> "subprocess.Popen[bytes]":
    log = folder.parent / LOG
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", MODULE, str(theirs.fileno()), str(archive), str(folder), *words],
            pass_fds=(theirs.fileno(),),
            # the package may be importable only from its checkout (MLflow's own environments)
            cwd=Path(__file__).parents[3],
            env={**os.environ, **ONE_THREAD},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C in a terminal goes to the front alone, which then stops its workers in order
            start_new_session=True,
        )


def _settle(future: "asyncio.Future[WorkerReply] | None", reply: WorkerReply) -> None:
    if future is not None and not future.done():
        future.set_result(reply)


def _stand_in(status: int, message: str) -> WorkerReply:
    return WorkerReply(status, "application/json", f'{{"message": "{message}"}}'.encode())
