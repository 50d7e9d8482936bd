"""A Dask cluster: one that runs already, or one of this machine for as long as a block runs.

Input    the address of a scheduler (`tcp://host:8786`), or how many worker processes to start here.
Output   a `distributed.Client`. Local workers have one thread each and listen on loopback alone.
Raises   SettingsError when Dask is not installed; InputError when the scheduler does not answer or
         has no workers, or a task's workers died again and again. What a task raises is raised as
         it is.

Whoever reaches a scheduler can run code on its workers: keep its port to a network you trust.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mlops_bikeshare.domain.errors import InputError, SettingsError

ANSWERS_S = 30
LOOPBACK = "127.0.0.1"
# A worker's task must not take more threads than the worker has.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

# Dask's profiler looks at the task's thread every 10 ms, for a page that nobody opens here.
_LOCAL = {
    "distributed.nanny.pre-spawn-environ": _ONE_THREAD,
    "distributed.worker.profile.enabled": False,
}


@contextmanager
def client(scheduler: str | None, *, workers: int) -> Iterator[Any]:
    """A client of the scheduler, or of `workers` new processes here."""
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError:
        msg = "--engine dask needs Dask: `make dask`, or pip install 'mlops_bikeshare[dask]'"
        raise SettingsError(msg) from None
    if scheduler is not None:
        with _connected(Client, scheduler) as found:
            yield found
        return
    with (
        dask.config.set(_LOCAL),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host=LOOPBACK,
            dashboard_address=f"{LOOPBACK}:0",
        ) as cluster,
        Client(cluster) as found,
    ):
        yield found


def _connected(connect: Any, scheduler: str) -> Any:
    try:
        found = connect(scheduler, timeout=ANSWERS_S)
    except (OSError, ValueError) as error:
        msg = f"--scheduler {scheduler}: no Dask scheduler answers there ({error})"
        raise InputError(f"{msg}; expected an address such as tcp://host:8786") from None
    if not found.scheduler_info()["workers"]:
        found.close()
        raise InputError(f"--scheduler {scheduler}: it has no workers; start some first")
    return found


def in_order(client: Any, futures: Sequence[Any]) -> Generator[Any]:
    """What tasks gave, in the order of `futures`.

    A task whose worker died is done again by another. Closed early, tasks that did not begin never
    will.
    """
    left = list(futures)
    try:
        while left:
            yield settled(left[0]).result()
            del left[0]
    finally:
        if left and client.status == "running":
            client.cancel(left)


def settled(future: Any) -> Any:
    """The task once it ended; what it raised is raised here. What it gave stays where it is."""
    from distributed import KilledWorker, wait

    wait(future)
    try:
        return future.result() if future.status == "error" else future
    except KilledWorker as error:
        msg = f"--engine dask: workers died of {error.task}, most often for lack of memory"
        raise InputError(f"{msg}; give each more, or start fewer --workers") from None
