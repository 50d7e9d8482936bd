"""Tune on a Dask cluster: the folds of a candidate are scored beside each other.

Input    as of `tune`; the address of a scheduler, or how many workers to start here. Workers read
         features and truth themselves, from the same lake: each fold once, not once a candidate.
Output   Tuned, as of `tune`: what folds reach is reported in their order, so the same candidates
         are asked for, pruned and found best, and either engine goes on where the other stopped.
Raises   what `tune` raises; SettingsError without Dask, InputError without a scheduler.

A fold takes one thread. Where a worker died, another reads its folds and scores them again. Of a
candidate that is pruned, folds that did not begin never will; one under way ends first.
"""

from collections.abc import Generator, Sequence
from dataclasses import replace
from functools import partial
from itertools import cycle
from typing import Any

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.flows import tune as flow
from mlops_bikeshare.flows.process.progress import Track, silent
from mlops_bikeshare.flows.runs import training_table
from mlops_bikeshare.flows.scaling import cluster
from mlops_bikeshare.flows.scaling.feature_blocks import Where
from mlops_bikeshare.flows.tune import Scores, Tuned
from mlops_bikeshare.training.split import Split
from mlops_bikeshare.training.table import Plan, TrainingTable
from mlops_bikeshare.training.tuning import FoldScore, score


def tune(
    ws: Workspace,
    city: City,
    *,
    scheduler: str | None = None,
    workers: int = 2,
    **asked: Any,
) -> Tuned:
    """`tune`, the folds of a candidate beside each other; `asked` is what else that one takes."""
    with cluster.client(scheduler, workers=workers) as client:
        return flow.tune(ws, city, scorer=partial(_scores_there, client), **asked)


def rows_of(where: Where, split: Split, plan: Plan) -> TrainingTable:
    """The rows of a fold, which stay with the worker that read them."""
    return training_table.load_folds(where.opened(), where.city, [split], plan, silent)


def scored(table: TrainingTable, split: Split, plan: Plan) -> FoldScore:
    """How good a plan is on a fold."""
    return score(table, split, replace(plan, params=replace(plan.params, threads=1)))


def _scores_there(
    client: Any, ws: Workspace, city: City, folds: Sequence[Split], plan: Plan, track: Track
) -> Scores:
    where = Where(ws.settings, ws.clock, city)
    homes = cycle(client.scheduler_info()["workers"])
    read: list[tuple[Split, Any, Any]] = []
    for split, home in zip(folds, homes, strict=False):
        submit = partial(client.submit, workers=home, allow_other_workers=True, pure=False)
        read.append((split, submit(rows_of, where, split, plan), submit))
    for _, rows, _ in track(read, label=f"read {city.name}", total=len(read)):
        cluster.settled(rows)

    def scores(tried: Plan) -> Generator[FoldScore]:
        tasks = [submit(scored, rows, split, tried) for split, rows, submit in read]
        return cluster.in_order(client, tasks)

    return scores
