"""Nobody without the token, nothing but a 4xx for nonsense, no pickle, no echo."""

import contextlib
import json
import os
import pickle
import random
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError, WaiterError

from mlops_bikeshare.domain.errors import EndpointError
from mlops_bikeshare.serving.host.server import run_host
from mlops_bikeshare.serving.session import Clients
from tests.contract.models import create_endpoint, put_model, variant

SECRET = "4711-do-not-echo"  # noqa: S105 - none
OPERATIONS = (
    "CreateModel",
    "CreateEndpointConfig",
    "CreateEndpoint",
    "UpdateEndpoint",
    "UpdateEndpointWeightsAndCapacities",
    "DescribeEndpoint",
    "DeleteEndpoint",
    "ListEndpoints",
    "AddTags",
    "ListTags",
    "DeleteTags",
    "NoSuchOperation",
)
KEYS = (
    "EndpointName",
    "EndpointConfigName",
    "ModelName",
    "PrimaryContainer",
    "ProductionVariants",
    "DataCaptureConfig",
    "DesiredWeightsAndCapacities",
    "ResourceArn",
    "Tags",
    "TagKeys",
    "MaxResults",
    "NextToken",
    "SortBy",
    "NameContains",
)
CONTENT_TYPES = (
    "application/json",
    "application/vnd.apache.parquet",
    "application/vnd.apache.arrow.stream",
    "text/csv",
    "",
)


@pytest.fixture(scope="module")
def fuzzed(endpoint_host: Any, models: Any) -> Any:
    put_model(endpoint_host.clients, "fuzzed", models())
    create_endpoint(endpoint_host.clients, "fuzzed", variant("AllTraffic", "fuzzed"))
    return endpoint_host


def nonsense(rng: random.Random, depth: int = 0) -> Any:
    """Any JSON value, rarely of a useful shape."""
    made: list[Callable[[], Any]] = [
        lambda: None,
        lambda: rng.choice([True, False]),
        lambda: rng.choice([0, -1, 1e308, float("nan"), 2**70]),
        lambda: SECRET * rng.randrange(3),
        lambda: rng.choice(KEYS),
    ]
    if depth < 3:
        made += [
            lambda: [nonsense(rng, depth + 1) for _ in range(rng.randrange(3))],
            lambda: {rng.choice(KEYS): nonsense(rng, depth + 1) for _ in range(rng.randrange(4))},
        ]
    return rng.choice(made)()


def parameters(rng: random.Random) -> bytes:
    if rng.random() < 0.2:
        return rng.randbytes(rng.randrange(40))
    return json.dumps({rng.choice(KEYS): nonsense(rng) for _ in range(3)}).encode()


def body(rng: random.Random) -> tuple[bytes, str]:
    """A broken request: noise, or a good one with bytes changed or lost."""
    kind = rng.choice(CONTENT_TYPES)
    if kind == "application/json" and rng.random() < 0.7:
        word = rng.choice(["inputs", "instances", "dataframe_split"])
        return json.dumps({word: nonsense(rng)}).encode(), kind
    magic = rng.choice([b"", b"PAR1", b"\xff\xff\xff\xff", b'{"inputs":'])
    return magic + rng.randbytes(rng.randrange(200)) + rng.choice([b"", b"PAR1"]), kind


@pytest.mark.parametrize("count", [150, pytest.param(10_000, marks=pytest.mark.long)])
def test_nonsense_is_a_4xx_that_echoes_nothing_and_the_host_lives_on(
    fuzzed: Any, count: int
) -> None:
    rng, url = random.Random(count), fuzzed.facts.url
    before = httpx.get(f"{url}/ping").status_code
    with httpx.Client(base_url=url) as client:
        for _ in range(count):
            content, kind = body(rng)
            reply = client.post(
                "/endpoints/fuzzed/invocations", content=content, headers={"Content-Type": kind}
            )
            assert 400 <= reply.status_code < 500, (content, kind)
            if reply.status_code == 424:
                assert 400 <= reply.json()["OriginalStatusCode"] < 500, (content, kind)
            assert SECRET not in reply.text
            target = {"X-Amz-Target": f"SageMaker.{rng.choice(OPERATIONS)}"}
            content = parameters(rng)
            reply = client.post("/", content=content, headers=target)
            assert reply.status_code < 500, (content, target, reply.text)
    assert before == httpx.get(f"{url}/ping").status_code == 200
    got = fuzzed.clients.runtime.invoke_endpoint(
        EndpointName="fuzzed",
        Body=b'{"inputs": {"a": [1], "b": [0], "c": [0]}}',
        ContentType="application/json",
    )
    assert json.loads(got["Body"].read()) == {"predictions": [{"p_x_10": 1.0}]}


