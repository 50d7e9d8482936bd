"""Backtest: train, calibrate and test on the ranges of a recording, fold by fold.

The city need not be configured and no workspace is touched: days go from the recording through
production's features to the trees in memory, test days one at a time.

Input    a recording, a city, a Split with a test window; `folds` moves calibration and test back
         in time by the test's length, fold by fold, while training starts where it did.
Output   the report as a dict of plain JSON values, see `backtest_report`.
Raises   InputError for ranges outside the recording, too few days, or a target with one class.

No fold knows of another, so `backtest_on_dask` runs them beside each other.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Protocol

from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.targets import HORIZONS_MIN, PROMISE_MIN
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows.backtesting import backtest_report, backtest_rows
from mlops_bikeshare.flows.backtesting.backtest_report import Fold
from mlops_bikeshare.flows.backtesting.recorded_days import RecordedCity
from mlops_bikeshare.flows.judging import sliced
from mlops_bikeshare.flows.process.progress import Track, silent
from mlops_bikeshare.sources.recorded import Recording
from mlops_bikeshare.training import backtest as figures
from mlops_bikeshare.training.split import Split
from mlops_bikeshare.training.table import Plan

CADENCES_MIN = (5, 10, 15, 20, 30, 60)


@dataclass(frozen=True, slots=True)
class Question:
    """What every fold is asked."""

    plan: Plan
    horizon_min: int


class Folds(Protocol):
    """Runs folds, wherever that is."""

    def __call__(
        self, where: RecordedCity, splits: Sequence[Split], question: Question, track: Track
    ) -> Iterable[Fold]:
        """The fold of each split, in order."""
        ...


def one_by_one(
    where: RecordedCity, splits: Sequence[Split], question: Question, track: Track
) -> Iterable[Fold]:
    """Run folds here, one after the other."""
    return (fold(where, split, question, track) for split in splits)


def backtest(
    recording: Recording,
    city: City,
    split: Split,
    *,
    plan: Plan,
    horizon_min: int = PROMISE_MIN,
    cadence_min: int = 10,
    folds: int = 1,
    track: Track = silent,
    run: Folds = one_by_one,
) -> dict[str, Any]:
    """Run every fold, newest first; the report is about the split that was asked for."""
    # Neither a peer nor a SHAP summary is reported here, so neither is paid for.
    plan = replace(plan, with_peer=False, contribution_rows=0)
    where = RecordedCity(recording, city, cadence_min)
    splits = _splits(split, folds)
    _check(where, splits, horizon_min=horizon_min)
    runs = list(run(where, splits, Question(plan, horizon_min), track))
    return backtest_report.report_of(where, runs, horizon_min=horizon_min, seed=plan.params.seed)


def _splits(split: Split, folds: int) -> list[Split]:
    """The split asked for, and those before it."""
    if split.test is None:
        raise InputError("a backtest needs a test range: give --test START..END")
    back = [i * split.test.duration for i in range(folds)]
    moved: list[Split] = []
    for by in back:
        end = split.train.end - by
        if end - split.train.start < timedelta(days=2):
            msg = (
                f"--folds {folds}: {len(moved)} fit; an earlier one leaves {split.train} too short"
            )
            raise InputError(f"{msg}; ask for {len(moved)}, or start --train earlier")
        train = Window(split.train.start, end)
        moved.append(Split(train, _back(split.calibrate, by), _back(split.test, by)))
    return moved


def _back(window: Window, by: timedelta) -> Window:
    return Window(window.start - by, window.end - by)


def check_asked(where: RecordedCity, *, horizon_min: int) -> None:
    """InputError for a horizon or a cadence that there is not."""
    if horizon_min not in HORIZONS_MIN:
        known = ", ".join(map(str, HORIZONS_MIN))
        raise InputError(f"--horizon {horizon_min}: expected one of {known} minutes")
    if where.cadence_min not in CADENCES_MIN:
        known = ", ".join(map(str, CADENCES_MIN))
        raise InputError(f"--cadence {where.cadence_min}: expected one of {known} minutes")


def _check(where: RecordedCity, splits: Sequence[Split], *, horizon_min: int) -> None:
    """What can be known to be wrong before any work."""
    check_asked(where, horizon_min=horizon_min)
    for split in splits:
        where.check("train", split.train)
        where.check("calibrate", split.calibrate)
        where.check("test", split.test or split.calibrate)


def fold(where: RecordedCity, split: Split, question: Question, track: Track = silent) -> Fold:
    """Learn from one split, and answer its test."""
    plan, horizon_min = question.plan, question.horizon_min
    learned = backtest_rows.learn(where, split, plan, track)
    began = time.perf_counter()
    answers = backtest_rows.answers_of(
        where, split, learned, plan, horizon_min=horizon_min, track=track
    )
    asked = {t: said.only(said.horizon_min == horizon_min) for t, said in answers.items()}
    candidate = learned.candidate
    thresholds = {
        t: {
            h: figures.thresholds_at(candidate, learned.baselines, target=t, horizon_min=h)
            for h in HORIZONS_MIN
        }
        for t in answers
    }
    for target, said in asked.items():
        figures.check_rows(target, said, what=f"test={split.test}")
    return Fold(
        split=split,
        answers=answers,
        thresholds=thresholds,
        dispatch={
            t: sliced.dispatch(said, learned.outcomes, t, methods=figures.METHODS)
            for t, said in asked.items()
        },
        slices={
            t: sliced.sliced(said, where.stations, where.city, seed=plan.params.seed)
            for t, said in asked.items()
        },
        trees={t: b.best_iteration for t, b in candidate.boosters.items()},
        rows=candidate.rows,
        silent_days=learned.silent_days,
        feature_seconds=learned.feature_seconds,
        train_seconds=learned.train_seconds,
        score_seconds=time.perf_counter() - began,
    )
