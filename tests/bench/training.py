"""Two targets from one LightGBM Dataset, against a Dataset for each."""

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.flows.process.progress import silent
from mlops_bikeshare.flows.runs import training_table
from mlops_bikeshare.training.candidate import HORIZON_FEATURE
from mlops_bikeshare.training.fit import FitParams, Rows, fit_targets
from mlops_bikeshare.training.sample import sample_once
from mlops_bikeshare.training.table import Plan, TrainingTable
from tests.bench.bed import Bed
from tests.bench.measure import Row, compare

FASTER = 1.2
ROWS, STOP_ROWS = 200_000, 50_000


def two_targets(bed: Bed) -> Iterator[Row]:
    plan = Plan(max_rows=ROWS)
    table = training_table.load(bed.ws, bed.city, bed.split, plan, silent)
    slices = bed.split.masks(table.dt)
    fit = _rows(table, slices.fit, ROWS)
    stop = _rows(table, slices.early_stop, STOP_ROWS)
    params = FitParams(rounds=60 if bed.quick else 200)
    grow = partial(fit_targets, names=[*table.names, HORIZON_FEATURE], params=params)

    def apart() -> None:
        for target in table.counts:
            grow(_only(fit, target), _only(stop, target))

    ours, peer = compare(lambda: grow(fit, stop), apart, repeats=1)
    yield Row(
        name="training.two_targets_one_dataset",
        ours=ours.cpu_s,
        peer=peer.cpu_s,
        unit="CPU s",
        goal=FASTER,
        against=f"a Dataset per target, {len(fit.matrix):,} rows, ≤ {params.rounds} trees",
    )


def _rows(table: TrainingTable, among: NDArray[np.bool_], most: int) -> Rows:
    drawn = sample_once(
        table.station_ids, table.station, table.dt, among=among, max_rows=most, seed=1
    )
    labels = {t: table.labels(t, drawn.rows, drawn.horizon_min) for t in table.counts}
    return Rows(matrix=drawn.matrix(table.features), labels=labels)


def _only(rows: Rows, target: str) -> Rows:
    return Rows(matrix=rows.matrix, labels={target: rows.labels[target]})
