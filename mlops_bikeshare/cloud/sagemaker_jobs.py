"""A job of SageMaker: started, looked at, waited for, stopped.

Input    a boto3 client of SageMaker (`client`), a Request.
Output   State: what SageMaker calls it, and why it failed.
Raises   CloudError, in one line, for what SageMaker refuses.
Source   AWS, SageMaker API reference: CreateTrainingJob, DescribeTrainingJob, StopTrainingJob and
         the same of processing jobs.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mlops_bikeshare.cloud.job_requests import Request
from mlops_bikeshare.domain import aws_errors
from mlops_bikeshare.domain.errors import CloudError

POLL_S = 10.0
GOING = ("InProgress", "Stopping")


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """`Completed`, `Failed`, `Stopped`, or on its way there; `reason` is what the job said."""

    status: str
    reason: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.status not in GOING

    @property
    def succeeded(self) -> bool:
        """Whether it did what it was asked."""
        return self.status == "Completed"


def client(region: str) -> Any:
    """A boto3 client of SageMaker."""
    from boto3.session import Session
    from botocore.config import Config

    retries: Any = {"mode": "standard", "total_max_attempts": 5}
    config = Config(connect_timeout=5, read_timeout=60, retries=retries)
    return Session().client("sagemaker", region_name=region, config=config)


class SageMakerJob:
    """One job, by its name."""

    def __init__(
        self, client: Any, asked: Request, *, pause: Callable[[float], object] = time.sleep
    ) -> None:
        self._client = client
        self._asked = asked
        self._pause = pause

    @property
    def name(self) -> str:
        """What SageMaker knows it by."""
        return self._asked.name

    def start(self) -> None:
        """Ask for it; SageMaker does the rest."""
        self._call("create", **self._asked.arguments)

    def state(self) -> State:
        """How it is."""
        told = self._call("describe")
        reason = told.get("FailureReason") or told.get("ExitMessage") or ""
        return State(status=told[f"{self._asked.kind}JobStatus"], reason=reason)

    def wait(self) -> State:
        """How it ended; SageMaker itself ends a job that takes too long."""
        while not (state := self.state()).ended:
            self._pause(POLL_S)
        return state

    def stop(self) -> State:
        """Stop it unless it has ended, and wait for that."""
        if not self.state().ended:
            self._call("stop")
        return self.wait()

    def _call(self, verb: str, **arguments: Any) -> dict[str, Any]:
        named = arguments or {f"{self._asked.kind}JobName": self.name}
        with _spoken(self.name):
            method = getattr(self._client, f"{verb}_{self._asked.kind.lower()}_job")
            answer: dict[str, Any] = method(**named)
            return answer


@contextmanager
def _spoken(name: str) -> Iterator[None]:
    """Turn botocore's exceptions into one CloudError."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise CloudError(f"job {name}: {aws_errors.said(error)}") from error
