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

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus

from mlops_bikeshare.domain.reports import MetricPoint
from mlops_bikeshare.serving.host.faults import ApiError
from mlops_bikeshare.serving.host.lifecycle import Lifecycle
from mlops_bikeshare.serving.host.meter import Meter
from mlops_bikeshare.serving.host.names import ACCOUNT
from mlops_bikeshare.serving.host.workers import WorkerReply

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

    def __init__(self, lifecycle: Lifecycle, meter: Meter, *, replay_clock: bool) -> None:
        self._lifecycle = lifecycle
        self._meter = meter
        self._time_of: Callable[[str], datetime] = dt_of if replay_clock else _wall_time

    async def invoke(self, endpoint: str, headers: Mapping[str, str], body: bytes) -> Invocation:
        """One invocation, acknowledged only after its metrics are durable."""
        begun = time.perf_counter()
        fleet = self._lifecycle.fleets.get(endpoint)
        if fleet is None:
            message = f"Endpoint {endpoint} of account {ACCOUNT} not found."
            raise ApiError("ValidationError", message)
        at = self._time_of(headers.get(ATTRIBUTES, ""))
        variant = fleet.choose(headers.get(TARGET))
        header = {
            "content_type": headers.get("content-type", ""),
            "accept": headers.get("accept", ""),
        }
        asked = time.perf_counter()
        reply = await variant.ask(header, body)
        answered = time.perf_counter()
        overhead_s = asked - begun + time.perf_counter() - answered
        dimensions = {"EndpointName": endpoint, "VariantName": variant.name}
        await self._meter.record(
            _points(dimensions, at, reply.status, model_s=answered - asked, overhead_s=overhead_s)
        )
        if reply.status != HTTPStatus.OK:
            raise ModelFailedError(reply)
        return Invocation(reply.body, reply.content_type, variant.name)


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
