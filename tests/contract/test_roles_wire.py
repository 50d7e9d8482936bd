"""IAM on the wire: a request is read from its bytes, and refused unless a role allows it."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.asked_permissions import ACCOUNT, REGION
from tests.roles import Roles
from tests.wire import Environ, sent, served

LAKE = f"bikeshare-dev-lake-{ACCOUNT}-{REGION}"
MODELS = f"bikeshare-dev-models-{ACCOUNT}-{REGION}"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:bikeshare-dev-boston"
ROLE = f"arn:aws:iam::{ACCOUNT}:role"
OWNER = "x"
POINT = [{"MetricName": "m", "Value": 1.0}]
HANDED_ON = {"ModelName": "bikeshare-prod-model-1", "PrimaryContainer": {"Image": "i"}}


@pytest.fixture(scope="module")
def roles() -> Roles:
    return Roles()


@pytest.fixture(scope="module")
def url(roles: Roles) -> Iterator[str]:
    """A server behind IAM that answers each request it gets with the error `Reached`."""

    def application(environ: Environ, start_response: Any) -> Iterable[bytes]:
        if "HTTP_X_AMZ_TARGET" in environ:
            told = json.dumps({"__type": "Reached", "message": ""})
            return sent(start_response, 400, "application/x-amz-json-1.1", told)
        return sent(start_response, 400, "application/xml", "<Error><Code>Reached</Code></Error>")

    with served(roles.guard(application)) as found:
        yield found


def answered(url: str, role: str, service: str, operation: str, asked: dict[str, Any]) -> str:
    """The code of the error that comes back."""
    who = Session(aws_access_key_id=role, aws_secret_access_key=OWNER)
    config = Config(retries={"total_max_attempts": 1}, proxies={})
    client = who.client(service, region_name=REGION, endpoint_url=url, config=config)
    try:
        with pytest.raises(ClientError) as refused:
            getattr(client, operation)(**asked)
    finally:
        client.close()
    return str(refused.value.response.get("Error", {}).get("Code"))


def model(role: str) -> dict[str, Any]:
    return {**HANDED_ON, "ExecutionRoleArn": f"{ROLE}/{role}"}


@pytest.mark.parametrize(
    ("role", "service", "operation", "mine", "anothers"),
    [
        (
            "infer",
            "s3",
            "put_object",
            {"Bucket": LAKE, "Key": "w/inference/x"},
            {"Bucket": LAKE, "Key": "w/raw/x"},
        ),
        (
            "compact",
            "s3",
            "delete_object",
            {"Bucket": LAKE, "Key": "w/raw/x"},
            {"Bucket": LAKE, "Key": "w/state/audit.jsonl/00000001"},
        ),
        (
            "gate",
            "s3",
            "get_object",
            {"Bucket": MODELS, "Key": "a"},
            {"Bucket": "somebodys", "Key": "a"},
        ),
        (
            "monitor",
            "cloudwatch",
            "put_metric_data",
            {"Namespace": "Bikeshare/Model", "MetricData": POINT},
            {"Namespace": "AWS/SageMaker", "MetricData": POINT},
        ),
        (
            "monitor",
            "sns",
            "publish",
            {"TopicArn": TOPIC, "Message": "m"},
            {"TopicArn": TOPIC.replace("-dev-", "-prod-"), "Message": "m"},
        ),
        (
            "deployer",
            "sagemaker",
            "create_model",
            model("bikeshare-dev-sagemaker_execution"),
            model("admin"),
        ),
        (
            "infer",
            "sagemaker-runtime",
            "invoke_endpoint",
            {"EndpointName": "bikeshare-prod", "Body": b""},
            {"EndpointName": "payroll", "Body": b""},
        ),
        (
            "dashboard",
            "athena",
            "start_query_execution",
            {"QueryString": "SELECT 1", "WorkGroup": "bikeshare-dev"},
            {"QueryString": "SELECT 1", "WorkGroup": "primary"},
        ),
        (
            "dashboard",
            "glue",
            "get_tables",
            {"DatabaseName": "mlops_bikeshare"},
            {"DatabaseName": "payroll"},
        ),
    ],
)
def test_a_role_reaches_what_is_its_jobs_and_is_refused_the_rest(
    url: str,
    role: str,
    service: str,
    operation: str,
    mine: dict[str, Any],
    anothers: dict[str, Any],
) -> None:
    assert "Denied" not in answered(url, role, service, operation, mine)
    assert answered(url, role, service, operation, anothers).startswith("AccessDenied")


def test_a_role_without_the_key_reads_nothing_that_is_encrypted(url: str, roles: Roles) -> None:
    asked = {"Bucket": LAKE, "Key": "w/curated/x"}
    assert answered(url, "infer", "s3", "get_object", asked) == "Reached"
    kept = roles.policies["infer"]
    roles.policies["infer"] = [one for one in kept if "kms:Decrypt" not in one["Action"]]
    try:
        assert answered(url, "infer", "s3", "get_object", asked) == "AccessDenied"
    finally:
        roles.policies["infer"] = kept
    assert "infer is not allowed kms:Decrypt" in roles.refused[-1]


def test_who_is_no_role_is_refused_and_so_is_a_test_that_works_for_one(
    url: str, roles: Roles, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"Bucket": LAKE, "Key": "w/curated/x"}
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")

    assert answered(url, "nobody", "s3", "get_object", asked) == "AccessDenied"
    assert answered(url, "testing", "s3", "get_object", asked) == "Reached"
    with roles.as_role("infer"):
        assert answered(url, "testing", "s3", "get_object", asked) == "AccessDenied"
