"""Two targets, each at the promised horizon and at the others, from one Dataset, against four."""

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.flows.process.progress import silent
from mlops_bikeshare.flows.runs import training_table
from mlops_bikeshare.training.by_horizon import at_promise, twice
from mlops_bikeshare.training.candidate import HORIZON_FEATURE, promised, rows_of
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
    grow = partial(
        fit_targets,
        names=[*table.names, HORIZON_FEATURE],
        params=params,
        of_one_horizon=list(map(at_promise, table.counts)),
    )

    def apart() -> None:
        for label in fit.labels:
            grow(_only(fit, label), _only(stop, label))

    ours, peer = compare(lambda: grow(fit, stop), apart, repeats=1)
    yield Row(
        name="training.two_targets_one_dataset",
        ours=ours.cpu_s,
        peer=peer.cpu_s,
        unit="CPU s",
        goal=FASTER,
        against=f"a Dataset for each of {len(fit.labels)} labels, {len(fit.matrix):,} rows,"
        f" ≤ {params.rounds} trees",
    )


def _rows(table: TrainingTable, among: NDArray[np.bool_], most: int) -> Rows:
    drawn = sample_once(
        table.station_ids, table.station, table.dt, among=among, max_rows=most, seed=1
    )
    return twice(rows_of(table, drawn), promised(table, drawn.rows))


def _only(rows: Rows, label: str) -> Rows:
    """Rows that a label is known of, as one would train it alone."""
    known = np.isfinite(rows.labels[label])
    return Rows(matrix=rows.matrix[known], labels={label: rows.labels[label][known]})
