"""Unpack a model archive without trusting it.

Input    a `.tar.gz` as mlflow.sagemaker makes it (MLmodel at its root), a folder that exists.
Output   nothing; the folder then holds the archive's files and directories, and nothing else.
Raises   ModelError naming the member: a path outside the folder, a link or device, a pickle
         (loading one runs whatever its author wrote; `allow_pickle` lets it pass), compiled Python
         (it runs instead of the source that people read; `drop_compiled` leaves it where it is:
         mlflow archives what Python left beside a model's code), more than `MAX_BYTES` in all,
         headers of more than `MAX_HEADERS` bytes (tarfile reads a long name or a sparse map into
         memory whole), no archive.
"""

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePath, PurePosixPath

from mlops_bikeshare.domain.errors import ModelError

MAX_BYTES = 2 * 1024**3
MAX_HEADERS = 16 * 1024**2
PICKLES = (".pkl", ".pickle", ".joblib", ".cloudpickle", ".dill", ".pt", ".pth")
# How one begins whatever it is called: PROTO and a protocol from 2 on (PEP 307).
PICKLED = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))
COMPILED = (".pyc", ".pyo")
CACHE = "__pycache__"


def unpack(
    archive: Path, into: Path, *, allow_pickle: bool = False, drop_compiled: bool = False
) -> None:
    """Extract every member of `archive` under `into`, or refuse before writing anything."""
    try:
        with gzip.open(archive) as content:
            metered = _Metered(content)
            tar = tarfile.TarFile(fileobj=metered)  # type: ignore[arg-type]
            members = list(_checked(tar, allow_pickle=allow_pickle, drop_compiled=drop_compiled))
            metered.left = MAX_BYTES
            # `data` repeats the path and link checks on the way out and drops owners and modes.
            tar.extractall(into, members=members, filter="data")
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        msg = f"model archive {archive.name} cannot be unpacked: {type(error).__name__}"
        raise ModelError(msg) from error


def is_pickle(path: PurePath, begins: bytes) -> bool:
    """By its name, or by its first two bytes."""
    return path.suffix.lower() in PICKLES or begins in PICKLED


def _begins(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """The first two bytes of a member."""
    if not member.isreg() or tar.fileobj is None:
        return b""
    tar.fileobj.seek(member.offset_data)
    return tar.fileobj.read(min(member.size, len(PICKLED[0])))


class _Metered:
    """A file that is read up to a limit; what is skipped does not count."""

    def __init__(self, content: gzip.GzipFile) -> None:
        self.left = MAX_HEADERS
        self._content = content
        self.seek, self.tell = content.seek, content.tell

    def read(self, size: int = -1) -> bytes:
        """Read, or refuse before anything is held in memory."""
        if not 0 <= size <= self.left:
            raise ModelError(f"model archive refused: its headers exceed {MAX_HEADERS:,} bytes")
        self.left -= size
        return self._content.read(size)


def _checked(
    tar: tarfile.TarFile, *, allow_pickle: bool, drop_compiled: bool
) -> Iterator[tarfile.TarInfo]:
    total = 0
    for member in tar:
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts or "\\" in member.name:
            raise ModelError(f"model archive refused: {member.name!r} leaves its folder")
        if not (member.isreg() or member.isdir()) or member.issparse():
            raise ModelError(f"model archive refused: {member.name!r} is a link or a device")
        if not allow_pickle and is_pickle(path, _begins(tar, member)):
            raise ModelError(
                f"model archive refused: {member.name!r} is a pickle; log the model from code "
                "(models-from-code), or scikit-learn's as skops, instead"
            )
        compiled = path.suffix.lower() in COMPILED or CACHE in map(str.lower, path.parts)
        if compiled and not drop_compiled:
            raise ModelError(
                f"model archive refused: {member.name!r} is compiled code, which Python would run"
                " instead of the source beside it; archive the version without it"
            )
        total += member.size
        if total > MAX_BYTES:
            raise ModelError(f"model archive refused: more than {MAX_BYTES:,} bytes unpacked")
        if not compiled:
            yield member
