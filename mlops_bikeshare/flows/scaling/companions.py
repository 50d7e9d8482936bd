"""Workers that grow trees together: what becomes of the others when one of them ends early.

Input    a client of Dask, the names of workers, and work that waits for them.
Output   what the work gives.
Raises   WorkerLostError when a worker dies; InputError when that happened too often, or the others
         cannot be started anew, or LightGBM or a worker's memory failed.

The others wait in LightGBM's own code, which nothing interrupts, so they are started anew by Dask's
nanny. Whoever trained with them would be ended by that: one training at a time.
"""

import logging
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, TypeVar

from mlops_bikeshare.domain.errors import InputError

T = TypeVar("T")

log = logging.getLogger(__name__)
MOST_LOST = 3
WATCHED_S = 1.0
LOOKS = 5
RESTART_S = 60
LOCK = "bikeshare-train"


class WorkerLostError(Exception):
    """A worker died while trees grew; `others` grew them with it."""

    def __init__(self, lost: Sequence[str], others: Sequence[str]) -> None:
        super().__init__(f"a worker died while trees grew ({', '.join(lost)})")
        self.others = others


@contextmanager
def alone(client: Any) -> Generator[None]:
    """No other training on this scheduler: each would start the other's workers anew."""
    from distributed import Lock

    lock = Lock(LOCK, scheduler_rpc=client.scheduler, loop=client.loop)
    if not lock.acquire(blocking=False):
        log.warning("another training grows trees on this scheduler; this one waits for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def watched(client: Any, workers: Sequence[str], work: Callable[[], T]) -> T:
    """What `work` gives; WorkerLostError when a worker dies."""
    with ThreadPoolExecutor(1) as thread:
        working = thread.submit(work)
        try:
            while not wait([working], timeout=WATCHED_S).done:
                _check_there(client, workers)
            if working.exception() is not None:
                _look_again(client, workers)
            return working.result()
        except BaseException:
            client.close()  # or the thread would wait, and we for it
            raise


def _check_there(client: Any, workers: Sequence[str]) -> None:
    there = client.scheduler_info()["workers"]
    lost = [name for name in workers if name not in there]
    if lost:
        raise WorkerLostError(lost, [name for name in workers if name in there])


def _look_again(client: Any, workers: Sequence[str]) -> None:
    """The others may tell of a dead worker before the scheduler knows."""
    for _ in range(LOOKS):
        _check_there(client, workers)
        time.sleep(WATCHED_S)


@contextmanager
def nobody_left_waiting(client: Any, workers: Sequence[str], label: str) -> Generator[None]:
    """Start workers anew when trees end early; what LightGBM raises becomes an InputError."""
    from lightgbm.basic import LightGBMError

    try:
        yield
    except WorkerLostError:
        raise  # those left are started anew before the label is grown again
    except BaseException as error:
        if len(workers) > 1:
            _try_to_restart(client, workers)
        if isinstance(error, LightGBMError | MemoryError):
            said = str(error) or "a worker had not enough memory"
            msg = f"--engine dask: growing trees for {label} failed ({said}); train again, and if"
            raise InputError(f"{msg} that fails too, with fewer workers or more memory") from error
        raise


def _try_to_restart(client: Any, workers: Sequence[str]) -> None:
    try:
        client.restart_workers(list(workers), timeout=RESTART_S)
    except (ValueError, KeyError, AssertionError, OSError, RuntimeError) as error:
        log.warning("workers may wait for each other until they are restarted (%r)", error)


def begin_again(client: Any, error: WorkerLostError, *, lost: int) -> None:
    """Start the others anew: they wait in LightGBM's own code, which nothing interrupts."""
    log.warning("%s; its label is grown again", error)
    if lost == MOST_LOST:
        _try_to_restart(client, error.others)
        msg = f"--engine dask: {error}, {lost} times; most often for lack of memory"
        raise InputError(f"{msg}: give each more, or start fewer --workers") from None
    try:
        client.restart_workers(list(error.others), timeout=RESTART_S)
    except ValueError:
        msg = f"--engine dask: {error}, and the others wait for it without a nanny to start them"
        raise InputError(f"{msg} anew: restart the workers, then train again") from None
    ends = time.monotonic() + RESTART_S
    while time.monotonic() < ends and not _anew(client, error.others):
        time.sleep(WATCHED_S)  # it answers before the old ones are gone


def _anew(client: Any, others: Sequence[str]) -> bool:
    there = client.scheduler_info()["workers"]
    return len(there) >= max(1, len(others)) and not any(name in there for name in others)
