"""Unpack a model archive without trusting it.

Input    a `.tar.gz` as mlflow.sagemaker makes it (MLmodel at its root), a folder that exists.
Output   nothing; the folder then holds the archive's files and directories, and nothing else.
Raises   ModelError naming the member: a path outside the folder, a link or device, a pickle
         (loading one runs whatever its author wrote), compiled Python (it runs instead of the
         source that people read), more than `MAX_BYTES` in all, no archive.
"""

import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from mlops_bikeshare.domain.errors import ModelError

MAX_BYTES = 2 * 1024**3
PICKLES = (".pkl", ".pickle", ".joblib", ".cloudpickle", ".dill")
COMPILED = (".pyc", ".pyo")
CACHE = "__pycache__"


def unpack(archive: Path, into: Path) -> None:
    """Extract every member of `archive` under `into`, or refuse before writing anything."""
    try:
        with tarfile.open(archive, "r:gz") as tar:
            members = list(_checked(tar))
            # `data` repeats the path and link checks on the way out and drops owners and modes.
            tar.extractall(into, members=members, filter="data")
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        msg = f"model archive {archive.name} cannot be unpacked: {type(error).__name__}"
        raise ModelError(msg) from error


def _checked(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    total = 0
    for member in tar:
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts or "\\" in member.name:
            raise ModelError(f"model archive refused: {member.name!r} leaves its folder")
        if not (member.isreg() or member.isdir()):
            raise ModelError(f"model archive refused: {member.name!r} is a link or a device")
        if path.suffix.lower() in PICKLES:
            raise ModelError(
                f"model archive refused: {member.name!r} is a pickle; log the model from code "
                "(models-from-code) instead"
            )
        if path.suffix.lower() in COMPILED or CACHE in map(str.lower, path.parts):
            raise ModelError(
                f"model archive refused: {member.name!r} is compiled code, which Python would run"
                " instead of the source beside it; archive the version without it"
            )
        total += member.size
        if total > MAX_BYTES:
            raise ModelError(f"model archive refused: more than {MAX_BYTES:,} bytes unpacked")
        yield member
