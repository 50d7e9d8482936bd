"""The store on local files: a temporary file, flushed, then linked to its final name.

The link fails if the name exists, so two writers cannot both create a key, and a reader never
sees half an object. Reading a folder is no snapshot: it is read until two looks agree. LakeError
names the file and what to do when the disk refuses.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlops_bikeshare.domain.errors import LakeError
from mlops_bikeshare.lake.store import ObjectGoneError, check_key


class LocalStore:
    """Objects as files below `root`, which is made with the first object."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def create(self, key: str, body: bytes) -> bool:
        """Write an object whole; False, and nothing written, if the key exists."""
        path = self._path(key)
        with _drafted(path, body) as draft:
            try:
                os.link(draft, path)
            except FileExistsError:
                return False
        return True

    def replace(self, key: str, body: bytes) -> None:
        """Write an object whole in place of what is there: readers see the old one or the new."""
        path = self._path(key)
        with _drafted(path, body) as draft:
            draft.replace(path)

    def read(self, key: str) -> bytes:
        """The object's bytes; ObjectGoneError if there is none."""
        path = self._path(key)
        try:
            return path.read_bytes()
        except FileNotFoundError:
            raise ObjectGoneError(
                f"there is no {path}; it may have been merged or removed"
            ) from None
        except OSError as error:
            raise LakeError(f"cannot read {path}: {error.strerror}") from error

    def keys(self, prefix: str) -> list[str]:
        """All keys below the folder `prefix`, sorted."""
        before, found = None, self._look(prefix)
        while found != before:
            before, found = found, self._look(prefix)
        return found

    def _look(self, prefix: str) -> list[str]:
        found: list[str] = []
        for folder, _, names in os.walk(self._path(prefix)):
            parent = Path(folder).relative_to(self.root).as_posix()
            found += [f"{parent}/{name}" for name in names if not name.startswith(".")]
        return sorted(found)

    def folders(self, prefix: str) -> list[str]:
        """Names of the folders directly below the folder `prefix`, sorted."""
        path = self._path(prefix)
        inside = path.iterdir() if path.is_dir() else ()
        return sorted(child.name for child in inside if child.is_dir() and _holds_any(child))

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens if there is none."""
        self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self.root / check_key(key)


def _holds_any(folder: Path) -> bool:
    """Whether a folder holds objects, as deep as they may be: empty folders are none."""
    walk = os.walk(folder)
    return any(not name.startswith(".") for _, _, names in walk for name in names)


@contextmanager
def _drafted(path: Path, body: bytes) -> Iterator[Path]:
    """The bytes on disk beside `path`, which the block gives their name."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            _write_through(draft, body)
        except FileNotFoundError:  # the first object of its folder
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_through(draft, body)
        yield draft
    except OSError as error:
        raise LakeError(f"cannot write {path}: {error.strerror}; nothing was stored") from error
    finally:
        draft.unlink(missing_ok=True)


def _write_through(path: Path, body: bytes) -> None:
    with path.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
