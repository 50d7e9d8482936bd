"""What AWS refuses becomes one line that says what to do; what may pass is tried again.

A server answers whatever it was told to, in S3's words or in those of a JSON protocol.
"""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mlops_bikeshare.backends import open_workspace
from mlops_bikeshare.cli import main
from mlops_bikeshare.domain.errors import LakeError, SettingsError
from mlops_bikeshare.lake import athena, s3
from mlops_bikeshare.lake.s3_state import BEAT_TIMEOUT_S, S3State
from mlops_bikeshare.monitoring import cloudwatch
from mlops_bikeshare.serving import endpoints
from mlops_bikeshare.serving.session import Clients
from mlops_bikeshare.settings import load
from tests.wire import Environ, body_of, sent, served

ROOT = Path(__file__).resolve().parents[2]
Answer = tuple[int, str, str]


def xml(code: str, message: str, *, status: int = 403) -> Answer:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return status, "application/xml", body


def said(kind: str, message: str, *, status: int = 400) -> Answer:
    body = json.dumps({"__type": kind, "message": message})
    return status, "application/x-amz-json-1.1", body


@dataclass
class Scripted:
    """Answers in order; the last one stays."""

    answers: list[Answer]
    url: str = ""
    asked: list[str] = field(default_factory=list)


@contextmanager
def scripted(*answers: Answer) -> Iterator[Scripted]:
    script = Scripted(list(answers))

    def application(environ: Environ, start_response: Any) -> Iterable[bytes]:
        body_of(environ)
        script.asked.append(environ.get("HTTP_X_AMZ_TARGET") or environ["PATH_INFO"])
        left = script.answers
        status, kind, body = left.pop(0) if len(left) > 1 else left[0]
        return sent(start_response, status, kind, body)

    with served(application) as script.url:
        yield script


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without anything of AWS, in a home of its own."""
    (tmp_path / "bikeshare.toml").write_text((ROOT / "bikeshare.toml").read_text())
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("BIKESHARE_HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return monkeypatch


def signed_in(aws: pytest.MonkeyPatch, url: str) -> None:
    aws.setenv("AWS_ACCESS_KEY_ID", "testing")
    aws.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    aws.setenv("AWS_ENDPOINT_URL", url)
    aws.setenv("BIKESHARE_REHEARSE_AWS", "yes")


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    told = capsys.readouterr().err
    (line,) = told.splitlines()
    assert line.startswith("bikeshare: ")
    return line


@pytest.mark.parametrize("command", [["status"], ["gate"], ["compact"], ["promote"]])
def test_without_credentials_a_command_says_how_to_sign_in(
    aws: pytest.MonkeyPatch,  # noqa: ARG001 - the environment
    capsys: pytest.CaptureFixture[str],
    command: list[str],
) -> None:
    assert main(["--profile", "aws", *command]) == 2
    assert "no AWS credentials were found: set AWS_PROFILE" in one_line(capsys)


@pytest.mark.parametrize(
    ("code", "todo"),
    [
        ("ExpiredToken", "have expired: sign in again"),
        ("InvalidAccessKeyId", "AWS does not know these credentials"),
        ("AccessDenied", "ops/iam/calls.json lists what each job asks for"),
        ("RequestTimeTooSkewed", "this machine's clock is wrong: set it by NTP"),
    ],
)
def test_a_refusal_is_one_line_that_says_what_to_do(
    aws: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: str, todo: str
) -> None:
    with scripted(xml(code, "No.")) as server:
        signed_in(aws, server.url)

        assert main(["--profile", "aws", "status"]) == 2

    line = one_line(capsys)
    assert code in line
    assert todo in line


@pytest.mark.parametrize("kind", ["ExpiredTokenException", "AccessDeniedException"])
def test_every_service_is_refused_in_one_line(aws: pytest.MonkeyPatch, kind: str) -> None:
    with scripted(said(kind, "No.")) as server:
        signed_in(aws, server.url)
        asked = cloudwatch.client("ca-central-1", attempts=1)
        refused = pytest.raises(LakeError, match=r"CloudWatch refused x: No; (the|this) ")
        with refused, cloudwatch.spoken("x"):
            asked.list_metrics()
        with pytest.raises(Exception, match=r"endpoint e: No; the "):
            endpoints.find(Clients(None, "ca-central-1"), "e")
        asked.close()


def test_throttling_is_waited_out_with_jitter(aws: pytest.MonkeyPatch) -> None:
    busy = said("ThrottlingException", "Rate exceeded")
    known = said("ValidationException", 'Could not find endpoint "e".')
    waits: list[float] = []
    aws.setattr("botocore.endpoint.time.sleep", waits.append)
    for _ in range(2):
        with scripted(busy, busy, known) as server:
            signed_in(aws, server.url)
            assert endpoints.find(Clients(None, "ca-central-1"), "e") is None
            assert server.asked == ["SageMaker.DescribeEndpoint"] * 3

    assert len(waits) == len(set(waits)) == 4
    assert all(0 <= wait <= most for wait, most in zip(waits, (1, 2, 1, 2), strict=True))


def test_throttling_without_end_is_told_after_the_last_attempt(aws: pytest.MonkeyPatch) -> None:
    aws.setattr("botocore.endpoint.time.sleep", lambda _: None)
    with scripted(said("ThrottlingException", "Rate exceeded")) as server:
        signed_in(aws, server.url)
        with pytest.raises(Exception, match="Rate exceeded; AWS throttles this account"):
            endpoints.find(Clients(None, "ca-central-1"), "e")
        assert len(server.asked) == 5


def test_athena_over_its_scan_limit_says_whose_limit_it_is(aws: pytest.MonkeyPatch) -> None:
    ended = {
        "QueryExecution": {
            "QueryExecutionId": "q",
            "Query": "SELECT 1",
            "StatementType": "DML",
            "ResultConfiguration": {"OutputLocation": "s3://b/q.csv"},
            "Status": {
                "State": "CANCELLED",
                "StateChangeReason": "Query cancelled! : Bytes scanned limit was exceeded",
            },
        }
    }
    begun = (200, "application/x-amz-json-1.1", json.dumps({"QueryExecutionId": "q"}))
    with scripted(begun, (200, begun[1], json.dumps(ended))) as server:
        signed_in(aws, server.url)
        connection = athena.connect(
            "ca-central-1", database="d", workgroup="w", results="s3://b/r/", poll_s=0.001
        )
        with pytest.raises(LakeError, match="narrow it by city and date, or raise the limit"):
            athena.AthenaQuery(connection).run("SELECT 1")


@pytest.mark.parametrize("region", ["ca-central-1", "eu-west-1"])
def test_every_client_speaks_to_its_region(aws: pytest.MonkeyPatch, region: str) -> None:
    aws.setenv("AWS_ACCESS_KEY_ID", "testing")
    aws.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    made = Clients(None, region)
    asked = [made.sagemaker, made.runtime, made.s3, s3.client(region)]
    asked.append(cloudwatch.client(region, attempts=1))

    assert [client.meta.endpoint_url for client in asked] == [
        f"https://api.sagemaker.{region}.amazonaws.com",
        f"https://runtime.sagemaker.{region}.amazonaws.com",
        f"https://s3.{region}.amazonaws.com",
        f"https://s3.{region}.amazonaws.com",
        f"https://monitoring.{region}.amazonaws.com",
    ]


@pytest.mark.parametrize(
    ("environ", "flags", "complaint"),
    [
        ({"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}, {}, "AWS_ENDPOINT_URL_S3 names this"),
        ({}, {"rehearse_aws": "yes"}, "AWS_ENDPOINT_URL_S3 names none"),
        (
            {"AWS_ENDPOINT_URL_S3": "http://localhost:9"},
            {"rehearse_aws": "yes"},
            "AWS_ENDPOINT_URL_SAGEMAKER names none",
        ),
    ],
)
def test_production_never_speaks_to_this_machine_nor_a_rehearsal_to_an_account(
    tmp_path: Path, environ: dict[str, str], flags: dict[str, str], complaint: str
) -> None:
    (tmp_path / "bikeshare.toml").write_text("")
    with pytest.raises(SettingsError, match=complaint):
        load(tmp_path, environ, {"profile": "aws", **flags})


def test_what_says_that_a_lock_is_held_waits_for_seconds_where_the_rest_waits_for_a_minute(
    aws: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with scripted(xml("NoSuchKey", "None.", status=404)) as server:
        signed_in(aws, server.url)
        ws = open_workspace(load(tmp_path, os.environ, {"profile": "aws"}))
        assert isinstance(ws.state, S3State)
        beating = ws.state._beats._client.meta.config

    assert beating.read_timeout == BEAT_TIMEOUT_S < ws.state.store._client.meta.config.read_timeout
    assert beating.retries["total_max_attempts"] == 1


def test_simulated_time_and_the_local_host_are_refused_with_profile_aws(
    aws: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--profile", "aws", "replay", "--recording", ".", "--window", "a..b"]) == 2
    capsys.readouterr()
    with scripted(xml("NoSuchKey", "None.", status=404)) as server:
        signed_in(aws, server.url)
        assert main(["--profile", "aws", "serve"]) == 2
    assert "SageMaker serves, the endpoint host is for --profile local" in one_line(capsys)
