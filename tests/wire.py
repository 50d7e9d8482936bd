"""Servers of AWS on loopback: one way to serve them all, and the JSON protocols they speak.

Input    a WSGI application; for the JSON protocols a function from operation and arguments to what
         is answered, which raises RefusedError for what the service refuses.
Output   the address that boto3 is given.
Source   Smithy, "AWS JSON 1.0 and 1.1 protocols": the operation is the end of X-Amz-Target, an
         error is a body with `__type`.

An application that raises ConnectionError hangs up: the caller sees a connection without an answer.
"""

import gzip
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

Environ = dict[str, Any]
Application = Callable[[Environ, Any], Iterable[bytes]]
Answer = Callable[[str, dict[str, Any]], dict[str, Any]]


class RefusedError(Exception):
    """What a service answers with 400: `kind` is the exception's name in its model."""

    def __init__(self, said: str, *, kind: str = "ValidationException") -> None:
        super().__init__(said)
        self.kind = kind


@contextmanager
def served(application: Application) -> Iterator[str]:
    """The address of a server of its own, gone with the block."""
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        """Says nothing: a test says what it wants to know."""

        def connection_dropped(self, *_: Any) -> None:
            """Hang up: a client that keeps connections would wait for the answer to its end."""
            self.close_connection = True

        def log(self, *_: Any) -> None:
            """Say nothing."""

    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def body_of(environ: Environ) -> bytes:
    """What was sent, unpacked."""
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    return gzip.decompress(body) if environ.get("HTTP_CONTENT_ENCODING") == "gzip" else body


def operation_of(environ: Environ) -> str:
    """`StartQueryExecution` of `X-Amz-Target: AmazonAthena.StartQueryExecution`."""
    return str(environ.get("HTTP_X_AMZ_TARGET", "")).rpartition(".")[2]


def json_service(answer: Answer, *, version: str = "1.1") -> Application:
    """The application of a service that speaks AWS JSON."""

    def application(environ: Environ, start_response: Any) -> Iterable[bytes]:
        try:
            told = answer(operation_of(environ), json.loads(body_of(environ)))
        except RefusedError as refused:
            told = {"__type": refused.kind, "message": str(refused)}
            return said(start_response, 400, told, version=version)
        return said(start_response, 200, told, version=version)

    return application


def said(start_response: Any, status: int, told: Any, *, version: str = "1.1") -> list[bytes]:
    """An answer in JSON."""
    return sent(start_response, status, f"application/x-amz-json-{version}", json.dumps(told))


def sent(start_response: Any, status: int, kind: str, text: str) -> list[bytes]:
    """An answer of any kind."""
    body = text.encode()
    start_response(f"{status} .", [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]
