"""SageMaker's container contract around one model: what runs where an endpoint is a container.

Input    an unpacked MLflow model (SageMaker puts it into /opt/ml/model), requests on port 8080.
Output   GET /ping: 200 once the model is loaded; POST /invocations: the answer in the type that
         `Accept` asks for, as the local host's workers give it. One request is scored at a time.
Raises   ModelError (printed, exit code 1) when the model cannot be loaded or holds a pickle.
Source   SageMaker developer guide, "Use your own inference code with hosting services".
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mlops_bikeshare.domain.errors import ModelError
from mlops_bikeshare.serving.archive import is_pickle
from mlops_bikeshare.serving.host.bodies import warm_up
from mlops_bikeshare.serving.host.scoring import LoadedModel

MODEL = Path("/opt/ml/model")
PORT = 8080
MAX_BODY = 6 * 1024**2
ANYWHERE = "0.0.0.0"  # noqa: S104 - SageMaker reaches a container from outside of it


def build_app(model: LoadedModel) -> Starlette:
    """The two routes."""
    turn = asyncio.Lock()

    async def ping(_request: Request) -> Response:
        return Response()

    async def invocations(request: Request) -> Response:
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > MAX_BODY:
                return Response(status_code=413)
        types = {k: request.headers.get(h, "") for k, h in _TYPES.items()}
        async with turn:
            # in a thread, so that /ping answers while a large request is scored
            reply = await asyncio.to_thread(model.answer, bytes(body), **types)
        return Response(reply.body, status_code=reply.status, media_type=reply.content_type)

    return Starlette(
        routes=[
            Route("/ping", ping, methods=["GET"]),
            Route("/invocations", invocations, methods=["POST"]),
        ]
    )


_TYPES = {"content_type": "content-type", "accept": "accept"}


def load(folder: Path) -> LoadedModel:
    """The model in a folder that somebody else unpacked."""
    for path in sorted(folder.rglob("*")):
        if is_pickle(path, _begins(path)):
            name = path.relative_to(folder).as_posix()
            raise ModelError(
                f"model refused: {name!r} is a pickle; log the model from code instead"
            )
    return LoadedModel.load(folder)


def _begins(path: Path) -> bytes:
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Load, then serve until SIGTERM."""
    asked = _arguments(arguments)
    try:
        model = load(asked.model)
    except ModelError as error:
        sys.stderr.write(f"container: {error}\n")
        return 1
    warm_up()
    app = build_app(model)
    uvicorn.run(
        app,
        host=asked.host,
        port=asked.port,
        log_level="warning",
        access_log=False,
        server_header=False,
    )
    return 0


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="container", description=__doc__)
    parser.add_argument("command", nargs="?", default="serve", choices=["serve"])
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--host", default=ANYWHERE)
    port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT", PORT))
    parser.add_argument("--port", type=int, default=port)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
