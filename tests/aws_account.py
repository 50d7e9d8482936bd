"""A whole account on loopback: what profile aws speaks to, at addresses from the environment.

S3, SNS and Glue are moto's application; CloudWatch and Athena are our own servers; SageMaker is the
endpoint host in a process of its own, whose metrics go to CloudWatch as SageMaker's do, with a
Model Registry of ours beside it. Archives of models lie in the host's S3: requests for that bucket
are passed on to it. Before each of them stands IAM with the roles of ops/cloudformation (`roles`);
Athena reads in the name of who asks.
"""

import logging
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from mlops_bikeshare.serving import launch
from tests.asked_permissions import ACCOUNT, ENVIRONMENT, REGION, signed
from tests.aws_wire import Wire, aws_on_the_wire
from tests.contract.athena_wire import Athena
from tests.contract.cloudwatch_wire import CloudWatch
from tests.model_registry_wire import ModelRegistry
from tests.recorded_calls import IN_ANOTHERS_NAME, RECORD, Recorder, recording
from tests.roles import TESTS, WORKSPACE, Roles
from tests.wire import Application, Environ, served

LAKE, MODELS = (f"bikeshare-{ENVIRONMENT}-{kind}-{ACCOUNT}-{REGION}" for kind in ("lake", "models"))
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:bikeshare-{ENVIRONMENT}-demo"
EXECUTION = f"arn:aws:iam::{ACCOUNT}:role/bikeshare-{ENVIRONMENT}-sagemaker_execution"
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
    sagemaker: str
    packages: ModelRegistry
    roles: Roles
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
            "SAGEMAKER": self.sagemaker,
            "SAGEMAKER_RUNTIME": self.sagemaker,
        }
        return {
            **{f"AWS_ENDPOINT_URL_{name}": url for name, url in places.items()},
            "AWS_DEFAULT_REGION": REGION,  # as Lambda, GitHub and SageMaker set it
            "AWS_ACCESS_KEY_ID": TESTS,
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
            "BIKESHARE_PROFILE": "aws",
            "BIKESHARE_REHEARSE_AWS": "yes",
            "BIKESHARE_WORKSPACE": WORKSPACE,
            "BIKESHARE_LAKE__BUCKET": LAKE,
            "BIKESHARE_LAKE__WORKGROUP": f"bikeshare-{ENVIRONMENT}",
            "BIKESHARE_SERVING__BUCKET": MODELS,
            "BIKESHARE_SERVING__EXECUTION_ROLE_ARN": EXECUTION,
        }


@contextmanager
def account(folder: Path, *, now: datetime, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """Everything at once; this process's environment names it until the block ends."""
    roles, cloudwatch = Roles(enforced=RECORD not in os.environ), CloudWatch(now)
    with quiet(), aws_on_the_wire() as wire, ExitStack() as until_the_end:
        s3, sns, glue = (_client(name, wire.url, "owner") for name in ("s3", "sns", "glue"))
        s3.create_bucket(Bucket=LAKE, CreateBucketConfiguration={"LocationConstraint": REGION})
        assert sns.create_topic(Name=TOPIC.rpartition(":")[2])["TopicArn"] == TOPIC

        athena = Athena(glue, s3)
        in_their_name = _in_the_name_of_who_asks(athena, wire)
        athena.url = until_the_end.enter_context(served(roles.guard(in_their_name)))
        own = until_the_end.enter_context(served(cloudwatch.application))
        cloudwatch.url = until_the_end.enter_context(served(roles.guard(cloudwatch.application)))

        passed_on = until_the_end.enter_context(_host(folder / "host", metrics=own))
        packages = ModelRegistry()
        all_of_it = roles.guard(packages.beside(passed_on))
        sagemaker = until_the_end.enter_context(served(all_of_it))
        wire.application = roles.guard(_models_elsewhere(wire.application, passed_on))
        clients = {"s3": s3, "sns": sns}
        found = Account(wire, cloudwatch, athena, sagemaker, packages, roles, clients)
        for name, value in found.environment.items():
            monkeypatch.setenv(name, value)
        yield found


def _client(service: str, url: str, key: str) -> Any:
    from boto3.session import Session

    who = Session(aws_access_key_id=key, aws_secret_access_key=TESTS)
    return who.client(service, region_name=REGION, endpoint_url=url)


@contextmanager
def _host(folder: Path, *, metrics: str) -> Iterator[Application]:
    """The endpoint host, as an application that hands requests on to it."""
    folder.mkdir()
    command = [sys.executable, "-c", _HOST, str(folder), metrics]
    host, process = launch.start(command, folder, timeout_s=60)
    try:
        with httpx.Client(base_url=host.url, trust_env=False, timeout=60) as client:
            yield _passed_on(client)
    finally:
        launch.stop(host, timeout_s=30)
        process.wait()


@dataclass(frozen=True)
class Working:
    """Jobs at work in an account: each as its role, and heard."""

    heard: Recorder
    roles: Roles

    @contextmanager
    def doing(self, job: str) -> Iterator[None]:
        """What is made and asked in the block is the job's; a workspace is opened in it."""
        with self.roles.as_role(job), self.heard.doing(job):
            yield


@contextmanager
def working(there: Account) -> Iterator[Working]:
    """Nothing was refused to any role when the block ends, whatever the code made of it."""
    with recording() as heard:
        yield Working(heard, there.roles)
    assert sorted(set(there.roles.refused)) == []


@contextmanager
def quiet() -> Iterator[None]:
    """Clients that flows made are closed when they are collected, which is soon enough here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        logging.getLogger("werkzeug").setLevel(logging.WARNING)
        yield


def _in_the_name_of_who_asks(athena: Athena, wire: Wire) -> Application:
    """Athena looks tables up, reads them and stores results with the rights of its caller."""

    @cache
    def clients(key: str) -> list[Any]:
        found = [_client(service, wire.url, key) for service in ("glue", "s3")]
        for client in found:
            setattr(client, IN_ANOTHERS_NAME, True)
        return found

    def application(environ: Environ, start_response: Any) -> Iterable[bytes]:
        who = signed(environ)
        athena.glue, athena.s3 = clients(who.key if who else TESTS)
        return athena.application(environ, start_response)

    return application


def _models_elsewhere(inner: Application, host: Application) -> Application:
    """S3 whose bucket of models is the host's."""

    def application(environ: Environ, start_response: Any) -> Iterable[bytes]:
        models = environ["PATH_INFO"].startswith(f"/{MODELS}")
        return (host if models else inner)(environ, start_response)

    return application


def _passed_on(host: httpx.Client) -> Application:
    """An application that asks another server."""

    def application(environ: Environ, start_response: Any) -> Iterable[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        given = {
            name[5:].replace("_", "-"): value
            for name, value in environ.items()
            if name.startswith("HTTP_") and name not in {"HTTP_HOST", "HTTP_CONTENT_LENGTH"}
        }
        query = environ.get("QUERY_STRING", "")
        answer = host.request(
            environ["REQUEST_METHOD"],
            f"{quote(environ['PATH_INFO'])}?{query}" if query else quote(environ["PATH_INFO"]),
            content=environ["wsgi.input"].read(length),
            headers={**given, "Content-Type": environ.get("CONTENT_TYPE", "")},
        )
        kept = [(k, v) for k, v in answer.headers.items() if k not in {"transfer-encoding"}]
        start_response(f"{answer.status_code} {answer.reason_phrase}", kept)
        return [answer.content]

    return application
