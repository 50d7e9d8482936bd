"""Sizes on the little S3 of the host: limits, chunked bodies, what a refusal leaves."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mlops_bikeshare.serving.host import s3
from mlops_bikeshare.serving.host.faults import ApiError
from mlops_bikeshare.serving.host.objects import ObjectStore
from mlops_bikeshare.serving.host.state import HostState


class Client:
    """Asks an application without a socket, one request after another."""

    def __init__(self, app: Starlette) -> None:
        self._transport = httpx.ASGITransport(app)

    def ask(self, method: str, path: str, **what: Any) -> httpx.Response:
        return asyncio.run(self.asked(method, path, **what))

    async def asked(self, method: str, path: str, **what: Any) -> httpx.Response:
        async with httpx.AsyncClient(transport=self._transport, base_url="http://x") as client:
            return await client.request(method, path, **what)

    def put(self, path: str, **what: Any) -> httpx.Response:
        return self.ask("PUT", path, **what)

    def get(self, path: str) -> httpx.Response:
        return self.ask("GET", path)

    def post(self, path: str) -> httpx.Response:
        return self.ask("POST", path)


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setattr(s3, "MAX_OBJECT", 100)
    state = HostState(tmp_path / "host.db")
    answers = s3.S3(ObjectStore(tmp_path / "s3"), state)

    async def answer(request: Request) -> Response:
        try:
            return await answers.answer(request)
        except ApiError as error:
            return Response(f"{error.code}: {error}", status_code=error.status)

    methods = ["GET", "PUT", "POST"]
    yield Client(Starlette(routes=[Route("/{bucket}/{key:path}", answer, methods=methods)]))
    state.close()


def left(tmp_path: Path) -> list[str]:
    return [path.name for path in (tmp_path / "s3" / ".incoming").rglob("*") if path.is_file()]


async def pieces(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield bytes(30)


def test_an_object_above_the_limit_is_refused_and_leaves_nothing(
    client: Client, tmp_path: Path
) -> None:
    assert client.put("/bucket/k", content=bytes(100)).status_code == 200
    for content in (bytes(101), pieces(4)):  # said beforehand, and not
        reply = client.put("/bucket/big", content=content)
        assert (reply.status_code, reply.text.split(":")[0]) == (400, "EntityTooLarge")
    assert client.get("/bucket/big").status_code == 404
    assert left(tmp_path) == []


def test_the_parts_of_an_upload_are_limited_together(client: Client) -> None:
    begun = client.post("/bucket/k?uploads").text
    (upload,) = re.findall("<UploadId>(.*)</UploadId>", begun)
    put = f"/bucket/k?uploadId={upload}&partNumber="
    assert client.put(f"{put}1", content=bytes(60)).status_code == 200
    assert client.put(f"{put}1", content=bytes(90)).status_code == 200  # the part is replaced
    assert client.put(f"{put}2", content=bytes(11)).text.startswith("EntityTooLarge")
    assert client.put(f"{put}2", content=bytes(10)).status_code == 200
    assert client.post(f"/bucket/k?uploadId={upload}").status_code == 200
    assert len(client.get("/bucket/k").content) == 100


def test_parts_that_are_still_coming_count_and_what_failed_is_given_back(
    client: Client, tmp_path: Path
) -> None:
    (upload,) = re.findall("<UploadId>(.*)</UploadId>", client.post("/bucket/k?uploads").text)
    put = f"/bucket/k?uploadId={upload}&partNumber="
    told: list[str] = []

    async def slowly() -> AsyncIterator[bytes]:
        yield bytes(60)
        # A second part comes while the first one is under way.
        told.append((await client.asked("PUT", f"{put}2", content=bytes(41))).text)
        yield bytes(0)

    assert client.put(f"{put}1", content=slowly()).status_code == 200
    assert told[0].startswith("EntityTooLarge")
    assert client.put(f"{put}2", content=bytes(40)).status_code == 200
    for number in ("0", "10001", "x", "9" * 5000):
        assert client.put(f"{put}{number}").text.startswith("InvalidArgument")
    assert client.post(f"/bucket/k?uploadId={upload}").status_code == 200
    assert len(client.get("/bucket/k").content) == 100
    assert left(tmp_path) == []


def test_tags_above_their_limit_are_refused(client: Client) -> None:
    client.put("/bucket/k", content=b"x")
    reply = client.put("/bucket/k?tagging", content=bytes(s3.MAX_TAGGING + 1))
    assert (reply.status_code, reply.text.split(":")[0]) == (400, "EntityTooLarge")


@pytest.mark.parametrize(
    "body",
    [b"-5\r\nabc", b"ffffffffffffffff\r\nabc\r\n", b"0x1\r\na\r\n", b"1" * 5000, b"3;" * 999],
)
def test_a_chunk_of_a_wrong_size_is_refused_and_leaves_nothing(
    client: Client, tmp_path: Path, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "MAX_OBJECT", 10_000)
    chunked = {"Content-Encoding": "aws-chunked"}
    assert client.put("/bucket/c", content=body, headers=chunked).status_code == 400
    assert left(tmp_path) == []
