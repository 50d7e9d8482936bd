"""The store on local files: a temporary file, flushed, then linked to its final name.

The link fails if the name exists, so two writers cannot both create a key, and a reader never
sees half an object. LakeError names the file and what to do when the disk refuses.
"""

import os
import secrets
from pathlib import Path

from mlops_bikeshare.domain.errors import LakeError


class LocalStore:
    """Objects as files below `root`, which is made with the first object."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def create(self, key: str, body: bytes) -> bool:
        """Write an object whole; False, and nothing written, if the key exists."""
        path = self._path(key)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_through(temporary, body)
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError as error:
            raise LakeError(f"cannot write {path}: {error.strerror}; nothing was stored") from error
        finally:
            temporary.unlink(missing_ok=True)
        return True

    def read(self, key: str) -> bytes:
        """The object's bytes; LakeError if there is none."""
        path = self._path(key)
        try:
            return path.read_bytes()
        except OSError as error:
            raise LakeError(f"cannot read {path}: {error.strerror}") from error

    def keys(self, prefix: str) -> list[str]:
        """All keys below the folder `prefix`, sorted."""
        found: list[str] = []
        for folder, _, names in os.walk(self._path(prefix)):
            parent = Path(folder).relative_to(self.root).as_posix()
            found += [f"{parent}/{name}" for name in names if not name.startswith(".")]
        return sorted(found)

    def folders(self, prefix: str) -> list[str]:
        """Names of the folders directly below the folder `prefix`, sorted."""
        path = self._path(prefix)
        return sorted(p.name for p in path.iterdir() if p.is_dir()) if path.is_dir() else []

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens if there is none."""
        self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        path = self.root / key
        if ".." in Path(key).parts or Path(key).is_absolute():
            raise LakeError(f"key {key!r} leaves the lake; keys are relative, without '..'")
        return path


def _write_through(path: Path, body: bytes) -> None:
    with path.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
