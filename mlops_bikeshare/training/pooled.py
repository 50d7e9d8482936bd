"""One model for cities that are not in its training rows: every city teaches the same number.

Input    `Lesson` per city: a TrainingTable whose features mean the same everywhere, and the city's
         own Split; cities may lie years apart, so each is cut by its own calendar.
Output   `Pooled`: trees, calibration (on the cities' own later days) and persistence by count.
Raises   InputError where the cities differ in columns, repeat, or cannot be learned from.
Method   how many trees is decided by cities, not days: each city in turn says when trees of the
         others stop getting better at it, and the model has the mean of those numbers. On a later
         day of the same cities trees go on to pay that a new city has no use for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.targets import HORIZONS_MIN, PROMISE_MIN
from mlops_bikeshare.evaluation.persistence import Persistence
from mlops_bikeshare.evaluation.scores import best_f1_threshold
from mlops_bikeshare.training.backtest import MODEL, PERSISTENCE
from mlops_bikeshare.training.calibrate import Calibration, calibrate
from mlops_bikeshare.training.candidate import HORIZON_FEATURE, labelled, rows_of
from mlops_bikeshare.training.fit import FittedBooster, Rows, fit_targets
from mlops_bikeshare.training.sample import Sample, sample_once
from mlops_bikeshare.training.split import Split
from mlops_bikeshare.training.table import Plan, TrainingTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What one city teaches."""

    city: str
    table: TrainingTable
    split: Split


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooled:
    """A model of no city in particular; `rows` counts what each city taught its trees."""

    boosters: Mapping[str, FittedBooster]
    calibrations: Mapping[str, Calibration]
    persistence: Mapping[str, Persistence]
    thresholds: Mapping[str, Mapping[str, float | None]]
    rows: Mapping[str, int]

    def predict(
        self,
        target: str,
        features: NDArray[np.float32],
        horizon_min: NDArray[np.int16],
        *,
        threads: int,
    ) -> NDArray[np.float64]:
        """Calibrated probabilities for rows of any city, float64 (rows,)."""
        asked = Sample(np.arange(len(features)), horizon_min).matrix(features)
        raw = self.boosters[target].predict(asked, threads=threads) if len(asked) else np.empty(0)
        return self.calibrations[target].apply(raw, horizon_min)


@dataclass(frozen=True, slots=True)
class _Slice:
    """Sampled rows of all cities, `samples` of each: matrix, labels, each target's count now."""

    rows: Rows
    counts: Mapping[str, NDArray[np.integer]]
    samples: tuple[Sample, ...]

    @property
    def horizon_min(self) -> NDArray[np.int16]:
        """The horizon that each row teaches."""
        return self.rows.matrix[:, -1].astype(np.int16)

    def only(self, city: int) -> Rows:
        """The rows of one city."""
        return self._chosen(self._city == city)

    def without(self, city: int) -> Rows:
        """The rows of the others."""
        return self._chosen(self._city != city)

    @property
    def _city(self) -> NDArray[np.intp]:
        return np.repeat(np.arange(len(self.samples)), [len(s.rows) for s in self.samples])

    def _chosen(self, rows: NDArray[np.bool_]) -> Rows:
        labels = {t: label[rows] for t, label in self.rows.labels.items()}
        return Rows(matrix=self.rows.matrix[rows], labels=labels)


