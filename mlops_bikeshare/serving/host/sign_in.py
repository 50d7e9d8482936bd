"""Sign-in for a host that others can reach: every request carries the token.

Input    a token; requests that carry it as the access key id of a signature (so that unmodified
         boto3 and mlflow.sagemaker can) or as `Authorization: Bearer <token>` (Prometheus).
Output   the application's answer, or 403 in the shape of AWS's errors without saying more.

The token is not encrypted on its way: put TLS in front where the network is not trusted. /ping is
free, as health checks carry nothing.
"""

import hmac
import re

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_KEY = re.compile(rb"(?:Bearer |AWS4-HMAC-SHA256 Credential=)([^/\s,]+)")
_REFUSED = {"__type": "AccessDeniedException", "message": "the token is missing or another one"}


class SignIn:
    """ASGI middleware that lets nobody in without the token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it before its body is read."""
        if scope["type"] == "http" and scope["path"] != "/ping" and not self._known(scope):
            headers = {"x-amzn-ErrorType": "AccessDeniedException"}
            await JSONResponse(_REFUSED, status_code=403, headers=headers)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _known(self, scope: Scope) -> bool:
        said = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        found = _KEY.match(said)
        return found is not None and hmac.compare_digest(found[1], self._token)
