"""What takes long is a job: it is queued, done by the worker, and told by /jobs.

Input    what was asked for; `wait_s`, how long the answer may wait for the end.
Output   200 with a job that has ended, 202 with one that has not; `Location` is where it is told.
Raises   InputError for a window that is none, SettingsError for a city that is not in the settings,
         FullError when too many wait; 404 for a job that there is not.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import anyio
from anyio.to_thread import run_sync
from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import JSONResponse, Response

from mlops_bikeshare.api import asked
from mlops_bikeshare.api.jobs import ENDED, Job, Jobs
from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.reports import to_json
from mlops_bikeshare.domain.windows import Window, parse_hours

_LOOK_S = 0.05
Wait = Annotated[float, Query(ge=0, le=300, description="Wait so long for the end of the job.")]
Most = Annotated[int, Query(ge=1, le=200)]


@dataclass(frozen=True)
class Queue:
    """The jobs of a workspace; `wake` is told of every new one."""

    ws: Workspace
    jobs: Jobs
    wake: Callable[[], None]

    async def put(self, kind: str, body: asked.Asked, wait_s: float) -> Response:
        """Queue a job, and answer when it has ended or `wait_s` is over."""
        city = self.ws.settings.city(body.city).name
        wanted, most = body.model_dump(exclude={"city"}), self.ws.settings.api.most_waiting
        job = await run_sync(lambda: self.jobs.ask(kind, city, wanted, most_waiting=most))
        await run_sync(self.wake)
        job = await self.ended(job.id, wait_s)
        status = 200 if job.state in ENDED else 202
        where = {"location": f"/jobs/{job.id}"}
        return JSONResponse(to_json(job), status_code=status, headers=where)

    async def ended(self, name: str, wait_s: float) -> Job:
        """The job once it has ended, or as it is when `wait_s` is over."""
        until = time.monotonic() + wait_s
        while True:
            job = await run_sync(self.jobs.find, name)
            if job is None:
                raise HTTPException(404, "there is no such job")
            if job.state in ENDED or time.monotonic() >= until:
                return job
            await anyio.sleep(_LOOK_S)


def routes(queue: Queue) -> APIRouter:
    """Asking for jobs, and looking at them."""
    router = APIRouter()
    told: dict[str, Any] = {
        "response_model": asked.JobTold,
        "responses": {202: {"model": asked.JobTold, "description": "It waits, or runs."}},
    }

    @router.post("/train", **told)
    async def train(body: asked.Train, wait_s: Wait = 0) -> Response:
        """Train a challenger: run_id, version, metrics and decision in the job's result."""
        if body.window is not None:
            Window.parse(body.window, key="window")
        return await queue.put("train", body, wait_s)

    @router.post("/gate", **told)
    async def gate(body: asked.Gate, wait_s: Wait = 0) -> Response:
        """Judge staging: the verdict and its checks in the job's result."""
        if body.window is not None:
            parse_hours(body.window, key="window")
        return await queue.put("gate", body, wait_s)

    @router.post("/promote", **told)
    @router.post("/promote_champion", **told)
    async def promote(body: asked.Promote, wait_s: Wait = 0) -> Response:
        """Move the gated challenger to production; interrupted, it goes on by its journal."""
        return await queue.put("promote", body, wait_s)

    @router.post("/rollback", **told)
    async def rollback(body: asked.Rollback, wait_s: Wait = 0) -> Response:
        """Put the previous champion, or an earlier version, back on production."""
        return await queue.put("rollback", body, wait_s)

    _add_looks(router, queue)
    return router


def _add_looks(router: APIRouter, queue: Queue) -> None:
    @router.get("/jobs/{name}", response_model=asked.JobTold)
    async def job(name: str, wait_s: Wait = 0) -> Response:
        """What became of a job."""
        return JSONResponse(to_json(await queue.ended(name, wait_s)))

    @router.get("/jobs", response_model=list[asked.JobTold])
    def newest(most: Most = 20) -> Response:
        """The last jobs, the newest first."""
        return JSONResponse(to_json(queue.jobs.newest(most=most)))
