"""Trees for every label by `lightgbm.dask`: workers share the rows, and grow the same trees.

Input    as of `training.fit.fit_targets`; a client of Dask. Rows are dealt out one by one, so that
         every worker has its part of each day, and travel once for all labels; a label and which
         rows know it travel for each.
Output   as of `fit_targets`: a FittedBooster per label. Bins are made of each worker's part, and
         sums are added in another order: trees differ from those of one process, a little even
         from one run to the next, and are as good.
Raises   what `fit_targets` raises; InputError where workers died again and again.
Method   data-parallel histograms (Ke et al. 2017; LightGBM's guide to parallel learning). Every
         worker is given all early-stopping rows, so all see the same loss and stop at one tree.

A label of one horizon is taught with that column blank: it says nothing there, and LightGBM fails
on interaction constraints where rows are shared.

When a worker dies, the others wait for it forever. So they are watched: those that trained with it
are started anew (by Dask's nanny, which `dask worker` has), rows are dealt out again, and the trees
of that label, not of those before, are grown from the start.

As the trees of a label begin, each of several workers listens for the others on a free port on ALL
interfaces, without a password, and what they then tell each other is not encrypted: whoever reaches
that port can end a training or take part in it. Keep workers in a private network. One worker alone
opens no port.
"""

import logging
import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.training.fit import (
    FitParams,
    FittedBooster,
    Progress,
    Rows,
    check,
    fitted_of,
    native_of,
)

T = TypeVar("T")

log = logging.getLogger(__name__)
MOST_LOST = 3
WATCHED_S = 1.0
RESTART_S = 60


class _WorkerLostError(Exception):
    """A worker died while trees grew; `others` grew them with it."""

    def __init__(self, lost: Sequence[str], others: Sequence[str]) -> None:
        super().__init__(f"a worker died while trees grew ({', '.join(lost)})")
        self.others = others


@dataclass(frozen=True, slots=True)
class _Shared:
    """Rows on the workers: a part of the training rows, and all early-stopping rows, on each."""

    client: Any
    workers: Sequence[str]
    parts: Sequence[Any]
    stops: Sequence[Any]
    names: Sequence[str]


def grow(
    client: Any,
    train: Rows,
    early_stop: Rows,
    *,
    names: Sequence[str],
    params: FitParams,
    progress: Progress | None = None,
    of_one_horizon: Collection[str] = (),
) -> dict[str, FittedBooster]:
    """Grow trees for each label; `progress` is told of a label's trees when all are there."""
    check(train, early_stop, names=names)
    _quiet()
    fitted: dict[str, FittedBooster] = {}
    lost = 0
    while left := [label for label in train.labels if label not in fitted]:
        try:
            for label, grown in _one_by_one(
                client,
                train,
                early_stop,
                left,
                names=names,
                params=params,
                of_one_horizon=of_one_horizon,
            ):
                fitted[label] = grown
                _tell(progress, label, trees=len(grown.curve), rounds=params.rounds)
        except _WorkerLostError as error:
            lost += 1
            _begin_again(client, error, lost=lost)
    return fitted


def _one_by_one(
    client: Any,
    train: Rows,
    early_stop: Rows,
    labels: Sequence[str],
    *,
    names: Sequence[str],
    params: FitParams,
    of_one_horizon: Collection[str],
) -> Iterator[tuple[str, FittedBooster]]:
    """The trees of one label after the other; _WorkerLostError when a worker dies."""
    from distributed import Client

    workers = sorted(client.scheduler_info()["workers"])
    if not workers:
        raise InputError("--engine dask: no worker is left; start some, then train again")
    with Client(client.scheduler.address) as own:  # which can be closed while it waits
        watched = partial(_watched, own, workers)
        rows = watched(partial(_dealt, own, workers, train, early_stop, names))
        for label in labels:
            blank = label in of_one_horizon
            grown = partial(_grown, rows, train, early_stop, label, params=params, blank=blank)
            yield label, watched(grown)


def _dealt(
    client: Any, workers: Sequence[str], train: Rows, early_stop: Rows, names: Sequence[str]
) -> _Shared:
    client.run(_stdout_to_stderr, workers=workers)
    parts, stops = [], []
    for first, name in enumerate(workers):
        part = np.ascontiguousarray(train.matrix[first :: len(workers)])
        parts.append(client.scatter(part, workers=[name], hash=False))
        stops.append(client.scatter(early_stop.matrix, workers=[name], hash=False))
    return _Shared(client, workers, parts, stops, names)


