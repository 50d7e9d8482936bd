"""The part of S3 that mlflow.sagemaker, verification and a look around need, path style.

Input    starlette requests on `/{bucket}/{key}`: PutObject, multipart, tagging, Get, Head, Delete,
         ListObjectsV2.
Output   responses with S3's headers and XML. Content goes to the disk as it comes.
Raises   ApiError, which the front answers as S3's XML error; EntityTooLarge (400, as in S3) for an
         object, the parts of an upload, or a document of tags above their limit.
Source   Amazon S3 API reference (REST).
"""

import asyncio
import re
import shutil
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from mlops_bikeshare.serving.host import uploaded
from mlops_bikeshare.serving.host.faults import ApiError
from mlops_bikeshare.serving.host.objects import ObjectStore, etag
from mlops_bikeshare.serving.host.state import HostState

MAX_KEYS = 1000
MAX_OBJECT = 2 * 1024**3  # no larger archive would be unpacked
MAX_PARTS = 10_000
MAX_TAGGING = 64 * 1024
_PART = re.compile("[0-9]{1,5}")
_NS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


class S3:
    """Requests on objects, by method and query."""

    def __init__(self, store: ObjectStore, state: HostState) -> None:
        self._store = store
        self._state = state
        self._uploads: dict[str, dict[str, int]] = {}  # upload → part, there or coming → bytes

    async def answer(self, request: Request) -> Response:
        """Route one request."""
        bucket, key = request.path_params["bucket"], request.path_params.get("key", "")
        if not key:
            return self._bucket(request, bucket)
        if request.method == "PUT":
            return await self._on_put(request, bucket, key)
        if request.method == "POST":
            return await self._on_post(request, bucket, key)
        if request.method == "DELETE":
            return self._delete(bucket, key, request.query_params.get("uploadId"))
        return self._get(request, bucket, key)

    async def _on_put(self, request: Request, bucket: str, key: str) -> Response:
        query = request.query_params
        if "tagging" in query:
            return self._tag(bucket, key, await _small(request))
        if "uploadId" in query:
            return await self._put_part(request, query["uploadId"], query.get("partNumber", ""))
        return await self._put(request, bucket, key)

    async def _on_post(self, request: Request, bucket: str, key: str) -> Response:
        if "uploads" in request.query_params:
            return self._begin_multipart(bucket, key)
        upload = request.query_params.get("uploadId", "")
        return await asyncio.to_thread(self._finish_multipart, bucket, key, upload)

    def _bucket(self, request: Request, bucket: str) -> Response:
        if request.method == "GET":
            return self._list(bucket, request.query_params)
        if request.method in ("PUT", "HEAD"):
            self._store.folder(bucket)
            return Response(headers={"Location": f"/{bucket}"})
        raise ApiError("MethodNotAllowed", "not allowed on a bucket here", status=405)

    async def _put(self, request: Request, bucket: str, key: str) -> Response:
        self._store.path(bucket, key)
        content = await self._receive(request, _at_most(MAX_OBJECT))
        return Response(headers={"ETag": self._store.put(content, bucket, key)})

    def _get(self, request: Request, bucket: str, key: str) -> Response:
        path = self._store.existing(bucket, key)
        if "tagging" in request.query_params:
            return _xml(_tagging(self._state.tags(_url(bucket, key))))
        headers = {"ETag": etag(path)}
        return FileResponse(path, media_type="application/octet-stream", headers=headers)

    def _delete(self, bucket: str, key: str, upload: str | None) -> Response:
        if upload is not None:
            shutil.rmtree(self._upload(upload))
            self._uploads.pop(upload, None)
        else:
            self._store.delete(bucket, key)
            self._state.untag(_url(bucket, key))
        return Response(status_code=204)

    def _tag(self, bucket: str, key: str, body: bytes) -> Response:
        self._store.existing(bucket, key)
        self._state.untag(_url(bucket, key))
        self._state.tag(_url(bucket, key), _parse_tagging(body))
        return Response()

    def _list(self, bucket: str, query: Any) -> Response:
        prefix, asked = query.get("prefix", ""), query.get("max-keys", "")
        size = int(asked) if asked.isdecimal() and asked != "0" else MAX_KEYS
        after = query.get("continuation-token", query.get("start-after", ""))
        rest = [pair for pair in self._store.keys(bucket, prefix) if pair[0] > after]
        shown = rest[:size]
        more = ""
        if len(rest) > size:
            more = f"<NextContinuationToken>{escape(shown[-1][0])}</NextContinuationToken>"
        return _xml(
            f"<ListBucketResult {_NS}><Name>{bucket}</Name><Prefix>{escape(prefix)}</Prefix>"
            f"<KeyCount>{len(shown)}</KeyCount><MaxKeys>{size}</MaxKeys>"
            f"<IsTruncated>{str(len(rest) > size).lower()}</IsTruncated>"
            + more
            + "".join(_entry(name, path) for name, path in shown)
            + "</ListBucketResult>"
        )

    def _begin_multipart(self, bucket: str, key: str) -> Response:
        self._store.path(bucket, key)
        upload = uuid.uuid4().hex
        (self._store.incoming / upload).mkdir()
        return _xml(
            f"<InitiateMultipartUploadResult {_NS}><Bucket>{bucket}</Bucket>"
            f"<Key>{escape(key)}</Key><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
        )

    async def _put_part(self, request: Request, upload: str, number: str) -> Response:
        folder = self._upload(upload)
        if not (_PART.fullmatch(number) and 1 <= int(number) <= MAX_PARTS):
            raise ApiError("InvalidArgument", f"partNumber is not a number from 1 to {MAX_PARTS}")
        part, sizes = folder / f"{int(number):05d}", self._uploads.setdefault(upload, {})
        coming = uuid.uuid4().hex  # the same part may be on its way twice

        def check(size: int) -> None:
            sizes[coming] = size
            # What this part replaces is given back; what others are sending counts.
            _check_size(sum(sizes.values()) - sizes.get(part.name, 0), MAX_OBJECT)

        try:
            content = await self._receive(request, check)
            sizes[part.name] = content.stat().st_size
            _into(content, part)
        finally:
            sizes.pop(coming, None)
        return Response(headers={"ETag": etag(part)})

    def _finish_multipart(self, bucket: str, key: str, upload: str) -> Response:
        folder = self._upload(upload)
        whole = self._store.incoming / uuid.uuid4().hex
        try:
            with whole.open("wb") as out:
                for part in sorted(folder.iterdir()):
                    with part.open("rb") as content:
                        shutil.copyfileobj(content, out)
            tag = self._store.put(whole, bucket, key)
        except BaseException:  # a full disk must not be kept full
            whole.unlink(missing_ok=True)
            raise
        shutil.rmtree(folder)
        self._uploads.pop(upload, None)
        return _xml(
            f"<CompleteMultipartUploadResult {_NS}><Bucket>{bucket}</Bucket>"
            f"<Key>{escape(key)}</Key><ETag>{escape(tag)}</ETag></CompleteMultipartUploadResult>"
        )

    def _upload(self, upload: str) -> Path:
        folder = self._store.incoming / upload
        if not upload.isalnum() or not folder.is_dir():
            raise _no_upload()
        return folder

    async def _receive(self, request: Request, check: Callable[[int], None]) -> Path:
        content, size = self._store.incoming / uuid.uuid4().hex, 0
        said = int(request.headers.get("content-length", "0"))
        check(said)
        try:
            with content.open("wb") as out:
                async for piece in request.stream():
                    size += len(piece)
                    check(max(said, size))
                    out.write(piece)
            if "aws-chunked" in request.headers.get("content-encoding", ""):
                content = await asyncio.to_thread(uploaded.unchunked, content)
            crc = request.headers.get("x-amz-checksum-crc32")
            await asyncio.to_thread(uploaded.check_sum, content, crc)
        except BaseException:
            content.unlink(missing_ok=True)
            raise
        return content


