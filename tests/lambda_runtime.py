"""The Runtime API of AWS Lambda on loopback, and awslambdaric as what runs there.

Source   AWS, Lambda developer guide, "Using the Lambda runtime API": `next` waits for an event;
         `response` and `error` end it; an event has an id and a deadline in its headers.
"""

import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

_ROOT = "/2018-06-01/runtime"
_PATIENCE_S = 120


@dataclass
class Runtime:
    """Events that wait to be taken, and what became of those that were."""

    process: "subprocess.Popen[bytes] | None" = None
    events: "queue.Queue[tuple[str, bytes]]" = field(default_factory=queue.Queue)
    ended: "queue.Queue[tuple[str, Any]]" = field(default_factory=queue.Queue)
    number: int = 0

    def send(self, event: Mapping[str, Any]) -> tuple[str, Any]:
        """Deliver an event and wait for its end: (`response` | `error`, what was said)."""
        self.number += 1
        self.events.put((f"event-{self.number}", json.dumps(event).encode()))
        return self.ended.get(timeout=_PATIENCE_S)

    def cpu_s(self) -> float:
        """User and system time of the function's process so far."""
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def installed(folder: Path) -> Path:
    """Lambda's own client, beside the lock; skips where the package index does not answer."""
    if shutil.which("uv") is None:
        pytest.skip("needs uv, to install awslambdaric beside the lock")
    command = ["uv", "pip", "install", "--quiet", "--python", sys.executable]
    done = subprocess.run(
        [*command, "--target", str(folder), "awslambdaric"],
        capture_output=True,
        check=False,
        timeout=120,
    )
    if done.returncode:
        pytest.skip("the package index does not answer: no awslambdaric")
    return folder


@contextmanager
def function(handler: str, *, client: Path, environ: Mapping[str, str]) -> Iterator[Runtime]:
    """A function in a process of its own, frozen in `next` between events."""
    runtime = Runtime()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(runtime))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    own = {
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_port}",
        "AWS_LAMBDA_FUNCTION_NAME": "bikeshare-dev-demo-infer",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "2048",
        "LAMBDA_TASK_ROOT": os.fspath(Path.cwd()),
        "PYTHONPATH": os.fspath(client),
    }
    with subprocess.Popen(
        [sys.executable, "-m", "awslambdaric", handler],
        env={**environ, **own},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        runtime.process = process
        try:
            yield runtime
        finally:
            process.kill()
            process.wait()
            runtime.events.put(("", b""))  # lets the request go that waits in `next`
            server.shutdown()
            server.server_close()
            thread.join()


def _handler(runtime: Runtime) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == f"{_ROOT}/invocation/next"
            name, body = runtime.events.get()
            if not name:
                return
            self.send_response(200)
            self.send_header("Lambda-Runtime-Aws-Request-Id", name)
            self.send_header("Lambda-Runtime-Deadline-Ms", str(int((time.time() + 60) * 1000)))
            arn = "arn:aws:lambda:ca-central-1:123456789012:function:bikeshare-dev-demo-infer"
            self.send_header("Lambda-Runtime-Invoked-Function-Arn", arn)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            said = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"null")
            runtime.ended.put((self.path.rpartition("/")[2], said))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """A test says what it wants to know."""

    return Handler
