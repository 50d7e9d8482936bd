"""The endpoint host and its workers against `mlflow models serve`, with the same version.

Both are real processes asked over HTTP on loopback, in the body that each reads best (Arrow here,
Parquet there: mlflow takes no Arrow). Memory is that of the whole tree of processes.
"""

import io
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pyarrow as pa

from mlops_bikeshare.features.definition import FEATURE_NAMES
from mlops_bikeshare.flows import serve
from mlops_bikeshare.flows.features import OFFLINE
from mlops_bikeshare.flows.releasing import steps
from mlops_bikeshare.registry import versions
from mlops_bikeshare.serving import launch
from mlops_bikeshare.serving.host.workers import ONE_THREAD
from tests.bench.bed import Bed
from tests.bench.measure import BenchError, Row, tree_kb

if TYPE_CHECKING:
    import pandas as pd

ENDPOINT = "bikeshare-bench"
ARROW, PARQUET = "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"
STATIONS = 2400
REPEATS, QUICK_REPEATS = 100, 20
START_S = 120
LIMIT_P95_MS = 200.0


def against_mlflow(bed: Bed) -> Iterator[Row]:
    version = versions.find(bed.city.registered_model, bed.version.version)
    folder = versions.download(version, bed.home / "serving")
    rows = bed.ws.lake.read(OFFLINE, city=bed.city.name, window=bed.split.calibrate)
    frame = rows[list(FEATURE_NAMES)].head(STATIONS).reset_index(drop=True)
    count = QUICK_REPEATS if bed.quick else REPEATS
    with _ours(bed) as (ask, start_s, memory):
        ours = {n: _latencies(ask, frame.head(n), n, count) for n in (1, 200, STATIONS)}
        our_mb, our_start = memory(), start_s
    with _mlflow(folder) as (ask, start_s, memory):
        theirs = {n: _latencies(ask, frame.head(n), n, count) for n in (1, STATIONS)}
        peer = {"start": start_s, "mb": memory()}
    said = f"mlflow models serve, one worker, same version, {count} requests"
    for n, name, goal in ((1, "row", 8.0), (STATIONS, "2400_rows", 3.0)):
        yield _row(f"p50_{name}", _p(ours[n], 50), _p(theirs[n], 50), "ms", goal, said)
    yield _row("start", our_start, peer["start"], "s", 2.0, "mlflow models serve until /ping")
    yield _row(
        "memory", our_mb, peer["mb"], "MB", 1 / 0.7, "mlflow models serve, all its processes"
    )
    p95 = _p(ours[200], 95)
    yield _row("p95_200_rows", p95, LIMIT_P95_MS, "ms", 1.0, "limit of ModelLatency, end to end")


Ask = Callable[["pd.DataFrame"], bytes]
Served = tuple[Ask, float, Callable[[], float]]


@contextmanager
def _ours(bed: Bed) -> Iterator[Served]:
    version = versions.find(bed.city.registered_model, bed.version.version)
    with serve.hosting(bed.ws):
        steps.place(bed.ws, bed.city, version, endpoint=ENDPOINT)
    # the endpoint is there already, as after a restart: that is what a start means
    began = time.perf_counter()
    with serve.hosting(bed.ws) as url, httpx.Client(timeout=60) as client:
        dt = f"dt={(bed.window.end - timedelta(hours=1)).isoformat()}"
        headers = {
            "content-type": ARROW,
            "accept": ARROW,
            "x-amzn-sagemaker-custom-attributes": dt,
        }

        def ask(frame: "pd.DataFrame") -> bytes:
            address = f"{url}/endpoints/{ENDPOINT}/invocations"
            return _answered(client.post(address, content=_arrow(frame), headers=headers))

        start_s = time.perf_counter() - began
        facts = launch.running(bed.ws.path)
        pid = facts.pid if facts else 0
        yield ask, start_s, lambda: _tree_mb(pid)


@contextmanager
def _mlflow(folder: Path) -> Iterator[Served]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["-m", str(folder), "--env-manager", "local", "-p", str(port), "-w", "1"]
    # it starts `uvicorn` by name
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "models", "serve", "-h", "127.0.0.1", *options],
        env={**os.environ, **ONE_THREAD, "PATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url, headers = f"http://127.0.0.1:{port}", {"content-type": PARQUET}
    try:
        with httpx.Client(timeout=60) as client:

            def ask(frame: "pd.DataFrame") -> bytes:
                sink = io.BytesIO()
                frame.to_parquet(sink)
                content = sink.getvalue()
                return _answered(
                    client.post(f"{url}/invocations", content=content, headers=headers)
                )

            _until_pinged(client, url, process)
            yield ask, time.perf_counter() - began, lambda: _tree_mb(process.pid)
    finally:
        process.terminate()
        process.wait(30)


def _until_pinged(client: httpx.Client, url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if client.get(f"{url}/ping").status_code == httpx.codes.OK:
                return
        except httpx.HTTPError:
            time.sleep(0.02)
    raise BenchError("mlflow models serve did not start")


def _answered(reply: httpx.Response) -> bytes:
    if reply.status_code != httpx.codes.OK:
        raise BenchError(f"{reply.url.host} answered {reply.status_code}: {reply.text[:200]}")
    return reply.content


def _latencies(ask: Ask, frame: "pd.DataFrame", rows: int, count: int) -> list[float]:
    for _ in range(3):
        ask(frame)
    seen = []
    for _ in range(count if rows == 1 else max(10, count // 5)):
        began = time.perf_counter()
        ask(frame)
        seen.append((time.perf_counter() - began) * 1e3)
    return seen


def _p(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _row(name: str, ours: float, peer: float, unit: str, goal: float, against: str) -> Row:
    return Row(name=f"serving.{name}", ours=ours, peer=peer, unit=unit, goal=goal, against=against)


def _arrow(frame: "pd.DataFrame") -> bytes:
    table, sink = pa.Table.from_pandas(frame, preserve_index=False), io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _tree_mb(pid: int) -> float:
    command = ["ps", "-axo", "pid=,ppid=,rss="]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return tree_kb(listing, pid) / 1024
