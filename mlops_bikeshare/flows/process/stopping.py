"""A clean stop: SIGTERM and Ctrl-C ask, whoever works looks up between two steps.

Ctrl-C raises KeyboardInterrupt wherever the program is. Where that is in a library that catches
everything (an import with a bare `except`), it would be lost: `heard` remembers it, and `heed`,
which flows call before and after each piece of work, raises it again.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_asked = threading.Event()


@contextmanager
def asked_to_stop() -> Iterator[threading.Event]:
    """An event that the first SIGTERM or SIGINT sets; a second one ends the process at once."""
    event = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def ask(number: int, _frame: object) -> None:
        event.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, ask)
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def heard() -> Iterator[None]:
    """While the block runs, a Ctrl-C is remembered; outside the main thread nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def note(number: int, frame: FrameType | None) -> None:
        _asked.set()
        signal.default_int_handler(number, frame)

    before = signal.signal(signal.SIGINT, note)
    _asked.clear()
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def heed() -> None:
    """KeyboardInterrupt if there was a Ctrl-C that somebody swallowed."""
    if _asked.is_set():
        raise KeyboardInterrupt
