"""The store on S3: conditional puts, listings in pages.

Input    a boto3 client (`client`), a bucket, the folder of the workspace in it.
Output   see `store.Store`. Keys in the bucket are `<folder>/<key>`.
Raises   LakeError when S3 refuses or does not answer after the client's attempts; the message says
         what to do.
Source   Amazon S3 user guide, "Conditional requests": PutObject with If-None-Match: * answers 412
         if the key exists, 409 if another such put is under way.

A put is retried by the client (503, a lost answer). The first attempt may have stored the object
all the same, so that the second is told 412: each put carries a token of its own in the object's
metadata, and after a retry the stored token says whose object it is.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any

from mlops_bikeshare.domain import aws_errors
from mlops_bikeshare.domain.errors import LakeError
from mlops_bikeshare.lake.store import ObjectGoneError, check_key

_WRITER = "bikeshare-writer"
_CONFLICTS = 5
_HINTS = {
    "NoSuchBucket": "make the bucket, or set lake.bucket",
    "SlowDown": "S3 is busy; try again",
    "503": "S3 is busy; try again",
}


def profiles() -> list[str]:
    """The names in ~/.aws that a client may be made of."""
    from boto3.session import Session

    return list(Session().available_profiles)


def client(
    region: str,
    *,
    attempts: int = 5,
    timeout_s: float = 60,
    profile: str | None = None,
    url: str | None = None,
) -> Any:
    """A boto3 client of S3 that tries so many times; `url` is for tests on the wire."""
    import botocore.session
    from boto3.session import Session
    from botocore.config import Config

    asked = botocore.session.Session(profile=profile)
    asked.register_component("data_loader", _service_models())
    retries: Any = {"mode": "standard", "total_max_attempts": attempts}
    config = Config(connect_timeout=min(5, timeout_s), read_timeout=timeout_s, retries=retries)
    local = Config(proxies={}, s3={"addressing_style": "path"})
    dummy = {"aws_access_key_id": "local", "aws_secret_access_key": "local"} if url else {}
    return Session(botocore_session=asked).client(
        "s3",
        region_name=region,
        endpoint_url=url,
        config=config.merge(local) if url else config,
        **dummy,
    )


@cache
def _service_models() -> Any:
    """What describes S3 takes a fifth of a second to read: sessions share what was read."""
    from botocore.loaders import create_loader

    return create_loader()


class S3Store:
    """Objects below `folder` in a bucket."""

    def __init__(self, client: Any, *, bucket: str, folder: str) -> None:
        self.bucket = bucket
        self.folder = folder.strip("/")
        self._client = client

    def create(self, key: str, body: bytes) -> bool:
        """Write an object whole; False, and nothing written, if the key exists."""
        token = secrets.token_hex(8)
        for _ in range(_CONFLICTS):
            error = self._put(key, body, token)
            if error is None:
                return True
            status, retried = error
            if status == 412:  # noqa: PLR2004 - Precondition Failed
                return retried and self._writer(key) == token
            # 409: another put of this key was under way; whether it succeeds is not known yet.
        raise LakeError(f"{self._where(key)}: other writers kept S3 busy; try again")

    def replace(self, key: str, body: bytes) -> None:
        """Write an object whole in place of what is there: readers see the old one or the new."""
        with self._explained(key):
            self._client.put_object(Bucket=self.bucket, Key=self._name(key), Body=body)

    def read(self, key: str) -> bytes:
        """The object's bytes; ObjectGoneError if there is none."""
        from botocore.exceptions import ClientError

        name = self._name(key)
        with self._explained(key):
            try:
                answer = self._client.get_object(Bucket=self.bucket, Key=name)
                body: bytes = answer["Body"].read()
            except ClientError as error:
                if error.response["Error"]["Code"] == "NoSuchKey":
                    msg = f"there is no {self._where(key)}; it may have been merged or removed"
                    raise ObjectGoneError(msg) from None
                raise
        return body

    def keys(self, prefix: str) -> list[str]:
        """All keys below the folder `prefix`, sorted (S3 lists in order, each page as of then)."""
        start = len(self.folder) + 1
        return [item["Key"][start:] for page in self._pages(prefix) for item in _of(page)]

    def folders(self, prefix: str) -> list[str]:
        """Names of the folders directly below the folder `prefix`, sorted."""
        pages = self._pages(prefix, Delimiter="/")
        found = [item["Prefix"] for page in pages for item in page.get("CommonPrefixes", [])]
        return sorted(name.rstrip("/").rpartition("/")[2] for name in found)

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens if there is none."""
        name = self._name(key)
        with self._explained(key):
            self._client.delete_object(Bucket=self.bucket, Key=name)

    def changed(self, prefix: str) -> tuple[datetime, dict[str, datetime]]:
        """What the time is, and when each key below a folder was written, both by S3's clock."""
        start, pages = len(self.folder) + 1, list(self._pages(prefix))
        told = pages[-1]["ResponseMetadata"]["HTTPHeaders"]["date"]
        keys = [item for page in pages for item in _of(page)]
        return parsedate_to_datetime(told), {
            item["Key"][start:]: item["LastModified"] for item in keys
        }

    def _put(self, key: str, body: bytes, token: str) -> tuple[int, bool] | None:
        """None if stored, else the status (409, 412) and whether an attempt went before."""
        from botocore.exceptions import ClientError

        name = self._name(key)
        with self._explained(key):
            try:
                self._client.put_object(
                    Bucket=self.bucket,
                    Key=name,
                    Body=body,
                    IfNoneMatch="*",
                    Metadata={_WRITER: token},
                )
            except ClientError as error:
                facts = error.response["ResponseMetadata"]
                if facts["HTTPStatusCode"] not in {409, 412}:
                    raise
                return facts["HTTPStatusCode"], facts.get("RetryAttempts", 0) > 0
        return None

    def _writer(self, key: str) -> str | None:
        with self._explained(key):
            head = self._client.head_object(Bucket=self.bucket, Key=self._name(key))
        token: str | None = head["Metadata"].get(_WRITER)
        return token

    def _pages(self, prefix: str, **more: str) -> Iterator[dict[str, Any]]:
        name = self._name(prefix.strip("/")).rstrip("/") + "/"
        pages = self._client.get_paginator("list_objects_v2")
        with self._explained(prefix):
            yield from pages.paginate(Bucket=self.bucket, Prefix=name, **more)

    def _name(self, key: str) -> str:
        return f"{self.folder}/{check_key(key)}"

    def _where(self, key: str) -> str:
        return f"s3://{self.bucket}/{self._name(key)}"

    @contextmanager
    def _explained(self, key: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            code = error.response["Error"]["Code"]
            hint = aws_errors.remedy(error) or _HINTS.get(code, "see the message of S3")
            raise LakeError(f"{self._where(key)}: {error}; {hint}") from error
        except BotoCoreError as error:
            words = aws_errors.said(error)
            raise LakeError(f"{self._where(key)}: S3 cannot be asked: {words}") from error


def _of(page: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.get("Contents", [])
    return found
