"""Start the host in the background, find the one that runs, stop it.

Input    the workspace's folder; the command that runs the host (`bikeshare serve …`).
Output   HostFacts from the `host.json` that a ready host keeps; what it prints is in `host.log`,
         and what the one before printed in `host.log.1`.
Raises   EndpointError when the command ends or is not ready in time (with the last line it
         printed), and when a host does not stop.
"""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mlops_bikeshare.domain.errors import EndpointError

POLL_S = 0.02
LOG = "host.log"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """Where a ready host is."""

    pid: int
    port: int
    url: str
    started_at: str


def running(root: Path) -> HostFacts | None:
    """The host that serves this workspace, or None; a file left by a killed host does not count."""
    try:
        facts = HostFacts(**json.loads((root / "host.json").read_text()))
        # Its pid may be another process by now, which `stop` would end; the lock cannot be.
        with (root / "host.lock").open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return facts
    except (OSError, ValueError, TypeError):
        return None
    return None


def start(
    command: Sequence[str],
    root: Path,
    *,
    timeout_s: float,
    home: Path | None = None,
    lifeline: bool = False,
    monotonic: Callable[[], float] = time.monotonic,
    pause: Callable[[float], object] = time.sleep,
) -> "tuple[HostFacts, subprocess.Popen[bytes]]":
    """Run `command` in the background, in `home`, and wait until its host is ready.

    `lifeline`: its standard input is a pipe that closes with this process, however that ends.
    """
    deadline = monotonic() + timeout_s
    with _new_log(root) as errors:
        process = subprocess.Popen(
            command,
            cwd=home,
            stdin=subprocess.PIPE if lifeline else subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            start_new_session=True,
        )
        try:
            while process.poll() is None and monotonic() < deadline:
                facts = running(root)
                if facts is not None and facts.pid == process.pid:
                    return facts, process
                pause(POLL_S)
        except BaseException:
            # Whoever stops us before it is ready could not find it any more to stop it too.
            _end(process)
            raise
        _end(process)
        errors.seek(0)
        said = errors.read().decode("utf-8", "replace").strip().splitlines()
        why = (said or ["?"])[-1].removeprefix("bikeshare: ")
        raise EndpointError(f"the endpoint host did not start: {why}")


def _new_log(root: Path) -> BinaryIO:
    root.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        (root / LOG).replace(root / f"{LOG}.1")
    return (root / LOG).open("a+b")


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()


def stop(
    facts: HostFacts,
    *,
    timeout_s: float,
    by: signal.Signals = signal.SIGTERM,
    monotonic: Callable[[], float] = time.monotonic,
    pause: Callable[[float], object] = time.sleep,
) -> None:
    """Ask a host to stop (SIGKILL: make it) and wait until its process is gone."""
    deadline = monotonic() + timeout_s
    try:
        os.kill(facts.pid, by)
    except ProcessLookupError:
        return
    while _alive(facts.pid):
        if monotonic() >= deadline:
            raise EndpointError(f"the endpoint host {facts.pid} did not stop in {timeout_s:.0f} s")
        pause(POLL_S)


def _alive(pid: int) -> bool:
    try:
        # a child of ours that ended stays a zombie until it is waited for
        ended, _ = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        ended = 0
    if ended:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
