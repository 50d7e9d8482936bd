"""Objects as files under `<root>/s3/<bucket>/<key>`.

Input    bucket, key, a file with the content.
Output   paths; `etag` is an opaque string that changes with every write.
Raises   ApiError: InvalidBucketName, InvalidArgument (a key that is no path below its bucket),
         NoSuchKey.

A key is checked by its parts and its resolved place: no `..`, no empty part, no way out by a link.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse

from mlops_bikeshare.domain.errors import ModelError
from mlops_bikeshare.serving.host.faults import ApiError

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class ObjectStore:
    """The files of one workspace's buckets; every bucket with a valid name exists."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.incoming = folder / ".incoming"
        self.incoming.mkdir(parents=True, exist_ok=True)

    def path(self, bucket: str, key: str) -> Path:
        """Where an object is or would be."""
        root = self.folder(bucket)
        parts = key.split("/")
        path = root.joinpath(*parts)
        if (
            any(part in ("", ".", "..") for part in parts)
            or "\0" in key
            or not path.resolve().is_relative_to(root.resolve())
        ):
            raise ApiError("InvalidArgument", "the key is not a path below its bucket")
        return path

    def existing(self, bucket: str, key: str) -> Path:
        """The file of an object; NoSuchKey when there is none."""
        path = self.path(bucket, key)
        if not path.is_file():
            raise ApiError("NoSuchKey", "The specified key does not exist.", status=404)
        return path

    def archive(self, url: str) -> Path:
        """The file of `s3://bucket/key`; ModelError when there is none."""
        parsed = urlparse(url)
        try:
            return self.existing(parsed.netloc, parsed.path.removeprefix("/"))
        except ApiError as error:
            raise ModelError(f"model archive {url} is not in the local object store") from error

    def put(self, content: Path, bucket: str, key: str) -> str:
        """Move a complete file into place; its ETag."""
        path = self.path(bucket, key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            content.replace(path)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise ApiError("InvalidArgument", "the key runs through another object") from error
        return etag(path)

    def delete(self, bucket: str, key: str) -> None:
        """Remove an object, and the folders that only it kept."""
        path = self.path(bucket, key)
        if not path.is_file():
            return
        path.unlink()
        for parent in path.relative_to(self._folder).parents[:-2]:
            if any((self._folder / parent).iterdir()):
                break
            (self._folder / parent).rmdir()

    def keys(self, bucket: str, prefix: str) -> Iterator[tuple[str, Path]]:
        """Keys below a prefix, in order, with their files."""
        root = self.folder(bucket)
        files = (path for path in root.rglob("*") if path.is_file())
        pairs = ((path.relative_to(root).as_posix(), path) for path in files)
        yield from sorted(pair for pair in pairs if pair[0].startswith(prefix))

    def folder(self, name: str) -> Path:
        """The folder of a bucket; ApiError when no bucket can have that name."""
        if not _BUCKET.fullmatch(name):
            raise ApiError("InvalidBucketName", "The specified bucket is not valid.")
        return self._folder / name


def etag(path: Path) -> str:
    """An opaque version of a file, in quotes as S3 writes it."""
    stat = path.stat()
    return f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'
