"""The endpoint host and its workers against `mlflow models serve`, with the same version.

Both are real processes asked over one kept connection on loopback, with a body made beforehand that
each reads best (Arrow here, Parquet there: mlflow takes no Arrow). They are asked in turns of ten,
so that a busy moment hits both; `_apart`: in turns of one, so that each request finds the caches of
the machine as the other server left them. Memory is that of the whole tree of processes.
"""

import io
import math
import os
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pyarrow as pa

from mlops_bikeshare.features.definition import FEATURE_NAMES
from mlops_bikeshare.flows import serve
from mlops_bikeshare.flows.features import OFFLINE
from mlops_bikeshare.flows.releasing import placing
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
REPEATS, QUICK_REPEATS = 400, 40
TURN = 10
START_S = 300
LIMIT_P95_MS = 200.0


def against_mlflow(bed: Bed) -> Iterator[Row]:
    version = versions.find(bed.city.registered_model, bed.version.version)
    folder = versions.download(version, bed.home / "serving")
    rows = bed.ws.lake.read(OFFLINE, city=bed.city.name, window=bed.split.calibrate)
    frame = rows[list(FEATURE_NAMES)].head(STATIONS).reset_index(drop=True)
    count = QUICK_REPEATS if bed.quick else REPEATS
    with _ours(bed) as ours, _mlflow(folder) as peer:
        servers = (ours, peer)
        times = {n: _latencies(servers, frame.head(n), count) for n in (1, 200, STATIONS)}
        apart = _latencies(servers, frame.head(1), count, turn=1)
        our_mb, peer_mb = _tree_mb(ours.pid), _tree_mb(peer.pid)
    said = f"mlflow models serve, one worker, same version, {count} requests, 40 of many rows"
    for n, name, goal in ((1, "row", 8.0), (STATIONS, "2400_rows", 3.0)):
        mine, others = times[n]
        yield _row(f"p50_{name}", _p(mine, 50), _p(others, 50), "ms", goal, said)
    yield _row("p50_row_apart", _p(apart[0], 50), _p(apart[1], 50), "ms", 8.0, said)
    yield _row("start", ours.start_s, peer.start_s, "s", 2.0, "mlflow models serve until /ping")
    yield _row("memory", our_mb, peer_mb, "MB", 1 / 0.7, "mlflow models serve, all its processes")
    p95 = _p(times[200][0], 95)
    yield _row("p95_200_rows", p95, LIMIT_P95_MS, "ms", 1.0, "limit of ModelLatency, end to end")


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A server that is up: how it is asked, and what its start took."""

    pid: int
    start_s: float
    address: tuple[str, int]
    path: str
    headers: dict[str, str]
    encode: "Callable[[pd.DataFrame], bytes]"


@contextmanager
def _ours(bed: Bed) -> Iterator[Served]:
    version = versions.find(bed.city.registered_model, bed.version.version)
    with serve.hosting(bed.ws):
        placing.place(bed.ws, bed.city, version, endpoint=ENDPOINT)
    # the endpoint is there already, as after a restart: that is what a start means
    began = time.perf_counter()
    with serve.hosting(bed.ws):
        start_s = time.perf_counter() - began
        facts = launch.running(bed.ws.path)
        if facts is None:
            raise BenchError("the endpoint host is gone")
        dt = f"dt={(bed.window.end - timedelta(hours=1)).isoformat()}"
        yield Served(
            pid=facts.pid,
            start_s=start_s,
            address=("127.0.0.1", facts.port),
            path=f"/endpoints/{ENDPOINT}/invocations",
            headers={
                "content-type": ARROW,
                "accept": ARROW,
                "x-amzn-sagemaker-custom-attributes": dt,
            },
            encode=_arrow,
        )


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
    try:
        with httpx.Client(timeout=60) as client:
            _until_pinged(client, f"http://127.0.0.1:{port}", process)
        yield Served(
            pid=process.pid,
            start_s=time.perf_counter() - began,
            address=("127.0.0.1", port),
            path="/invocations",
            headers={"content-type": PARQUET},
            encode=_parquet,
        )
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


def _latencies(
    servers: Sequence[Served], frame: "pd.DataFrame", count: int, *, turn: int = TURN
) -> list[list[float]]:
    """Milliseconds of each answer, by server; the first turn warms up."""
    seen: list[list[float]] = [[] for _ in servers]
    with ExitStack() as stack:
        asks = [stack.enter_context(_asking(server, frame)) for server in servers]
        wanted = count if len(frame) == 1 else max(10, count // 10)
        for _ in range(1 + math.ceil(wanted / turn)):
            for ask, times in zip(asks, seen, strict=True):
                for _ in range(turn):
                    began = time.perf_counter()
                    ask()
                    times.append((time.perf_counter() - began) * 1e3)
    return [times[turn:] for times in seen]


@contextmanager
def _asking(server: Served, frame: "pd.DataFrame") -> Iterator[Callable[[], None]]:
    """Asks with one body on one connection, reading as little HTTP as there is to read."""
    body = server.encode(frame)
    length = {"host": "127.0.0.1", "content-length": str(len(body))}
    lines = [f"{name}: {value}" for name, value in (server.headers | length).items()]
    request = "\r\n".join([f"POST {server.path} HTTP/1.1", *lines, "", ""]).encode() + body
    with socket.create_connection(server.address, timeout=60) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def ask() -> None:
            line.sendall(request)
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += line.recv(1 << 20)
            head, _, content = answer.partition(b"\r\n\r\n")
            found = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
            if found is None or not head.startswith(b"HTTP/1.1 200"):
                raise BenchError(f"{server.path} answered {head[:200]!r}")
            left = int(found[1]) - len(content)
            while left > 0:
                left -= len(line.recv(1 << 20))

        yield ask


def _p(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _row(name: str, ours: float, peer: float, unit: str, goal: float, against: str) -> Row:
    return Row(name=f"serving.{name}", ours=ours, peer=peer, unit=unit, goal=goal, against=against)


def _arrow(frame: "pd.DataFrame") -> bytes:
    table, sink = pa.Table.from_pandas(frame, preserve_index=False), io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _parquet(frame: "pd.DataFrame") -> bytes:
    sink = io.BytesIO()
    frame.to_parquet(sink)
    return sink.getvalue()


def _tree_mb(pid: int) -> float:
    command = ["ps", "-axo", "pid=,ppid=,rss="]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return tree_kb(listing, pid) / 1024