def _grown(
    rows: _Shared, train: Rows, early_stop: Rows, label: str, *, params: FitParams, blank: bool
) -> FittedBooster:
    """The trees of one label."""
    import lightgbm as lgb
    from lightgbm.dask import DaskLGBMRegressor

    began, count = time.perf_counter(), len(rows.workers)
    parts = [train.labels[label][first::count] for first in range(count)]
    matrix, taught = _known(rows, rows.parts, parts, blank=blank)
    stop, truth = _known(rows, rows.stops, [early_stop.labels[label]] * count, blank=blank)
    native = native_of(params, rows=len(train.matrix))
    del native["num_threads"]  # as many as the worker has
    # Not lightgbm.dask's classifier: it numbers the classes that each worker happens to have.
    model = DaskLGBMRegressor(client=rows.client, n_estimators=params.rounds, **native)
    model.fit(
        matrix,
        taught,
        eval_X=(stop,),
        eval_y=(truth,),
        eval_names=["early_stop"],
        feature_name=list(rows.names),
        callbacks=[lgb.early_stopping(params.early_stopping, verbose=False)],
    )
    curve = model.evals_result_["early_stop"]["binary_logloss"]
    return fitted_of(model.booster_, curve=curve, seconds=time.perf_counter() - began)


def _known(
    rows: _Shared, parts: Sequence[Any], labels: Sequence[NDArray[np.float32]], *, blank: bool
) -> tuple[Any, Any]:
    """Those rows of each part whose label is known, and the labels, as arrays of Dask."""
    import dask.array as da

    xs, ys = [], []
    for name, part, label in zip(rows.workers, parts, labels, strict=True):
        known = np.flatnonzero(np.isfinite(label))
        taken = rows.client.submit(_taken, part, known, blank=blank, workers=[name], pure=False)
        shape = (len(known), len(rows.names))
        xs.append(da.from_delayed(taken, shape=shape, dtype=np.float32))
        told = rows.client.scatter(label[known], workers=[name], hash=False)
        ys.append(da.from_delayed(told, shape=known.shape, dtype=np.float32))
    return da.concatenate(xs), da.concatenate(ys)


def _taken(
    part: NDArray[np.float32], known: NDArray[np.intp], *, blank: bool
) -> NDArray[np.float32]:
    """The rows at `known`, on a worker; their last column, the horizon, perhaps blank."""
    taken = part[known]
    if blank:
        taken[:, -1] = 0
    return taken


def _watched(client: Any, workers: Sequence[str], work: Callable[[], T]) -> T:
    """What `work` gives; _WorkerLostError when a worker dies."""
    with ThreadPoolExecutor(1) as thread:
        working = thread.submit(work)
        try:
            while not wait([working], timeout=WATCHED_S).done:
                _check_there(client, workers)
            if working.exception() is not None:
                _check_there(client, workers)
            return working.result()
        except BaseException:
            client.close()  # or the thread would wait, and we for it
            raise


def _check_there(client: Any, workers: Sequence[str]) -> None:
    there = client.scheduler_info()["workers"]
    lost = [name for name in workers if name not in there]
    if lost:
        raise _WorkerLostError(lost, [name for name in workers if name in there])


def _begin_again(client: Any, error: _WorkerLostError, *, lost: int) -> None:
    """Start the others anew: they wait in LightGBM's own code, which nothing interrupts."""
    log.warning("%s; its label is grown again", error)
    if lost == MOST_LOST:
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


def _tell(progress: Progress | None, label: str, *, trees: int, rounds: int) -> None:
    if progress is not None:
        for tree in range(trees):
            progress(label, tree + 1, rounds)


def _quiet() -> None:
    """What lightgbm.dask prints of ports and parameters is no result, and no warning."""
    import lightgbm as lgb

    told = logging.getLogger("lightgbm")
    told.setLevel(logging.ERROR)
    lgb.register_logger(told)


def _stdout_to_stderr() -> None:
    """On a worker, which may share our stdout: LightGBM's threads print of their connections."""
    os.dup2(2, 1)