def share_of(plan: Plan, *, cities: int) -> Plan:
    """The plan of one city among `cities`: an equal part of every number of rows."""
    return replace(
        plan,
        max_rows=max(1, plan.max_rows // cities),
        max_stop_rows=max(1, plan.max_stop_rows // cities),
        max_calibrate_rows=max(1, plan.max_calibrate_rows // cities),
        # The rows that drift is judged by are a city's own; a pooled model has none.
        max_reference_rows=1,
    )


def train_pooled(lessons: Sequence[Lesson], *, plan: Plan) -> Pooled:
    """Trees on every city's first days, calibration on its last, no city louder than another."""
    _check(lessons)
    mine = share_of(plan, cities=len(lessons))
    fit = _slice(lessons, "fit", most=mine.max_rows, plan=plan)
    stop = _slice(lessons, "early_stop", most=mine.max_stop_rows, plan=plan)
    last = _slice(lessons, "calibrate", most=mine.max_calibrate_rows, plan=plan)
    boosters = _grown(lessons, fit, stop, plan=plan)
    calibrations = {
        target: _calibration(target, booster, last, plan=plan)
        for target, booster in boosters.items()
    }
    persistence = {t: _persistence(lessons, (fit, stop, last), t) for t in boosters}
    return Pooled(
        boosters=boosters,
        calibrations=calibrations,
        persistence=persistence,
        thresholds={
            t: {
                MODEL: float(np.float32(calibrations[t].threshold)),
                PERSISTENCE: _threshold(last, t, persistence[t]),
            }
            for t in boosters
        },
        rows={e.city: len(s.rows) for e, s in zip(lessons, fit.samples, strict=True)},
    )


def _check(lessons: Sequence[Lesson]) -> None:
    cities = [lesson.city for lesson in lessons]
    if not cities:
        raise InputError("a pooled model learns from other cities: give at least one")
    if len(set(cities)) < len(cities):
        raise InputError(f"cities to learn from repeat: {', '.join(cities)}; name each once")
    for lesson in lessons:
        if tuple(lesson.table.names) != tuple(lessons[0].table.names):
            msg = f"{lesson.city} has other features than {cities[0]}; build both anew"
            raise InputError(msg)


def _grown(
    lessons: Sequence[Lesson], fit: _Slice, stop: _Slice, *, plan: Plan
) -> dict[str, FittedBooster]:
    """Trees of all cities, as many as are of use to a city that taught none of them."""
    names, params = (*lessons[0].table.names, HORIZON_FEATURE), plan.params
    if len(lessons) == 1:
        return fit_targets(fit.rows, stop.rows, names=names, params=params)
    held = [
        fit_targets(fit.without(i), stop.only(i), names=names, params=params)
        for i in range(len(lessons))
    ]
    trees = {t: round(np.mean([b[t].best_iteration for b in held])) for t in held[0]}
    enough = replace(params, rounds=max(trees.values()))
    grown = fit_targets(fit.rows, stop.rows, names=names, params=enough)
    return {target: booster.cut(trees[target]) for target, booster in grown.items()}


def _slice(lessons: Sequence[Lesson], name: str, *, most: int, plan: Plan) -> _Slice:
    """The sampled rows of one slice, city by city."""
    samples = [_sample(lesson, name, most=most, plan=plan) for lesson in lessons]
    parts = [rows_of(e.table, s) for e, s in zip(lessons, samples, strict=True)]
    targets = lessons[0].table.counts
    return _Slice(
        rows=Rows(
            matrix=np.concatenate([part.matrix for part in parts]),
            labels={t: np.concatenate([part.labels[t] for part in parts]) for t in targets},
        ),
        counts={
            t: np.concatenate(
                [e.table.counts[t][s.rows] for e, s in zip(lessons, samples, strict=True)]
            )
            for t in targets
        },
        samples=tuple(samples),
    )


def _sample(lesson: Lesson, name: str, *, most: int, plan: Plan) -> Sample:
    table = lesson.table
    among: NDArray[np.bool_] = getattr(lesson.split.masks(table.dt), name)
    drawn = sample_once(
        table.station_ids,
        table.station,
        table.dt,
        among=among,
        max_rows=most,
        seed=plan.params.seed,
    )
    found = labelled(table, drawn)
    if not len(found.rows):
        msg = f"{lesson.city}: no labelled row in its {name} slice; give it a longer recording"
        raise InputError(msg)
    return found


def _calibration(target: str, booster: FittedBooster, last: _Slice, *, plan: Plan) -> Calibration:
    return calibrate(
        target,
        last.rows.labels[target],
        booster.predict(last.rows.matrix, threads=plan.params.threads),
        last.horizon_min,
        already_out=plan.label.out(last.counts[target]),
        cost_ratio=plan.cost_ratio,
    )


def _persistence(lessons: Sequence[Lesson], slices: Sequence[_Slice], target: str) -> Persistence:
    """P(out | count) of all the cities: every sampled row counts at every horizon."""
    taken = [
        (lesson.table, samples[i].rows)
        for samples in (part.samples for part in slices)
        for i, lesson in enumerate(lessons)
    ]

    def out(horizon_min: int) -> NDArray[np.float32]:
        ahead = np.int16(horizon_min)
        parts = [t.labels(target, rows, np.full(len(rows), ahead)) for t, rows in taken]
        return np.concatenate(parts)

    counts = np.concatenate([table.counts[target][rows] for table, rows in taken])
    return Persistence.fit(counts, {h: out(h) for h in HORIZONS_MIN})


def _threshold(last: _Slice, target: str, persistence: Persistence) -> float | None:
    """Where persistence alarms best at the promised horizon, on the cities' own later days."""
    promised = last.horizon_min == PROMISE_MIN
    counts, y = last.counts[target][promised], last.rows.labels[target][promised]
    said = persistence.predict(counts, horizon_min=PROMISE_MIN).astype(np.float32)
    known = np.isfinite(said) & np.isfinite(y)
    return best_f1_threshold(y[known], said[known])
