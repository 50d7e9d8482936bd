"""How long work shows where it stands; the command line shows bars with the time left."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from mlops_bikeshare.flows.process import stopping

T = TypeVar("T")


class Track(Protocol):
    """Passes items through and shows how many of `total` are done."""

    def __call__(self, items: Iterable[T], *, label: str, total: int) -> Iterator[T]:
        """The items, one by one."""
        ...


def silent(items: Iterable[T], *, label: str, total: int) -> Iterator[T]:  # noqa: ARG001
    """Show nothing."""
    yield from items


@contextmanager
def counted(track: Track, *, label: str, total: int) -> Iterator[Callable[[], None]]:
    """For work that reports from a callback: call what this yields after each of `total` items."""
    ticks = iter(track(range(total), label=label, total=total))

    def tick() -> None:
        stopping.heed()
        next(ticks, None)

    tick()
    try:
        yield tick
    finally:
        for _ in ticks:  # work may end early; what shows it ends with it
            pass