def test_a_model_with_a_pickle_is_refused_by_name_and_not_run(
    endpoint_host: Any, models: Any
) -> None:
    folder: Path = models()
    (folder / "python_model.pkl").write_bytes(pickle.dumps(os.getcwd))
    put_model(endpoint_host.clients, "pickled", folder)
    sagemaker = endpoint_host.clients.sagemaker
    with pytest.raises(WaiterError, match="Failed"):
        create_endpoint(endpoint_host.clients, "pickled", variant("AllTraffic", "pickled"))
    reason = sagemaker.describe_endpoint(EndpointName="pickled")["FailureReason"]
    assert "'python_model.pkl' is a pickle" in reason


@pytest.mark.parametrize("head", [b"x: " + b"a" * 200_000, b"x: a\r\n" * 30_000])
def test_a_head_without_an_end_ends_the_connection_and_not_the_host(
    endpoint_host: Any, head: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", endpoint_host.facts.port), timeout=20) as line:
        line.settimeout(20)
        with contextlib.suppress(OSError):  # it may hang up before all is sent
            line.sendall(b"POST /endpoints/fuzzed/invocations HTTP/1.1\r\n" + head)
        with contextlib.suppress(ConnectionResetError):
            assert line.recv(100).startswith(b"HTTP/1.1 400")
            while line.recv(1000):
                pass
    with httpx.Client(base_url=endpoint_host.facts.url) as client:  # one connection
        for _ in range(3):
            assert client.put("/bucket/large-body", content=bytes(300_000)).status_code == 200
            assert client.get("/ping").status_code == 200


def garbled(rng: random.Random, request: bytes) -> bytes:
    """A request with a few bytes changed, lost, doubled or made up."""
    noise = bytearray(request)
    for _ in range(rng.randrange(1, 6)):
        start = rng.randrange(len(noise))
        piece = noise[start : start + rng.randrange(1, 20)]
        new = rng.choice([b"", piece * 2, rng.randbytes(len(piece)), b"\r\n", b": ", b"\0"])
        noise[start : start + len(piece)] = new
    return bytes(noise or b"\r")


@pytest.mark.parametrize("count", [100, pytest.param(10_000, marks=pytest.mark.long)])
def test_garbled_requests_on_the_wire_are_answered_below_500_or_hung_up_on(
    fuzzed: Any, count: int
) -> None:
    rng, url = random.Random(count), fuzzed.facts.url
    body = b'{"inputs": {"a": [1], "b": [0], "c": [0]}}'
    head = (
        "POST /endpoints/fuzzed/invocations HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    for _ in range(count):
        sent = garbled(rng, head.encode() + body)
        with socket.create_connection(("127.0.0.1", fuzzed.facts.port), timeout=20) as line:
            said = b""
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                line.sendall(sent)
                line.shutdown(socket.SHUT_WR)
                while piece := line.recv(65_536):
                    said += piece
        statuses = [int(part[:3]) for part in said.split(b"HTTP/1.1 ")[1:]]
        assert all(status < 500 for status in statuses), (sent, said)
    assert httpx.get(f"{url}/ping").status_code == 200


def test_with_a_token_nobody_else_is_let_in(own_host: Callable[..., Any]) -> None:
    token, other = "abc-123", "xyz-789"
    host = own_host(f"token={token}")
    url = host.facts.url
    assert httpx.get(f"{url}/ping").status_code == 200
    with pytest.raises(ClientError, match="AccessDenied"):
        Clients(url=url, region="eu-west-1").sagemaker.list_endpoints()
    with pytest.raises(ClientError, match=r"403|AccessDenied"):
        Clients(url=url, region="eu-west-1", token=other).s3.put_object(
            Bucket="bucket", Key="k", Body=b""
        )
    known = Clients(url=url, region="eu-west-1", token=token)
    assert known.sagemaker.list_endpoints()["Endpoints"] == []
    known.s3.put_object(Bucket="bucket", Key="k", Body=b"content")
    assert known.s3.get_object(Bucket="bucket", Key="k")["Body"].read() == b"content"
    assert httpx.get(f"{url}/metrics").status_code == 403
    bearer = {"Authorization": "Bearer abc-123"}
    assert httpx.get(f"{url}/metrics", headers=bearer).status_code == 200


def test_an_open_address_needs_a_token(tmp_path: Path) -> None:
    with pytest.raises(EndpointError, match=r"127\.0\.0\.1 only.*BIKESHARE_SERVING__TOKEN"):
        run_host(
            root=tmp_path,
            host="0.0.0.0",  # noqa: S104 - refused
            port=0,
            sink=lambda _: None,
            replay_clock=False,
        )