async def _small(request: Request) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        _check_size(len(body), MAX_TAGGING)
    return body


def _into(content: Path, part: Path) -> None:
    """Make what came a part of its upload, if that is still there."""
    try:
        content.replace(part)
    except FileNotFoundError:
        content.unlink(missing_ok=True)
        raise _no_upload() from None


def _no_upload() -> ApiError:
    return ApiError("NoSuchUpload", "The specified upload does not exist.", status=404)


def _at_most(most: int) -> Callable[[int], None]:
    return lambda size: _check_size(size, most)


def _check_size(size: int, most: int) -> None:
    if size > most:
        message = "Your proposed upload exceeds the maximum allowed size"
        raise ApiError("EntityTooLarge", f"{message} of {most} bytes.")


def _entry(key: str, path: Path) -> str:
    stat = path.stat()
    modified = datetime.fromtimestamp(stat.st_mtime, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return (
        f"<Contents><Key>{escape(key)}</Key><LastModified>{modified}</LastModified>"
        f"<ETag>{escape(etag(path))}</ETag><Size>{stat.st_size}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
    )


def _parse_tagging(body: bytes) -> dict[str, str]:
    if b"<!" in body:  # tags need no document type, and entities are how XML explodes
        raise ApiError("MalformedXML", "a tagging document has no <! declarations")
    try:
        document = ET.fromstring(body)  # noqa: S314 - declarations are refused above
    except ET.ParseError as error:
        raise ApiError("MalformedXML", "the tagging document is not XML") from error
    tags = [node for node in document.iter() if node.tag.rpartition("}")[2] == "Tag"]
    pairs = [{child.tag.rpartition("}")[2]: child.text or "" for child in tag} for tag in tags]
    return {pair.get("Key", ""): pair.get("Value", "") for pair in pairs}


def _tagging(tags: dict[str, str]) -> str:
    rows = "".join(
        f"<Tag><Key>{escape(key)}</Key><Value>{escape(value)}</Value></Tag>"
        for key, value in tags.items()
    )
    return f"<Tagging {_NS}><TagSet>{rows}</TagSet></Tagging>"


def _url(bucket: str, key: str) -> str:
    return f"s3://{bucket}/{key}"


def _xml(text: str) -> Response:
    return Response(f'<?xml version="1.0" encoding="UTF-8"?>{text}', media_type="application/xml")
