"""A whole account on loopback: what profile aws speaks to, at addresses from the environment.

S3, SNS and Glue are moto's application; CloudWatch and Athena are our own servers; SageMaker is the
endpoint host in a process of its own, whose metrics go to CloudWatch as SageMaker's do. Archives of
models lie in the host's S3: requests for that bucket are passed on to it.
"""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlops_bikeshare.serving import launch
from tests.aws_wire import Wire, aws_on_the_wire
from tests.contract.athena_wire import Athena, athena_on_the_wire
from tests.contract.cloudwatch_wire import CloudWatch, serving

REGION = "ca-central-1"
LAKE, MODELS = "bikeshare-lake", "bikeshare-models"
TOPIC = f"arn:aws:sns:{REGION}:123456789012:bikeshare"
_HOST = """
import gc
import logging
import sys
import warnings
from pathlib import Path
from mlops_bikeshare.monitoring.cloudwatch import CloudWatchMetricStore, client
from mlops_bikeshare.serving.host.server import run_host

writer = client("ca-central-1", attempts=1, url=sys.argv[2])
store = CloudWatchMetricStore(reader=writer, writer=writer, marks=None, now=None)
run_host(root=Path(sys.argv[1]), host="127.0.0.1", port=0, sink=store.put, replay_clock=True)
"""


@dataclass
class Account:
    """What stands there, and how a process finds it."""

    wire: Wire
    cloudwatch: CloudWatch
    athena: Athena
    host: launch.HostFacts
    clients: dict[str, Any] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a process that works in this account."""
        places = {
            "S3": self.wire.url,
            "SNS": self.wire.url,
            "STS": self.wire.url,
            "GLUE": self.wire.url,
            "ATHENA": self.athena.url,
            "CLOUDWATCH": self.cloudwatch.url,
            "SAGEMAKER": self.host.url,
            "SAGEMAKER_RUNTIME": self.host.url,
        }
        return {
            **{f"AWS_ENDPOINT_URL_{name}": url for name, url in places.items()},
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
            "BIKESHARE_PROFILE": "aws",
            "BIKESHARE_REHEARSE_AWS": "yes",
        }


@contextmanager
def account(folder: Path, *, now: datetime, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """Everything at once; this process's environment names it until the block ends."""
    from boto3.session import Session

    with quiet(), aws_on_the_wire() as wire, serving(CloudWatch(now)) as cloudwatch:
        local = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}

        def asked(service: str) -> Any:
            return Session(**local).client(service, region_name=REGION, endpoint_url=wire.url)

        s3, glue = asked("s3"), asked("glue")
        s3.create_bucket(Bucket=LAKE, CreateBucketConfiguration={"LocationConstraint": REGION})
        assert asked("sns").create_topic(Name="bikeshare")["TopicArn"] == TOPIC
        with athena_on_the_wire(glue, s3) as athena:
            command = [sys.executable, "-c", _HOST, str(folder / "host"), cloudwatch.url]
            (folder / "host").mkdir()
            host, process = launch.start(command, folder / "host", timeout_s=60)
            try:
                models = _pass_on(wire, host.url)
                found = Account(wire, cloudwatch, athena, host, {"s3": s3, "sns": asked("sns")})
                for name, value in found.environment.items():
                    monkeypatch.setenv(name, value)
                yield found
                models.close()
            finally:
                launch.stop(host, timeout_s=30)
                process.wait()


@contextmanager
def quiet() -> Iterator[None]:
    """Clients that flows made are closed when they are collected, which is soon enough here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        logging.getLogger("werkzeug").setLevel(logging.WARNING)
        yield


def _pass_on(wire: Wire, url: str) -> httpx.Client:
    """Hand requests for the bucket of models on to the host; what they go by."""
    inner, host = wire.application, httpx.Client(base_url=url, trust_env=False, timeout=60)

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        if not path.startswith(f"/{MODELS}"):
            return inner(environ, start_response)
        length = int(environ.get("CONTENT_LENGTH") or 0)
        sent = {
            name[5:].replace("_", "-"): value
            for name, value in environ.items()
            if name.startswith("HTTP_") and name not in {"HTTP_HOST", "HTTP_CONTENT_LENGTH"}
        }
        query = environ.get("QUERY_STRING", "")
        answer = host.request(
            environ["REQUEST_METHOD"],
            f"{path}?{query}" if query else path,
            content=environ["wsgi.input"].read(length),
            headers=sent,
        )
        kept = [(k, v) for k, v in answer.headers.items() if k not in {"transfer-encoding"}]
        start_response(f"{answer.status_code} {answer.reason_phrase}", kept)
        return [answer.content]

    wire.application = application
    return host
