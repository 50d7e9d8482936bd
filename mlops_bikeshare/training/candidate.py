"""A candidate from one table of features: trees, calibration, baselines, scores, reference.

Input    a TrainingTable and a Split; everything is seeded, so equal input gives equal output.
Output   a Candidate, whose parts the registry writes and the flow logs.
Raises   InputError naming the slice and the target that cannot be learned from.

Everything before the test learns from once-sampled rows: all of them teach the promised horizon's
trees, half of them teach the others' at a horizon drawn for each, and all teach persistence at all
horizons. The promised horizon is tested on every row, the others on a sample. `needed` says from
keys alone which rows that will be: a table of those alone gives the same candidate as the whole.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.reports import TargetQuality
from mlops_bikeshare.domain.targets import HORIZONS_MIN, PROMISE_MIN
from mlops_bikeshare.domain.windows import DAY_S, to_seconds
from mlops_bikeshare.evaluation.curves import TargetCurves
from mlops_bikeshare.evaluation.persistence import Persistence
from mlops_bikeshare.training.by_horizon import (
    OTHERS_MIN,
    ByHorizon,
    Trees,
    at_promise,
    joined,
    twice,
)
from mlops_bikeshare.training.calibrate import Calibration, calibrate
from mlops_bikeshare.training.contributions import mean_contributions
from mlops_bikeshare.training.fit import Grow, Progress, Rows, fit_targets
from mlops_bikeshare.training.peer import FittedPeer, fit_peer
from mlops_bikeshare.training.reference import RECENT_DAYS, prediction_reference, reference
from mlops_bikeshare.training.sample import Sample, sample_once
from mlops_bikeshare.training.split import Split
from mlops_bikeshare.training.table import Plan, TrainingTable
from mlops_bikeshare.training.tested import Booster, Held, out_now, tested

HORIZON_FEATURE = "horizon_min"
_OTHERS = dict.fromkeys(OTHERS_MIN, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Another library's trees on the same rows, calibrated and tested as ours."""

    boosters: Mapping[str, ByHorizon[FittedPeer]]
    calibrations: Mapping[str, Calibration]
    persistence: Mapping[str, Persistence]
    quality: tuple[TargetQuality, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A trained model with its evidence.

    `rows` counts the labelled rows used; `quality`, `curves` and `held` (per target, at the
    promised horizon) are empty when the split has no test window. `contributions`: mean |SHAP
    value| of every feature, per target, on the early-stopping rows.
    """

    boosters: Mapping[str, Trees]
    calibrations: Mapping[str, Calibration]
    persistence: Mapping[str, Persistence]
    reference: Mapping[str, Any]
    quality: tuple[TargetQuality, ...]
    curves: Mapping[str, TargetCurves]
    rows: Mapping[str, int]
    held: Mapping[str, Held] = field(default_factory=dict, compare=False)
    contributions: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    peer: Peer | None = None


@dataclass(frozen=True, slots=True)
class _Samples:
    """The rows of each slice; the test has all of its own, and a sample for other horizons."""

    fit: Sample
    early_stop: Sample
    calibrate: Sample
    recent: Sample
    test: NDArray[np.intp] | None
    test_others: Sample | None

    @property
    def learned(self) -> NDArray[np.intp]:
        """Rows that a candidate learns from."""
        return np.concatenate([self.fit.rows, self.early_stop.rows, self.calibrate.rows])


def needed(
    station_ids: Sequence[str],
    station: NDArray[np.integer],
    dt: NDArray[np.int64],
    *,
    split: Split,
    plan: Plan,
) -> NDArray[np.bool_]:
    """Which rows `train_candidate` will use, so that only their features need to be read."""
    samples = _samples(station_ids, station, dt, split=split, plan=plan)
    test = [] if samples.test is None else [samples.test]
    return _mask(len(dt), samples.learned, samples.recent.rows, *test)


def grown_on(table: TrainingTable, split: Split, *, plan: Plan) -> NDArray[np.bool_]:
    """Which rows of a training's table trees grew on: a sample of all days alike."""
    samples = _samples(table.station_ids, table.station, table.dt, split=split, plan=plan)
    return _mask(len(table.dt), samples.fit.rows)


def _mask(count: int, *rows: NDArray[np.intp]) -> NDArray[np.bool_]:
    mask = np.zeros(count, dtype=np.bool_)
    mask[np.concatenate(rows)] = True
    return mask


def train_candidate(
    table: TrainingTable,
    split: Split,
    *,
    plan: Plan,
    by_range: Collection[str] = (),
    progress: Progress | None = None,
    grow: Grow = fit_targets,
) -> Candidate:
    """Fit on train, stop on its end, calibrate on the next slice, score on the last."""
    samples = _samples(table.station_ids, table.station, table.dt, split=split, plan=plan)
    # What was learned from is let go before the test, which is larger.
    grown = partial(grow, progress=progress)
    candidate = _learned(table, samples, plan=plan, by_range=by_range, grow=grown)
    if samples.test is None or samples.test_others is None:
        return candidate
    test = partial(tested, table, samples.test, samples.test_others, plan=plan)
    seen = test(candidate)
    peer = candidate.peer and replace(candidate.peer, quality=test(candidate.peer).quality)
    return replace(candidate, quality=seen.quality, curves=seen.curves, held=seen.held, peer=peer)


def _learned(
    table: TrainingTable,
    samples: _Samples,
    *,
    plan: Plan,
    by_range: Collection[str],
    grow: Grow,
) -> Candidate:
    slices = {"fit": samples.fit, "early_stop": samples.early_stop, "calibrate": samples.calibrate}
    kept = {name: labelled(table, sample) for name, sample in slices.items()}
    rows = {name: rows_of(table, sample) for name, sample in kept.items()}
    names, promises = [*table.names, HORIZON_FEATURE], [at_promise(t) for t in table.counts]
    fit, stop = (
        twice(rows[name], promised(table, kept[name].rows)) for name in ("fit", "early_stop")
    )
    boosters = joined(
        grow(
            fit,
            stop,
            names=names,
            params=plan.params,
            of_one_horizon=promises,
        )
    )
    calibrated = partial(_calibrations, table, kept["calibrate"], rows["calibrate"], plan=plan)
    persistence = _persistence(table, samples.learned)
    peer = None
    if plan.with_peer:
        others = joined(fit_peer(fit, stop, params=plan.params, of_one_horizon=promises))
        peer = Peer(boosters=others, calibrations=calibrated(others), persistence=persistence)
    calibrations = calibrated(boosters)
    moved = reference(
        table.features[samples.recent.rows],
        rows["fit"].matrix[:, :-1],
        table.names,
        by_range=by_range,
    )
    answers = _promised(rows["calibrate"], boosters, calibrations, threads=plan.params.threads)
    return Candidate(
        boosters=boosters,
        calibrations=calibrations,
        persistence=persistence,
        reference={**moved, "predictions": prediction_reference(answers)},
        quality=(),
        curves={},
        rows={name: len(part.matrix) for name, part in rows.items()},
        contributions=_contributions(boosters, rows["early_stop"], names, plan=plan),
        peer=peer,
    )


def _samples(
    station_ids: Sequence[str],
    station: NDArray[np.integer],
    dt: NDArray[np.int64],
    *,
    split: Split,
    plan: Plan,
) -> _Samples:
    slices = split.masks(dt)
    draw = partial(sample_once, station_ids, station, dt, seed=plan.params.seed)
    return _Samples(
        fit=draw(among=slices.fit, max_rows=plan.max_rows),
        early_stop=draw(among=slices.early_stop, max_rows=plan.max_stop_rows),
        calibrate=draw(among=slices.calibrate, max_rows=plan.max_calibrate_rows),
        recent=draw(among=_recent(dt, split), max_rows=plan.max_reference_rows),
        test=None if slices.test is None else np.flatnonzero(slices.test),
        test_others=None
        if slices.test is None
        else draw(among=slices.test, max_rows=plan.max_test_rows, weights=_OTHERS),
    )


def _recent(dt: NDArray[np.int64], split: Split) -> NDArray[np.bool_]:
    """The last weeks of what the candidate learns from; held-out days are nobody's reference."""
    end = to_seconds(split.calibrate.end)
    mask: NDArray[np.bool_] = (dt >= end - RECENT_DAYS * DAY_S) & (dt < end)
    mask &= dt >= to_seconds(split.train.start)
    if split.held_out is not None:
        held = (dt >= to_seconds(split.held_out.start)) & (dt < to_seconds(split.held_out.end))
        mask &= ~held
    return mask


def labelled(table: TrainingTable, sample: Sample) -> Sample:
    """The sampled rows that have a label for at least one target."""
    labels = [table.labels(t, sample.rows, sample.horizon_min) for t in table.counts]
    known = np.any([np.isfinite(label) for label in labels], axis=0)
    return Sample(sample.rows[known], sample.horizon_min[known])


def rows_of(table: TrainingTable, sample: Sample) -> Rows:
    """The matrix of a sample, with the labels of every target."""
    labels = {t: table.labels(t, sample.rows, sample.horizon_min) for t in table.counts}
    return Rows(matrix=sample.matrix(table.features), labels=labels)


def promised(table: TrainingTable, rows: NDArray[np.intp]) -> dict[str, NDArray[np.float32]]:
    """The labels of every target at the promised horizon."""
    ahead = np.full(len(rows), PROMISE_MIN, dtype=np.int16)
    return {target: table.labels(target, rows, ahead) for target in table.counts}


def _calibrations(
    table: TrainingTable,
    sample: Sample,
    rows: Rows,
    boosters: Mapping[str, Booster],
    *,
    plan: Plan,
) -> dict[str, Calibration]:
    return {
        target: calibrate(
            target,
            rows.labels[target],
            booster.predict_parts([rows.matrix], threads=plan.params.threads),
            sample.horizon_min,
            already_out=out_now(table, target, sample.rows, plan=plan),
            cost_ratio=plan.cost_ratio,
        )
        for target, booster in boosters.items()
    }


def _contributions(
    boosters: Mapping[str, Trees], rows: Rows, names: list[str], *, plan: Plan
) -> dict[str, dict[str, float]]:
    """Of the promised horizon's trees."""
    if not plan.contribution_rows:
        return {}
    count, threads = plan.contribution_rows, plan.params.threads
    return {
        target: mean_contributions(
            trees.parts[PROMISE_MIN,], rows.matrix, names, rows=count, threads=threads
        )
        for target, trees in boosters.items()
    }


def _promised(
    rows: Rows,
    boosters: Mapping[str, Trees],
    calibrations: Mapping[str, Calibration],
    *,
    threads: int,
) -> dict[str, NDArray[np.float64]]:
    """What each target's model says of rows at the promised horizon."""
    matrix = rows.matrix[rows.matrix[:, -1] == PROMISE_MIN]
    horizon_min = matrix[:, -1].astype(np.int16)
    return {
        target: calibrations[target].apply(booster.predict(matrix, threads=threads), horizon_min)
        for target, booster in boosters.items()
    }


def _persistence(table: TrainingTable, rows: NDArray[np.intp]) -> dict[str, Persistence]:
    return {
        target: Persistence.fit(
            counts[rows],
            {h: table.labels(target, rows, np.full(len(rows), h, np.int16)) for h in HORIZONS_MIN},
        )
        for target, counts in table.counts.items()
    }
