"""An object store as the lake needs it: objects are created once and never changed.

Only what is published for others under a fixed name is replaced, whole. Keys are relative, with
forward slashes. Adapters: `local` (files), `s3`; every adapter passes
tests/contract/test_store.py. Raises ObjectGoneError for an object that is not there, LakeError
for everything else that goes wrong.
"""

from pathlib import PurePosixPath
from typing import Protocol

from mlops_bikeshare.domain.errors import LakeError


class ObjectGoneError(LakeError):
    """There is no such object, or no longer."""


class Store(Protocol):
    """Objects under keys."""

    def create(self, key: str, body: bytes) -> bool:
        """Write an object whole; False, and nothing written, if the key exists."""
        ...

    def replace(self, key: str, body: bytes) -> None:
        """Write an object whole in place of what is there: readers see the old one or the new."""
        ...

    def read(self, key: str) -> bytes:
        """The object's bytes; ObjectGoneError if there is none."""
        ...

    def keys(self, prefix: str) -> list[str]:
        """All keys below the folder `prefix`, sorted.

        A listing that misses a deleted key has every later-sorting key that was created before
        that deletion: who moves rows to a later key leaves no moment at which a listing has none.
        """
        ...

    def folders(self, prefix: str) -> list[str]:
        """Names of the folders directly below the folder `prefix`, sorted."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens if there is none."""
        ...


def check_key(key: str) -> str:
    """The key; LakeError if it leads out of the lake."""
    path = PurePosixPath(key)
    if ".." in path.parts or path.is_absolute():
        raise LakeError(f"key {key!r} leaves the lake; keys are relative, without '..'")
    return key
