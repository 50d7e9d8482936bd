"""S3 and Glue on the wire: moto's own application on a free port, with faults on request.

`busy`: so many next writes are answered 503 and not done. `lost`: so many next writes are done
and answered 503 all the same, like an answer that never arrived.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.wire import sent, served

_BUSY = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


@dataclass
class Wire:
    """The WSGI application, its address and its moods."""

    application: Any
    url: str = ""
    busy: int = 0
    lost: int = 0

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "PUT" or not (self.busy or self.lost):
            answered: Iterable[bytes] = self.application(environ, start_response)
            return answered
        if self.lost:
            self.lost -= 1
            list(self.application(environ, lambda *_: None))
        else:
            self.busy -= 1
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        return sent(start_response, 503, "application/xml", _BUSY)


@contextmanager
def aws_on_the_wire() -> Iterator[Wire]:
    """A server of its own, gone with the block."""
    pytest.importorskip("moto.server", reason="moto[s3,server] is not installed")
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    wire = Wire(DomainDispatcherApplication(create_backend_app))
    with served(wire) as wire.url:
        # moto keeps its state in the process, not in the server
        httpx.post(f"{wire.url}/moto-api/reset", trust_env=False).raise_for_status()
        yield wire
