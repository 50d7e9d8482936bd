"""The routes of the operations API.

Input    HTTP requests with JSON bodies of at most 1 MiB; with a token set, each carries it.
Output   JSON; /metrics as Prometheus reads it, the predictions feed as it was published. What takes
         long is a job: 202 with its id, or, if it ends within `wait_s`, 200 with its result.
         Errors are {"detail": …}: 401 token, 404 no such thing, 409 a decision went against it or
         nothing is there to act on, 413 body, 422 what was asked is wrong (a body of another form
         is never repeated), 429 too many jobs wait, 503 the endpoint does not answer.
Source   OpenAPI 3.1 at /openapi.json.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Annotated

from fastapi import Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.security import HTTPBearer
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from mlops_bikeshare.api import asked, queueing, reading
from mlops_bikeshare.api.jobs import FullError, Jobs
from mlops_bikeshare.api.sign_in import BodyLimit, SignIn
from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.errors import (
    BikeshareError,
    EndpointError,
    InputError,
    ModelError,
    Refused,
    SettingsError,
)
from mlops_bikeshare.domain.reports import to_json
from mlops_bikeshare.domain.wording import masked
from mlops_bikeshare.flows import exporter
from mlops_bikeshare.flows import predict as predicting
from mlops_bikeshare.flows import status as looking
from mlops_bikeshare.flows.publishing import predictions_feed
from mlops_bikeshare.monitoring.exposition import CONTENT_TYPE

FEED = "/predictions/"
_STATUS: dict[type[BikeshareError], int] = {
    InputError: 422,
    SettingsError: 422,
    Refused: 409,
    ModelError: 409,
    EndpointError: 503,
    FullError: 429,
}
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def build_app(
    ws: Workspace, jobs: Jobs, *, wake: Callable[[], None], lifespan: Lifespan
) -> FastAPI:
    """The application; `wake` is told of every new job."""
    app = FastAPI(
        title="bikeshare operations",
        version="1",
        description="Train, ask, judge, promote and roll back; the same flows as the commands.",
        lifespan=lifespan,
        docs_url=None,  # they load scripts from other hosts
        redoc_url=None,
        middleware=[*_gates(ws), Middleware(BodyLimit)],
        dependencies=[
            Depends(HTTPBearer(auto_error=False, description="the token, if one is set"))
        ],
    )
    app.add_exception_handler(BikeshareError, _explained)
    app.add_exception_handler(RequestValidationError, _misasked)
    app.include_router(queueing.routes(queueing.Queue(ws, jobs, wake)))
    _add_answers(app, ws)
    _add_readings(app, ws)
    return app


def _gates(ws: Workspace) -> list[Middleware]:
    """Without a token only this machine asks, and no page in a browser by a foreign name."""
    known = ws.settings.api
    if known.token is None:
        return [Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])]

    def free(path: str) -> bool:
        return path == "/ping" or (known.feed == "public" and path.startswith(FEED))

    return [Middleware(SignIn, known.token, free)]


def _add_answers(app: FastAPI, ws: Workspace) -> None:
    """What is answered at once."""

    @app.post("/predict", response_model=asked.PredictedTold)
    def predict(body: asked.Predict) -> Response:
        """Chances for records of features, and the version that gave them."""
        ws.follow()
        city = ws.settings.city(body.city)
        said = predicting.predict(ws, city, body.records, endpoint=body.endpoint)
        model = {k: v for k, v in to_json(said.model).items() if k != "features"}
        answers = to_json(said.predictions)
        return JSONResponse({"endpoint": said.endpoint, "champion": model, "predictions": answers})

    @app.get(FEED + "schema.json")
    def schema() -> Response:
        """The JSON Schema of the predictions feed."""
        return JSONResponse(predictions_feed.schema(), media_type="application/schema+json")

    @app.get(FEED + "{city}.json")
    def feed(city: str, request: Request) -> Response:
        """What production said last, for rider apps; 304 to who has it already."""
        return reading.feed(ws, city, request.headers.get("if-none-match", ""))


def _add_readings(app: FastAPI, ws: Workspace) -> None:
    """What only looks."""

    @app.get("/ping")
    def ping() -> dict[str, str]:
        """Whether the API answers; free of the token."""
        return {"status": "healthy"}

    @app.get("/status")
    def status(city: str | None = None) -> Response:
        """The workspace at a glance."""
        return JSONResponse(to_json(looking.status(ws.settings, city=city)))

    @app.get("/metrics")
    def metrics() -> Response:
        """Everything in the metric store, for Prometheus."""
        return Response(exporter.exposition(ws), media_type=CONTENT_TYPE)

    @app.get("/drift_reports")
    def drift_reports(
        city: str | None = None, most: Annotated[int, Query(ge=1, le=100)] = 24
    ) -> Response:
        """The newest drift reports of a city, the newest first."""
        found = reading.drift_reports(ws, ws.settings.city(city), most=most)
        return JSONResponse(found)


async def _explained(_request: Request, error: Exception) -> Response:
    status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)
    return JSONResponse({"detail": masked(str(error))}, status_code=status)


async def _misasked(_request: Request, error: Exception) -> Response:
    """What is wrong and where, without what was sent."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    told = [{"loc": list(one["loc"]), "msg": one["msg"]} for one in found[:10]]
    return JSONResponse({"detail": told}, status_code=422)
