"""InvokeEndpoint: pick a variant, ask its worker, record the metrics, then answer.

Input    endpoint name, headers, body of at most `MAX_BODY` bytes.
Output   Invocation: the worker's body and type, and the variant that answered.
Raises   ApiError: ValidationError (unknown endpoint or variant, body too large, no usable dt),
         ModelError 424 with OriginalStatusCode when the model did not answer 200.

Metrics (namespace AWS/SageMaker; EndpointName, VariantName), for every request a model was asked:
Invocations 1, Invocation4XXErrors and Invocation5XXErrors 0 or 1, ModelLatency and OverheadLatency
in µs, always measured (without the wait for the sink). With a replay's clock their time is the
request's `dt`, since simulated and real days must not mix.
Source   SageMaker developer guide, "Monitor SageMaker with CloudWatch".
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus

from mlops_bikeshare.domain.reports import MetricPoint
from mlops_bikeshare.serving.host.capture import Seen
from mlops_bikeshare.serving.host.exposition import Exposition
from mlops_bikeshare.serving.host.faults import ApiError
from mlops_bikeshare.serving.host.lifecycle import Lifecycle
from mlops_bikeshare.serving.host.meter import Meter
from mlops_bikeshare.serving.host.names import ACCOUNT
from mlops_bikeshare.serving.host.workers import Variant, WorkerReply

MAX_BODY = 6 * 1024**2
ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
TARGET = "x-amzn-sagemaker-target-variant"


@dataclass(frozen=True, slots=True)
class Invocation:
    """What the client gets."""

    body: bytes
    content_type: str
    variant: str


class ModelFailedError(ApiError):
    """SageMaker's ModelError: the container answered something other than 200."""

    def __init__(self, reply: WorkerReply) -> None:
        message = reply.body.decode("utf-8", "replace")
        super().__init__(
            "ModelError",
            f'Received error ({reply.status}) from primary with message "{message}".',
            status=HTTPStatus.FAILED_DEPENDENCY,
        )
        self.original_status = reply.status
        self.original_message = message


class Runtime:
    """Answers invocations of the lifecycle's fleets."""

    def __init__(
        self, lifecycle: Lifecycle, meter: Meter, exposition: Exposition, *, replay_clock: bool
    ) -> None:
        self._lifecycle = lifecycle
        self._meter = meter
        self._exposition = exposition
        self._shadows: set[asyncio.Task[WorkerReply]] = set()
        self._time_of: Callable[[str], datetime] = dt_of if replay_clock else _wall_time

    async def invoke(self, endpoint: str, headers: Mapping[str, str], body: bytes) -> Invocation:
        """One invocation, acknowledged only after its metrics are kept."""
        began = time.perf_counter()
        fleet = self._lifecycle.fleets.get(endpoint)
        if fleet is None:
            message = f"Endpoint {endpoint} of account {ACCOUNT} not found."
            raise ApiError("ValidationError", message)
        at = self._time_of(headers.get(ATTRIBUTES, ""))
        variant = fleet.choose(headers.get(TARGET))
        ask = _Asked(endpoint, at, headers, body)
        shadow = fleet.shown()
        if shadow is not None:
            task = asyncio.create_task(self._measured(ask, shadow, time.perf_counter()))
            self._shadows.add(task)
            task.add_done_callback(self._shadows.discard)
        reply = await self._measured(ask, variant, began)
        if fleet.capture is not None:
            await fleet.capture.keep(ask.seen(variant.name, reply))
        if reply.status != HTTPStatus.OK:
            raise ModelFailedError(reply)
        return Invocation(reply.body, reply.content_type, variant.name)

    async def close(self) -> None:
        """Let go of what shadows were shown."""
        for task in self._shadows:
            task.cancel()
        await asyncio.gather(*self._shadows, return_exceptions=True)

    async def _measured(self, ask: "_Asked", variant: Variant, began: float) -> WorkerReply:
        asked = time.perf_counter()
        reply = await variant.ask(ask.header(), ask.body)
        answered = time.perf_counter()
        model_s = answered - asked
        overhead_s = asked - began + time.perf_counter() - answered
        dimensions = {"EndpointName": ask.endpoint, "VariantName": variant.name}
        await self._meter.record(
            _points(dimensions, ask.at, reply.status, model_s=model_s, overhead_s=overhead_s)
        )
        self._exposition.count(
            ask.endpoint,
            variant.name,
            status=reply.status,
            model_s=model_s,
            overhead_s=overhead_s,
        )
        return reply


@dataclass(frozen=True, slots=True)
class _Asked:
    endpoint: str
    at: datetime
    headers: Mapping[str, str]
    body: bytes

    def header(self) -> dict[str, str]:
        """What the worker needs to know beside the body."""
        return {
            "content_type": self.headers.get("content-type", ""),
            "accept": self.headers.get("accept", ""),
        }

    def seen(self, variant: str, reply: WorkerReply) -> Seen:
        """The request and its answer as capture keeps them."""
        bodies = {
            "Input": (self.headers.get("content-type", ""), self.body),
            "Output": (reply.content_type, reply.body),
        }
        return Seen(self.endpoint, variant, self.at, self.headers.get(ATTRIBUTES, ""), bodies)


def dt_of(attributes: str) -> datetime:
    """The decision time in `dt=<ISO time>`, one of comma-separated custom attributes."""
    for part in attributes.split(","):
        key, _, value = part.strip().partition("=")
        if key == "dt":
            try:
                at = datetime.fromisoformat(value)
            except ValueError:
                break
            if at.tzinfo is not None:
                return at.astimezone(UTC)
    raise ApiError(
        "ValidationError",
        "this host runs on a replay's clock: CustomAttributes must hold dt=<ISO time with zone>",
    )


def _wall_time(_attributes: str) -> datetime:
    return datetime.now(UTC)


def _points(
    dimensions: dict[str, str], at: datetime, status: int, *, model_s: float, overhead_s: float
) -> list[MetricPoint]:
    bad_request = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    values = {
        "Invocations": (1.0, "None"),
        "Invocation4XXErrors": (float(bad_request), "None"),
        "Invocation5XXErrors": (float(status >= HTTPStatus.INTERNAL_SERVER_ERROR), "None"),
        "ModelLatency": (model_s * 1e6, "Microseconds"),
        "OverheadLatency": (overhead_s * 1e6, "Microseconds"),
    }
    return [
        MetricPoint(
            namespace="AWS/SageMaker",
            name=name,
            dimensions=dimensions,
            at=at,
            value=value,
            unit=unit,
        )
        for name, (value, unit) in values.items()
    ]
