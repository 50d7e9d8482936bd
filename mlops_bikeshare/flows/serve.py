"""Serve: the local endpoint host of a workspace, in this process or in the background.

The host of a workspace with a simulated clock stamps its metrics with the batch's dt, so that a
workspace never holds two kinds of time.
"""

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.errors import BikeshareError, SettingsError
from mlops_bikeshare.domain.reports import MetricPoint
from mlops_bikeshare.serving import launch
from mlops_bikeshare.serving.host.server import run_host

if TYPE_CHECKING:
    import subprocess

    from mlops_bikeshare.serving.host.meter import Sink
    from mlops_bikeshare.serving.launch import HostFacts

log = logging.getLogger(__name__)
START_S = 60
STOP_S = 30


def run(ws: Workspace, *, replay_clock: bool = False, with_parent: bool = False) -> None:
    """Serve until stopped, or until the parent is gone; metrics go to the workspace's store."""
    _refuse_aws(ws)
    simulated = ws.clock.kind == "simulated"
    if replay_clock and not simulated:
        msg = f"workspace {ws.settings.workspace!r} runs on a real clock; --replay-clock"
        raise SettingsError(f"{msg} is for replays: choose one with --workspace NAME")
    if with_parent:
        threading.Thread(target=_until_stdin_closes, daemon=True).start()
    with _kept(ws) as sink:
        run_host(
            root=ws.path,
            host=ws.settings.serving.host,
            port=ws.settings.serving.port,
            sink=sink,
            replay_clock=simulated,
            token=ws.settings.serving.token,
            allow_pickle=ws.settings.serving.pickles == "allow",
            more_metrics=lambda: _shown(ws),
        )


def start(ws: Workspace) -> str:
    """Start it in the background, unless it runs already; its address."""
    _refuse_aws(ws)
    facts = launch.running(ws.path)
    return (facts or _launch(ws, with_parent=False)[0]).url


def _refuse_aws(ws: Workspace) -> None:
    if ws.settings.profile == "aws":
        msg = "profile aws: SageMaker serves, the endpoint host is for --profile local"
        raise SettingsError(f"{msg}; go on with `bikeshare deploy`")


def stop(ws: Workspace) -> bool:
    """Stop it and wait until it is gone; whether one was running."""
    facts = launch.running(ws.path)
    if facts is not None:
        launch.stop(facts, timeout_s=STOP_S)
    return facts is not None


@contextmanager
def hosting(ws: Workspace) -> Iterator[str]:
    """A host for as long as the block runs, SIGTERM included; one that ran before is replaced."""
    stop(ws)
    before = signal.signal(signal.SIGTERM, _leave)
    process = None
    try:
        facts, process = _launch(ws, with_parent=True)
        yield facts.url
    finally:
        # A second Ctrl-C must not leave the host behind.
        impatient = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            stop(ws)
            if process is not None:
                process.communicate()  # waits, and closes its standard input
        finally:
            signal.signal(signal.SIGINT, impatient)
            signal.signal(signal.SIGTERM, before)


def _launch(ws: Workspace, *, with_parent: bool) -> "tuple[HostFacts, subprocess.Popen[bytes]]":
    command = _command(ws, with_parent=with_parent)
    home = ws.settings.root
    return launch.start(command, ws.path, timeout_s=START_S, home=home, lifeline=with_parent)


def _until_stdin_closes() -> None:
    """A parent that is killed runs no `finally`; its end of the pipe closes all the same."""
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _kept(ws: Workspace) -> "Iterator[Sink]":
    """Where the metrics of requests go; no answer waits for the disk, see decision 0052."""
    from mlops_bikeshare.monitoring import sqlite

    with sqlite.SqliteMetricStore(ws.path / sqlite.FILE, synced=False) as store:

        def keep(points: Sequence[MetricPoint]) -> None:
            store.put(points)

        yield keep


def _shown(ws: Workspace) -> bytes:
    """Everything in the store; the host's own metrics do not wait for it to be readable."""
    from mlops_bikeshare.flows import exporter

    try:
        return exporter.exposition(ws)
    except BikeshareError as error:
        log.error("the metric store cannot be shown: %s", error)
    except Exception:
        log.exception("the metric store could not be shown in a way that nobody foresaw")
    return b""


def _leave(number: int, frame: object) -> None:  # noqa: ARG001 - the signature is Python's
    raise KeyboardInterrupt


def _command(ws: Workspace, *, with_parent: bool) -> list[str]:
    settings = ws.settings
    options = ["--workspace", settings.workspace, "serve", "--port", str(settings.serving.port)]
    return [
        sys.executable,
        "-m",
        "mlops_bikeshare",
        *options,
        *(["--with-parent"] if with_parent else []),
    ]
