"""The front's routes: SageMaker's control plane, its runtime, the little S3, /ping, /metrics.

Input    HTTP requests on loopback; a foreign Host header is refused (a page in a browser must not
         reach the host through a name that points at 127.0.0.1). With a token, from anywhere.
Output   responses and errors in the shape each protocol's client parses.
"""

import json
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from xml.sax.saxutils import escape

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mlops_bikeshare.serving.host.control import ControlPlane
from mlops_bikeshare.serving.host.exposition import CONTENT_TYPE, Exposition
from mlops_bikeshare.serving.host.faults import ApiError
from mlops_bikeshare.serving.host.runtime import MAX_BODY, ModelFailedError, Runtime
from mlops_bikeshare.serving.host.s3 import S3
from mlops_bikeshare.serving.host.sign_in import SignIn

Answer = Callable[[Request], Awaitable[Response]]
_LOG = logging.getLogger(__name__)


def build_app(
    control: ControlPlane,
    runtime: Runtime,
    s3: S3,
    exposition: Exposition,
    *,
    token: str | None = None,
    lifespan: Callable[[Starlette], AbstractAsyncContextManager[None]],
) -> Starlette:
    """The ASGI application over the three protocols."""
    s3_methods = ["GET", "HEAD", "PUT", "POST", "DELETE"]
    s3_answer = _guarded(s3.answer, _s3_error)
    return Starlette(
        routes=[
            # the first that matches answers: what is asked most comes first
            Route(
                "/endpoints/{name}/invocations",
                _guarded(_invocation(runtime), _runtime_error),
                methods=["POST"],
            ),
            Route("/", _guarded(_control(control), _json_error), methods=["POST"]),
            Route("/ping", _ping, methods=["GET"]),
            Route("/metrics", _metrics(exposition), methods=["GET"]),
            Route("/{bucket}", s3_answer, methods=s3_methods),
            Route("/{bucket}/{key:path}", s3_answer, methods=s3_methods),
        ],
        middleware=[
            Middleware(SignIn, token)
            if token
            else Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
        ],
        lifespan=lifespan,
    )


async def _ping(_request: Request) -> Response:
    return JSONResponse({"status": "healthy"})


def _metrics(exposition: Exposition) -> Answer:
    async def answer(_request: Request) -> Response:
        # What is not the host's own is read from files, which must not hold requests up.
        body = await run_in_threadpool(exposition.text)
        return Response(body, media_type=CONTENT_TYPE)

    return answer


def _control(control: ControlPlane) -> Answer:
    async def answer(request: Request) -> Response:
        operation = request.headers.get("x-amz-target", "").removeprefix("SageMaker.")
        try:
            parameters = json.loads(await _body(request) or b"{}")
        except ValueError as error:
            raise ApiError("SerializationException", "the body is not JSON") from error
        if not isinstance(parameters, dict):
            raise ApiError("SerializationException", "the body is not a JSON object")
        return Response(
            json.dumps(control.call(operation, parameters)),
            media_type="application/x-amz-json-1.1",
            headers=_request_id(),
        )

    return answer


def _invocation(runtime: Runtime) -> Answer:
    async def answer(request: Request) -> Response:
        body = await _body(request)
        done = await runtime.invoke(request.path_params["name"], request.headers, body)
        headers = {"x-Amzn-Invoked-Production-Variant": done.variant, **_request_id()}
        return Response(done.body, media_type=done.content_type, headers=headers)

    return answer


async def _body(request: Request) -> bytes:
    pieces: list[bytes] = []
    size = 0
    stream: AsyncIterator[bytes] = request.stream()
    async for piece in stream:
        size += len(piece)
        if size > MAX_BODY:
            raise ApiError(
                "ValidationError",
                f"the body has more than {MAX_BODY} bytes",
                status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            )
        pieces.append(piece)
    return b"".join(pieces)


def _guarded(answer: Answer, failed: Callable[[ApiError], Response]) -> Answer:
    async def guarded(request: Request) -> Response:
        try:
            return await answer(request)
        except ApiError as error:
            return failed(error)
        except ClientDisconnect:
            return Response(status_code=HTTPStatus.BAD_REQUEST)
        except Exception as error:  # an entry point: the host lives on, and echoes nothing
            _LOG.exception("request failed")
            said = error.strerror if isinstance(error, OSError) else None  # no path is in it
            message = f"the host failed: {said or type(error).__name__}"
            return failed(ApiError("InternalFailure", message, status=500))

    return guarded


def _json_error(error: ApiError) -> Response:
    body = {"__type": error.code, "message": str(error)}
    return JSONResponse(body, status_code=error.status, headers=_request_id())


def _runtime_error(error: ApiError) -> Response:
    body: dict[str, object] = {"message": str(error), "Message": str(error)}
    if isinstance(error, ModelFailedError):
        body |= {
            "OriginalStatusCode": error.original_status,
            "OriginalMessage": error.original_message,
        }
    headers = {"x-amzn-ErrorType": error.code, **_request_id()}
    return JSONResponse(body, status_code=error.status, headers=headers)


def _s3_error(error: ApiError) -> Response:
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{error.code}</Code>'
        f"<Message>{escape(str(error))}</Message></Error>"
    )
    return Response(text, status_code=error.status, media_type="application/xml")


def _request_id() -> dict[str, str]:
    return {"x-amzn-RequestId": str(uuid.uuid4())}
