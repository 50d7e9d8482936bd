"""How good training parameters are on days that come after those they learned from.

Input    a window of days to tune on (never a test's), folds of it as Splits without a test, and a
         TrainingTable of their rows.
Output   `rolling`: the folds, oldest first; `needed`: which rows they use; `score`: per target the
         onset PR-AUC at the promised horizon on the fold's held-out days. Only that horizon's trees
         are grown: the others take the same parameters.
Raises   InputError for a window too short for its folds, or held-out days without an onset.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.targets import PROMISE_MIN
from mlops_bikeshare.domain.windows import Window, to_seconds
from mlops_bikeshare.evaluation.scores import pr_auc
from mlops_bikeshare.training.candidate import HORIZON_FEATURE, labelled, rows_of
from mlops_bikeshare.training.fit import FittedBooster, fit_targets
from mlops_bikeshare.training.sample import Sample, sample_once
from mlops_bikeshare.training.split import MIN_TRAIN_DAYS, Split
from mlops_bikeshare.training.table import Plan, TrainingTable
from mlops_bikeshare.training.tested import out_now


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldScore:
    """Onset PR-AUC of each target on the held-out days, and the trees that gave it."""

    onset_pr_auc: dict[str, float]
    boosters: dict[str, FittedBooster]

    @property
    def mean(self) -> float:
        """What is maximised."""
        return float(np.mean(list(self.onset_pr_auc.values())))


def rolling(window: Window, *, folds: int) -> list[Split]:
    """Each fold holds out days after those it trains on; training always starts at the start."""
    days = window.duration // timedelta(days=1)
    # A day more than training needs: the first recorded day only feeds profiles.
    held = min(7, (days - MIN_TRAIN_DAYS - 1) // folds) if folds > 0 else 0
    if held < 1:
        msg = f"--window {window}: {days} days are too few for {folds} folds"
        raise InputError(
            f"{msg}; give at least {folds + MIN_TRAIN_DAYS + 1} days, or fewer --folds"
        )
    starts = [window.end - timedelta(days=held * i) for i in range(folds, 0, -1)]
    return [
        Split(Window(window.start, start), Window(start, start + timedelta(days=held)))
        for start in starts
    ]


def needed(
    station_ids: Sequence[str],
    station: NDArray[np.integer],
    dt: NDArray[np.int64],
    *,
    folds: Sequence[Split],
    plan: Plan,
) -> NDArray[np.bool_]:
    """Which rows `score` will use in any fold."""
    mask = np.zeros(len(dt), dtype=np.bool_)
    for split in folds:
        for sample in _samples(station_ids, station, dt, split=split, plan=plan):
            mask[sample.rows] = True
    return mask


def score(table: TrainingTable, split: Split, plan: Plan) -> FoldScore:
    """Fit on the fold's training days, stop early on their end, score on its held-out days."""
    fit, stop, held = _samples(table.station_ids, table.station, table.dt, split=split, plan=plan)
    boosters = fit_targets(
        rows_of(table, labelled(table, fit)),
        rows_of(table, labelled(table, stop)),
        names=[*table.names, HORIZON_FEATURE],
        params=plan.params,
    )
    found = {}
    for target, booster in boosters.items():
        onset = ~out_now(table, target, held.rows, plan=plan)
        asked = Sample(held.rows[onset], held.horizon_min[onset])
        y = table.labels(target, asked.rows, asked.horizon_min)
        p = booster.predict(asked.matrix(table.features), threads=plan.params.threads)
        found[target] = _known(target, pr_auc(y, p), split)
    return FoldScore(onset_pr_auc=found, boosters=boosters)


def _samples(
    station_ids: Sequence[str],
    station: NDArray[np.integer],
    dt: NDArray[np.int64],
    *,
    split: Split,
    plan: Plan,
) -> tuple[Sample, Sample, Sample]:
    """Rows to fit, to stop early and to score; no label of any reaches beyond its slice."""
    masks = split.masks(dt)
    held = masks.calibrate & (dt < to_seconds(split.calibrate.end) - split.gap_s)
    asked = (
        (masks.fit, plan.max_rows),
        (masks.early_stop, plan.max_stop_rows),
        (held, plan.max_calibrate_rows),
    )
    fit, stop, judged = (
        sample_once(
            station_ids,
            station,
            dt,
            among=among,
            max_rows=most,
            seed=plan.params.seed,
            weights={PROMISE_MIN: 1.0},
        )
        for among, most in asked
    )
    return fit, stop, judged


def _known(target: str, value: float | None, split: Split) -> float:
    if value is None:
        msg = f"{target}: the held-out days {split.calibrate} have no onset, or nothing else"
        raise InputError(f"{msg}; tune on a longer --window, or with fewer --folds")
    return value
