"""Trees for every label by `lightgbm.dask`: workers share the rows, and grow the same trees.

Input    as of `training.fit.fit_targets`; a client of Dask. Rows are dealt out one by one, so that
         every worker has its part of each day, and training rows travel once for all labels; a
         label and which rows know it travel for each. LightGBM looks at what it was given: for each
         label, each worker's early-stopping rows and its part of the others come back here.
Output   as of `fit_targets`: a FittedBooster per label. Bins are made of each worker's part, and
         sums are added in another order: trees differ from those of one process, a little even
         from one run to the next, and are as good. Their text names no worker.
Raises   what `fit_targets` raises; InputError where workers died again and again, where LightGBM
         or a worker's memory failed, and for a label that fewer rows know than there are workers.
Method   data-parallel histograms (Ke et al. 2017; LightGBM's guide to parallel learning). Every
         worker is given all early-stopping rows. Workers of one thread each keep what they were
         given, so all see the same loss and stop at one tree.

A label of one horizon is taught with that column blank: it says nothing there, and LightGBM fails
on interaction constraints where rows are shared.

When a worker dies, the others wait for it forever. So they are watched: those that trained with it
are started anew (by Dask's nanny, which `dask worker` has), rows are dealt out again, and the trees
of that label, not of those before, are grown from the start. Whatever else ends trees early leaves
some waiting too, so workers are started anew then as well. That is why one training at a time grows
trees on a scheduler (a lock of Dask), and other tasks on those workers are done again.

As the trees of a label begin, each of several workers listens for the others on a free port on ALL
interfaces, without a password, and what they then tell each other is not encrypted: whoever reaches
that port can end a training or take part in it. Keep workers in a private network. One worker alone
opens no port.
"""

import logging
import os
import re
import time
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.flows.scaling import companions
from mlops_bikeshare.training.fit import (
    FitParams,
    FittedBooster,
    Progress,
    Rows,
    check,
    fitted_of,
    native_of,
)

TIME_OUT_MIN = 5

# As a model of one process has them; of workers, they are addresses and ports of a private network.
_ONE_MACHINE = {
    "machines": "",
    "num_machines": "1",
    "local_listen_port": "12400",
    "time_out": "120",
}


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
    fitted: dict[str, FittedBooster] = {}
    lost = 0
    with _quiet(), companions.alone(client):
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
            except companions.WorkerLostError as error:
                lost += 1
                companions.begin_again(client, error, lost=lost)
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
    """The trees of one label after the other; WorkerLostError when a worker dies."""
    from distributed import Client

    workers = sorted(client.scheduler_info()["workers"])
    if not workers:
        raise InputError("--engine dask: no worker is left; start some, then train again")
    _check_known(train, labels, workers=len(workers))
    with Client(client.scheduler.address) as own:  # which can be closed while it waits
        watched = partial(companions.watched, own, workers)
        if client.cluster is not None:  # started for this; others' workers keep their stdout
            watched(partial(own.run, _stdout_to_stderr, workers=workers))
        rows = watched(partial(_dealt, own, workers, train, early_stop, names))
        for label in labels:
            blank = label in of_one_horizon
            grown = partial(_grown, rows, train, early_stop, label, params=params, blank=blank)
            with companions.nobody_left_waiting(client, workers, label):
                fitted = watched(grown)
            yield label, fitted


def _check_known(train: Rows, labels: Sequence[str], *, workers: int) -> None:
    for label in labels:
        known = int(np.isfinite(train.labels[label]).sum())
        if known < workers:
            msg = f"--engine dask: {label} is known of {known} training rows, for {workers} workers"
            raise InputError(f"{msg}; expected at least one each. Give a longer range")


def _dealt(
    client: Any, workers: Sequence[str], train: Rows, early_stop: Rows, names: Sequence[str]
) -> _Shared:
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
    matrix, taught = _known(rows, *_parts_of(rows, train, label), blank=blank)
    stop, truth = _known(rows, rows.stops, [early_stop.labels[label]] * count, blank=blank)
    native = native_of(params, rows=len(train.matrix))
    del native["num_threads"]  # as many as the worker has
    native["time_out"] = TIME_OUT_MIN
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
    fitted = fitted_of(model.booster_, curve=curve, seconds=time.perf_counter() - began)
    return replace(fitted, text=_of_one_machine(fitted.text))


def _of_one_machine(text: str) -> str:
    """LightGBM's text without what it keeps of the workers' network."""
    for name, value in _ONE_MACHINE.items():
        text = re.sub(rf"(?m)^\[{name}: .*\]$", f"[{name}: {value}]", text)
    return text


def _parts_of(
    rows: _Shared, train: Rows, label: str
) -> tuple[Sequence[Any], list[NDArray[np.float32]]]:
    """The rows of each worker, and their labels; none is without a known one."""
    of, count = train.labels[label], len(rows.workers)
    dealt = [of[first::count] for first in range(count)]
    if all(np.isfinite(part).any() for part in dealt):
        return rows.parts, dealt
    known = np.flatnonzero(np.isfinite(of))  # few: they are dealt out anew
    taken = [known[first::count] for first in range(count)]
    parts = [
        rows.client.scatter(train.matrix[part], workers=[name], hash=False)
        for name, part in zip(rows.workers, taken, strict=True)
    ]
    return parts, [of[part] for part in taken]


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


def _tell(progress: Progress | None, label: str, *, trees: int, rounds: int) -> None:
    if progress is not None:
        for tree in range(trees):
            progress(label, tree + 1, rounds)


@contextmanager
def _quiet() -> Generator[None]:
    """What lightgbm.dask prints of ports and parameters is no result, and no warning."""
    import lightgbm as lgb

    told = logging.getLogger("lightgbm")
    before = told.level
    told.setLevel(logging.ERROR)
    lgb.register_logger(told)
    try:
        yield
    finally:
        told.setLevel(before)


def _stdout_to_stderr() -> None:
    """On a worker, which may share our stdout: LightGBM's threads print of their connections."""
    os.dup2(2, 1)
