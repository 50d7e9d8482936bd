"""A candidate from one table of features: trees, calibration, baselines, scores, reference.

Input    a TrainingTable and a Split; everything is seeded, so equal input gives equal output.
Output   a Candidate, whose parts the registry writes and the flow logs.
Raises   InputError naming the slice and the target that cannot be learned from.

Everything before the test learns from once-sampled rows, persistence at all horizons of them. The
promised horizon is tested on every row, the others on a sample. `needed` says from keys alone which
rows that will be: a table of those rows only gives the same candidate as the whole one.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.reports import TargetQuality
from mlops_bikeshare.domain.targets import HORIZONS_MIN, OUT_AT_OR_BELOW, PROMISE_MIN
from mlops_bikeshare.domain.windows import DAY_S, to_seconds
from mlops_bikeshare.evaluation.curves import TargetCurves, target_curves
from mlops_bikeshare.evaluation.persistence import Persistence
from mlops_bikeshare.training.calibrate import Calibration, calibrate
from mlops_bikeshare.training.evaluate import evaluate
from mlops_bikeshare.training.fit import FitParams, FittedBooster, Progress, Rows, fit_targets
from mlops_bikeshare.training.reference import RECENT_DAYS, prediction_reference, reference
from mlops_bikeshare.training.sample import Sample, sample_once
from mlops_bikeshare.training.split import Split

HORIZON_FEATURE = "horizon_min"
_OTHERS = {h: 1.0 for h in HORIZONS_MIN if h != PROMISE_MIN}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingTable:
    """Rows of (station, dt).

    `counts` maps target to the count that it watches, now; -1 where missing.
    `labels(target, rows, horizon_min)` gives float32 (n,), NaN where unknown, for rows: intp (n,)
    and the horizon of each: int16 (n,).
    """

    names: Sequence[str]
    features: NDArray[np.float32]
    station_ids: Sequence[str]
    station: NDArray[np.integer]
    dt: NDArray[np.int64]
    counts: Mapping[str, NDArray[np.integer]]
    labels: Callable[[str, NDArray[np.intp], NDArray[np.int16]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much to learn from, and how."""

    params: FitParams = field(default_factory=FitParams)
    max_rows: int = 500_000
    max_stop_rows: int = 100_000
    max_calibrate_rows: int = 400_000
    max_test_rows: int = 400_000
    max_reference_rows: int = 200_000
    out_at_or_below: int = OUT_AT_OR_BELOW


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A trained model with its evidence.

    `rows` counts the labelled rows used; `quality` and `curves` (per target, at the promised
    horizon) are empty when the split has no test window.
    """

    boosters: Mapping[str, FittedBooster]
    calibrations: Mapping[str, Calibration]
    persistence: Mapping[str, Persistence]
    reference: Mapping[str, Any]
    quality: tuple[TargetQuality, ...]
    curves: Mapping[str, TargetCurves]
    rows: Mapping[str, int]


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
    mask = np.zeros(len(dt), dtype=np.bool_)
    mask[samples.learned] = True
    mask[samples.recent.rows] = True
    if samples.test is not None:
        mask[samples.test] = True
    return mask


def train_candidate(
    table: TrainingTable,
    split: Split,
    *,
    plan: Plan,
    city_wide: Collection[str] = (),
    progress: Progress | None = None,
) -> Candidate:
    """Fit on train, stop on its end, calibrate on the next slice, score on the last."""
    samples = _samples(table.station_ids, table.station, table.dt, split=split, plan=plan)
    # What was learned from is let go before the test, which is larger.
    candidate = _learned(table, samples, plan=plan, city_wide=city_wide, progress=progress)
    quality, curves = _tested(table, samples, candidate, plan=plan)
    return replace(candidate, quality=quality, curves=curves)


def _learned(
    table: TrainingTable,
    samples: _Samples,
    *,
    plan: Plan,
    city_wide: Collection[str],
    progress: Progress | None,
) -> Candidate:
    slices = {"fit": samples.fit, "early_stop": samples.early_stop, "calibrate": samples.calibrate}
    rows = {name: _rows(table, sample) for name, sample in slices.items()}
    boosters = fit_targets(
        rows["fit"],
        rows["early_stop"],
        names=[*table.names, HORIZON_FEATURE],
        params=plan.params,
        progress=progress,
    )
    calibrations = _calibrations(rows["calibrate"], boosters, threads=plan.params.threads)
    moved = reference(
        table.features[samples.recent.rows],
        rows["fit"].matrix[:, :-1],
        table.names,
        city_wide=city_wide,
    )
    answers = _promised(rows["calibrate"], boosters, calibrations, threads=plan.params.threads)
    return Candidate(
        boosters=boosters,
        calibrations=calibrations,
        persistence=_persistence(table, samples.learned),
        reference={**moved, "predictions": prediction_reference(answers)},
        quality=(),
        curves={},
        rows={name: len(part.matrix) for name, part in rows.items()},
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
    """The last weeks of what the candidate learns from."""
    end = to_seconds(split.calibrate.end)
    mask: NDArray[np.bool_] = (dt >= end - RECENT_DAYS * DAY_S) & (dt < end)
    return mask & (dt >= to_seconds(split.train.start))


def _rows(table: TrainingTable, sample: Sample) -> Rows:
    """The sampled rows that have a label for at least one target."""
    labels = {t: table.labels(t, sample.rows, sample.horizon_min) for t in table.counts}
    known = np.any([np.isfinite(label) for label in labels.values()], axis=0)
    kept = Sample(sample.rows[known], sample.horizon_min[known])
    return Rows(matrix=kept.matrix(table.features), labels={t: y[known] for t, y in labels.items()})


def _calibrations(
    rows: Rows, boosters: Mapping[str, FittedBooster], *, threads: int
) -> dict[str, Calibration]:
    horizon_min = rows.matrix[:, -1].astype(np.int16)
    return {
        target: calibrate(
            target, rows.labels[target], booster.predict(rows.matrix, threads=threads), horizon_min
        )
        for target, booster in boosters.items()
    }


def _promised(
    rows: Rows,
    boosters: Mapping[str, FittedBooster],
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


def _tested(
    table: TrainingTable, samples: _Samples, candidate: Candidate, *, plan: Plan
) -> tuple[tuple[TargetQuality, ...], dict[str, TargetCurves]]:
    """Every test row at the promised horizon, a sample at each of the others."""
    if samples.test is None or samples.test_others is None:
        return (), {}
    others = samples.test_others
    rows = {h: others.rows[others.horizon_min == h] for h in _OTHERS} | {PROMISE_MIN: samples.test}
    quality, curves = [], {}
    for target in table.counts:
        for h in HORIZONS_MIN:
            said = _answers(table, target, rows[h], horizon_min=h, candidate=candidate, plan=plan)
            quality.append(
                evaluate(
                    target,
                    horizon_min=h,
                    **said,
                    dt=table.dt[rows[h]],
                    threshold=candidate.calibrations[target].threshold,
                )
            )
            if h == PROMISE_MIN:
                curves[target] = target_curves(**said)
    return tuple(quality), curves


def _answers(
    table: TrainingTable,
    target: str,
    rows: NDArray[np.intp],
    *,
    horizon_min: int,
    candidate: Candidate,
    plan: Plan,
) -> dict[str, Any]:
    """Labels of rows, what model and persistence say of them, and who is out already."""
    asked = Sample(rows, np.full(len(rows), horizon_min, dtype=np.int16))
    parts = (part.matrix(table.features) for part in asked.parts())
    raw = candidate.boosters[target].predict_parts(parts, threads=plan.params.threads)
    counts = table.counts[target][rows]
    return {
        "y": table.labels(target, rows, asked.horizon_min),
        "model": candidate.calibrations[target].apply(raw, asked.horizon_min),
        "persistence": candidate.persistence[target].predict(counts, horizon_min=horizon_min),
        "already_out": (counts >= 0) & (counts <= plan.out_at_or_below),
    }
