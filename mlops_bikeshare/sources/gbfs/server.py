"""A recording as a live GBFS feed over HTTP, as of a clock, with faults on request.

Input    a recording, a clock, a version, a plan of faults.
Output   an ASGI application: `/gbfs.json` and the feeds it lists, with ETag, Last-Modified and
         gzip; `GET /control/clock` (now, speed), `GET /control/delivered` (the documents of
         station_status that were sent whole), and
         `POST /control/faults {"kind": "html", "feed": "station_status", "times": 2}`,
         `DELETE /control/faults`. Bound to 127.0.0.1 only.
Raises   InputError for a fault or version that is not known; over HTTP that is a 400.
"""

import asyncio
import contextlib
import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from mlops_bikeshare.domain.clock import Clock
from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.sources.gbfs import render
from mlops_bikeshare.sources.gbfs.discovery import INFORMATION, STATUS, SYSTEM
from mlops_bikeshare.sources.gbfs.faults import UNDELIVERED, Faults, Kind
from mlops_bikeshare.sources.recorded import Recording

FEEDS = (SYSTEM, INFORMATION, STATUS)
_AHEAD = timedelta(hours=1)
_GONE_SHARE, _WRONG_ROWS = 10, 3
_GRACE_S = 1


@dataclass(slots=True)
class ReplayedCity:
    """What is served, and what was delivered."""

    recording: Recording
    clock: Clock
    version: render.Version = "2.3"
    name: str = "replayed"
    timezone: str = "Etc/UTC"
    ttl_s: int = 0
    speed: float = 1.0
    hold_s: float = 60.0
    faults: Faults = field(default_factory=Faults)
    delivered: list[datetime] = field(default_factory=list)
    _frozen: Any = None

    def document(self, feed: str, fault: Kind | None, *, base: str) -> Any | None:
        """The document now; None while the recording has nothing to say."""
        at = self.clock.now()
        if fault == "frozen" and feed == STATUS and self._frozen is not None:
            return self._frozen
        document = self._made(feed, at + (_AHEAD if fault == "skew" else timedelta()), at, base)
        if document is not None and feed == STATUS:
            spoiled = _SPOILED.get(fault or "")
            if spoiled:
                document["data"]["stations"] = spoiled(document["data"]["stations"])
            self._frozen = document if fault == "frozen" else None
        return document

    def _made(self, feed: str, told: datetime, at: datetime, base: str) -> Any | None:
        common: dict[str, Any] = {"at": told, "version": self.version, "ttl_s": self.ttl_s}
        if feed == "gbfs":
            return render.discovery({name: f"{base}/{name}.json" for name in FEEDS}, **common)
        if feed == SYSTEM:
            return render.system(name=self.name, timezone=self.timezone, **common)
        if feed == INFORMATION:
            return render.information(self.recording.information(at), **common)
        rows = self.recording.poll(at)
        return None if rows is None else render.status(rows, **common)


def build_app(city: ReplayedCity) -> Starlette:
    """The application."""

    async def feed(request: Request) -> Response:
        return await _answer(city, request.path_params["feed"], request)

    async def clock(_: Request) -> Response:
        return JSONResponse({"now": city.clock.now().isoformat(), "speed": city.speed})

    async def delivered(_: Request) -> Response:
        return JSONResponse([at.isoformat() for at in city.delivered])

    async def faults(request: Request) -> Response:
        return await _plan(city.faults, request)

    routes = [
        Route("/control/clock", clock),
        Route("/control/delivered", delivered),
        Route("/control/faults", faults, methods=["GET", "POST", "DELETE"]),
        Route("/{feed:str}.json", feed),
    ]
    return Starlette(routes=routes, middleware=[Middleware(GZipMiddleware, minimum_size=500)])


async def _plan(faults: Faults, request: Request) -> Response:
    if request.method == "DELETE":
        faults.clear()
    elif request.method == "POST":
        try:
            asked = await request.json()
            feed, times = asked.get("feed", STATUS), int(asked.get("times", 1))
            faults.plan(asked["kind"], feed=feed, times=times)
        except (InputError, ValueError, KeyError, AttributeError, TypeError) as error:
            return JSONResponse({"error": str(error)}, status_code=400)
    return JSONResponse(faults.waiting)


async def _answer(city: ReplayedCity, feed: str, request: Request) -> Response:
    if feed not in {"gbfs", *FEEDS}:
        return JSONResponse({"error": f"no feed {feed}"}, status_code=404)
    fault = city.faults.next(feed)
    if fault == "timeout":
        await asyncio.sleep(city.hold_s)
    if fault in {"timeout", "error_500"}:
        return JSONResponse({"error": "out of order"}, status_code=500)
    if fault == "html":
        return HTMLResponse("<html><body><h1>Down for maintenance</h1></body></html>")
    if fault == "not_modified" and "if-none-match" in request.headers:
        return Response(status_code=304)
    document = city.document(feed, fault, base=str(request.base_url).rstrip("/"))
    if document is None:
        return JSONResponse({"error": "the recording has nothing at this time"}, status_code=503)
    response = _whole(json.dumps(document).encode(), city.clock.now(), request, fault)
    if feed == STATUS and fault not in UNDELIVERED and response.status_code == 200:  # noqa: PLR2004
        city.delivered.append(city.clock.now())
    return response


def _whole(body: bytes, at: datetime, request: Request, fault: Kind | None) -> Response:
    tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    headers = {"ETag": tag, "Last-Modified": format_datetime(at, usegmt=True)}
    if fault == "cut":
        body = body[: len(body) // 2]
    if fault == "truncated":
        # Told to be whole, sent by half: the server closes the connection. Never compressed, or
        # the middleware would count again.
        headers |= {"Content-Length": str(len(body)), "Content-Encoding": "identity"}
        body = body[: len(body) // 2]
    elif request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


def _duplicated(stations: list[Any]) -> list[Any]:
    """Every fifth station once more, with a report of long ago and other counts."""
    old = {"last_reported": 86_400, "num_bikes_available": 0, "num_docks_available": 0}
    return [*stations, *({**station, **old} for station in stations[::5])]


def _vanished(stations: list[Any]) -> list[Any]:
    return stations[: len(stations) - len(stations) // _GONE_SHARE]


def _bad_rows(stations: list[Any]) -> list[Any]:
    wrong: list[Any] = [-4, "many", 99_999]
    broken = [
        {**station, "num_docks_available": value}
        for station, value in zip(stations[:_WRONG_ROWS], wrong, strict=False)
    ]
    return [*broken, *stations[_WRONG_ROWS:]]


_SPOILED = {"duplicated": _duplicated, "vanished": _vanished, "bad_rows": _bad_rows}


class _Server(uvicorn.Server):
    """Uvicorn whose signals are the business of whoever runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.contextmanager
def serving(city: ReplayedCity, *, port: int = 0) -> Iterator[str]:
    """Serve in a thread for as long as the block runs; the address of gbfs.json.

    The socket listens before the block runs, so that its first request needs no waiting.
    """
    listener = _listening(port)
    config = uvicorn.Config(
        build_app(city),
        log_level="critical",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=_GRACE_S,
    )
    server = _Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/gbfs.json"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def _listening(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise InputError(f"port {port} of 127.0.0.1: {error.strerror}; choose another") from None
    listener.listen()
    return listener
