"""Who may ask, and how much: the token of every request, and the bound of its body.

Input    HTTP requests. With a token, each must carry `Authorization: Bearer <token>`; only the
         paths that are `free` need none. A body may have `MAX_BODY` bytes.
Output   the application's answer, 401 without saying more, or 413.

The token is compared in constant time. It is not encrypted on its way: put TLS in front where the
network is not trusted.
"""

import hmac
from collections.abc import Callable

from fastapi import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 1024 * 1024
_PREFIX = b"Bearer "
_REFUSED = {"detail": "the token is missing or another one: send Authorization: Bearer <token>"}
_TOO_LONG = f"the body has more than {MAX_BODY:,} bytes"


class SignIn:
    """ASGI middleware that lets nobody in without the token."""

    def __init__(self, app: ASGIApp, token: str, free: Callable[[str], bool]) -> None:
        self._app, self._token, self._free = app, token.encode(), free

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it before its body is read."""
        if scope["type"] == "http" and not self._free(scope["path"]) and not self._known(scope):
            headers = {"www-authenticate": "Bearer"}
            await JSONResponse(_REFUSED, status_code=401, headers=headers)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _known(self, scope: Scope) -> bool:
        said: bytes = _header(scope, b"authorization")
        given = said.removeprefix(_PREFIX)
        return said.startswith(_PREFIX) and hmac.compare_digest(given, self._token)


class BodyLimit:
    """ASGI middleware that reads no more of a body than it may have."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse what says that it is too long, and what turns out to be."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if int(_header(scope, b"content-length") or 0) > MAX_BODY:
            await JSONResponse({"detail": _TOO_LONG}, status_code=413)(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > MAX_BODY:
                raise HTTPException(413, _TOO_LONG)
            return message

        await self._app(scope, counted, send)


def _header(scope: Scope, wanted: bytes) -> bytes:
    return next((value for name, value in scope["headers"] if name == wanted), b"")
