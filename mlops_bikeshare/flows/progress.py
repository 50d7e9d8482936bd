"""How long work shows where it stands: the command line gives a bar with time left, tests none."""

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")


class Track(Protocol):
    """Passes items through and shows how many of `total` are done."""

    def __call__(self, items: Iterable[T], *, label: str, total: int) -> Iterator[T]:
        """The items, one by one."""
        ...


def silent(items: Iterable[T], *, label: str, total: int) -> Iterator[T]:  # noqa: ARG001
    """Show nothing."""
    yield from items


def bar(items: Iterable[T], *, label: str, total: int) -> Iterator[T]:
    """A bar on stderr with the time left."""
    import sys

    from rich.console import Console
    from rich.progress import track

    console = Console(file=sys.stderr)
    yield from track(items, description=label, total=total, console=console)
