"""Backtest on a Dask cluster: every fold is a task, the report that of `backtest`.

Input    as of `backtest`; the address of a scheduler, or how many workers to start here. Workers
         read the recording themselves, from the same path.
Output   the report of `backtest`; only its seconds and megabytes may differ. A fold's seconds are
         those of its worker, and the megabytes are of this process alone.
Raises   what `backtest` raises; SettingsError without Dask, InputError without a scheduler.

A fold takes one thread. One whose worker died is run again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from mlops_bikeshare.domain.city import City
from mlops_bikeshare.flows import backtest as flow
from mlops_bikeshare.flows.backtest import Question
from mlops_bikeshare.flows.backtesting.backtest_report import Fold
from mlops_bikeshare.flows.backtesting.recorded_days import RecordedCity
from mlops_bikeshare.flows.process.progress import Track
from mlops_bikeshare.flows.scaling import cluster
from mlops_bikeshare.sources.recorded import Recording, open_recording
from mlops_bikeshare.training.split import Split
from mlops_bikeshare.training.table import Plan


@dataclass(frozen=True, slots=True)
class Where:
    """What a worker opens the recorded city with."""

    folder: Path
    city: City
    cadence_min: int


def backtest(
    recording: Recording,
    city: City,
    split: Split,
    *,
    plan: Plan,
    scheduler: str | None = None,
    workers: int = 2,
    **asked: Any,
) -> dict[str, Any]:
    """`backtest`, its folds beside each other; `asked` is what else that one takes."""
    with cluster.client(scheduler, workers=workers) as client:
        run = partial(_beside, client)
        return flow.backtest(recording, city, split, plan=plan, run=run, **asked)


def fold(where: Where, split: Split, question: Question) -> Fold:
    """A fold, on a worker."""
    opened = RecordedCity(open_recording(where.folder), where.city, where.cadence_min)
    params = replace(question.plan.params, threads=1)
    alone = replace(question, plan=replace(question.plan, params=params))
    return flow.fold(opened, split, alone)


def _beside(
    client: Any, where: RecordedCity, splits: Sequence[Split], question: Question, track: Track
) -> Iterable[Fold]:
    there = Where(where.recording.folder.absolute(), where.city, where.cadence_min)
    tasks = [client.submit(fold, there, split, question, pure=False) for split in splits]
    done = cluster.in_order(client, tasks)
    return track(done, label=f"folds {where.city.name}", total=len(splits))
