"""An object store as the lake needs it: objects are created once and never changed.

Keys are relative, with forward slashes. Adapters: `local` (files); every adapter passes
tests/contract/test_store.py.
"""

from typing import Protocol


class Store(Protocol):
    """Create-once objects under keys."""

    def create(self, key: str, body: bytes) -> bool:
        """Write an object whole; False, and nothing written, if the key exists."""
        ...

    def read(self, key: str) -> bytes:
        """The object's bytes; LakeError if there is none."""
        ...

    def keys(self, prefix: str) -> list[str]:
        """All keys below the folder `prefix`, sorted."""
        ...

    def folders(self, prefix: str) -> list[str]:
        """Names of the folders directly below the folder `prefix`, sorted."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens if there is none."""
        ...
