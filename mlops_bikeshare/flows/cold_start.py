"""Cold start: what a model of other cities is worth on the first days of a city it never saw.

Nothing is stored but the report. The other cities teach from the first `learn_days` of their
recordings, the last `CALIBRATE_DAYS` of those calibrate; the new city is judged on its first days,
with no profile and no row of its own behind the answers.

Input    the recorded new city, the recorded cities to learn from, a Plan (its numbers of rows are
         shared out equally).
Output   the report as a dict of plain JSON values, see docs/cold_start.md.
Raises   InputError when the new city is among those to learn from, or a recording is too short.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.label import Label
from mlops_bikeshare.domain.targets import PROMISE_MIN, TARGETS
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.evaluation.persistence import Persistence
from mlops_bikeshare.features.profiles import ProfileState
from mlops_bikeshare.features.scale_free import RATIO_NAMES, scale_free
from mlops_bikeshare.flows.backtest import check_asked
from mlops_bikeshare.flows.backtesting import recorded_days
from mlops_bikeshare.flows.backtesting.backtest_rows import check_slices, table_of
from mlops_bikeshare.flows.backtesting.recorded_days import DayRows, RecordedCity
from mlops_bikeshare.flows.process.progress import Track, silent
from mlops_bikeshare.training import backtest as figures
from mlops_bikeshare.training.backtest import Judged, check_rows
from mlops_bikeshare.training.candidate import needed
from mlops_bikeshare.training.pooled import Lesson, Pooled, share_of, train_pooled
from mlops_bikeshare.training.split import Split
from mlops_bikeshare.training.table import Plan

CALIBRATE_DAYS = 2
LEAST_LEARN_DAYS = CALIBRATE_DAYS + 3
OWN = "own_persistence"
BASELINES = (figures.PERSISTENCE, OWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstDays(Judged):
    """Answers in a new city; `own_persistence` knows what became of the very rows it answers."""

    own_persistence: NDArray[np.float32]


def cold_start(
    new: RecordedCity,
    others: Sequence[RecordedCity],
    *,
    plan: Plan,
    days: int = 2,
    learn_days: int = 10,
    horizon_min: int = PROMISE_MIN,
    track: Track = silent,
) -> dict[str, Any]:
    """Learn from `others`, judge on the first `days` of `new`."""
    for where in (new, *others):
        check_asked(where, horizon_min=horizon_min)
    _check_unseen(new, others)
    splits = [first_split(other, learn_days) for other in others]
    judged = _first_days(new, days)
    began = time.perf_counter()
    mine = share_of(plan, cities=len(others))
    lessons = [
        lesson_of(other, split, mine, track) for other, split in zip(others, splits, strict=True)
    ]
    built = time.perf_counter()
    pooled = train_pooled(lessons, plan=plan)
    trained = time.perf_counter()
    answers = answers_of(
        new, judged, pooled, horizon_min=horizon_min, threads=plan.params.threads, track=track
    )
    targets = _targets(answers, pooled, judged, horizon_min=horizon_min, seed=plan.params.seed)
    return {
        "city": new.city.name,
        "recording": new.recording.folder.name,
        "test": str(judged),
        "learned_from": [_taught(e, pooled) for e in lessons],
        "horizon_min": horizon_min,
        "cadence_min": new.cadence_min,
        "out_at_or_below": new.city.label.threshold,
        "label_mode": new.city.label.mode,
        "stations": len(new.stations),
        "features": len(RATIO_NAMES),
        "seed": plan.params.seed,
        "trees": {t: b.best_iteration for t, b in pooled.boosters.items()},
        "targets": targets,
        "feature_seconds": round(built - began, 2),
        "train_seconds": round(trained - built, 2),
        "score_seconds": round(time.perf_counter() - trained, 2),
    }


def first_split(where: RecordedCity, learn_days: int) -> Split:
    """The first days of a recording: all but the last two train."""
    if learn_days < LEAST_LEARN_DAYS:
        msg = f"--learn-days {learn_days}: expected at least {LEAST_LEARN_DAYS}, of which the first"
        raise InputError(f"{msg} only feeds look-back and the last {CALIBRATE_DAYS} calibrate")
    whole = _first_days(where, learn_days)
    boundary = whole.end - timedelta(days=CALIBRATE_DAYS)
    return Split(Window(whole.start, boundary), Window(boundary, whole.end))


def lesson_of(where: RecordedCity, split: Split, plan: Plan, track: Track) -> Lesson:
    """What a city teaches: its sampled rows as ratios."""
    learn = Window(split.train.start, split.calibrate.end)
    surveyed = recorded_days.survey(where, learn=learn, until=learn.days()[-1], track=track)
    check_slices(split, surveyed)
    names = surveyed.outcomes.stations
    wanted = needed(names, surveyed.station, surveyed.dt, split=split, plan=plan)
    values, _ = recorded_days.chosen_features(where, surveyed, wanted, learn=learn, track=track)
    table = replace(
        table_of(surveyed, wanted, values),
        names=RATIO_NAMES,
        features=scale_free(values, edge=where.city.label.edge),
    )
    return Lesson(city=where.city.name, table=table, split=split)


def answers_of(
    new: RecordedCity,
    judged: Window,
    pooled: Pooled,
    *,
    horizon_min: int,
    threads: int,
    track: Track,
) -> dict[str, FirstDays]:
    """What model and both tables of persistence say of every row of the new city's days."""
    last = new.recording.span.days()[-1]
    until = min(judged.days()[-1] + timedelta(days=1), last)
    outcomes = recorded_days.survey(new, learn=judged, until=until, track=track).outcomes
    parts: dict[str, list[tuple[Judged, NDArray[np.int16]]]] = {t.name: [] for t in TARGETS}
    empty = ProfileState.empty()
    for day in recorded_days.test_days(new, test=judged, state=empty, track=track):
        ratios = scale_free(day.features.values, edge=new.city.label.edge)
        for target, found in parts.items():
            y = outcomes.labels(target, at_s=day.dt, station=day.station, horizon_min=horizon_min)
            said = _said(
                pooled,
                target,
                day,
                ratios,
                y,
                label=new.city.label,
                horizon_min=horizon_min,
                threads=threads,
            )
            found.append(said)
    return {target: _with_own(target, found, horizon_min) for target, found in parts.items()}


def _said(
    pooled: Pooled,
    target: str,
    day: DayRows,
    ratios: NDArray[np.float32],
    y: NDArray[np.float32],
    *,
    label: Label,
    horizon_min: int,
    threads: int,
) -> tuple[Judged, NDArray[np.int16]]:
    """The rows of a day that can be judged, and the count of each."""
    known = np.isfinite(y) & (day.counts[target] >= 0)
    counts = day.counts[target][known]
    ahead = np.full(len(counts), horizon_min, dtype=np.int16)
    model = pooled.predict(target, ratios[known], ahead, threads=threads)
    now = pooled.persistence[target].predict(counts, horizon_min=horizon_min)
    judged = Judged(
        horizon_min=ahead,
        dt=day.dt[known],
        station=day.station[known],
        already_out=label.out(counts),
        y=y[known],
        model=model.astype(np.float32),
        persistence=now.astype(np.float32),
    )
    return judged, counts


def _with_own(
    target: str, parts: Sequence[tuple[Judged, NDArray[np.int16]]], horizon_min: int
) -> FirstDays:
    """The days as one, beside the best table of counts there could be for them."""
    if not any(len(counts) for _, counts in parts):
        msg = f"{target}: no row of the new city's first days has a label and a count"
        raise InputError(f"{msg}; give more --days, or a recording in which stations reported")
    said = Judged.joined([judged for judged, _ in parts])
    counts = np.concatenate([counts for _, counts in parts])
    own = Persistence.fit(counts, {horizon_min: said.y}).predict(counts, horizon_min=horizon_min)
    known = {f.name: getattr(said, f.name) for f in fields(said)}
    return FirstDays(**known, own_persistence=own.astype(np.float32))


def _targets(
    answers: Mapping[str, FirstDays], pooled: Pooled, judged: Window, *, horizon_min: int, seed: int
) -> dict[str, Any]:
    found = {}
    for target, said in answers.items():
        check_rows(target, said, what=f"the first days, {judged}")
        drawn = pooled.thresholds[target] if horizon_min == PROMISE_MIN else {}
        found[target] = figures.report(said, drawn, seed=seed, baselines=BASELINES)
    return found


def _taught(lesson: Lesson, pooled: Pooled) -> dict[str, Any]:
    return {
        "city": lesson.city,
        "train": str(lesson.split.train),
        "calibrate": str(lesson.split.calibrate),
        "rows": pooled.rows[lesson.city],
    }


def _check_unseen(new: RecordedCity, others: Sequence[RecordedCity]) -> None:
    """InputError when the new city would teach what it is judged by."""
    if not others:
        raise InputError("no city to learn from: give --train-on DIR:CITY, once per city")
    folders = {other.recording.folder.resolve(): other.city.name for other in others}
    if new.recording.folder.resolve() in folders or new.city.name in folders.values():
        msg = f"{new.city.name} is to be new, but is among the cities to learn from"
        raise InputError(f"{msg}: {', '.join(folders.values())}; leave it out of --train-on")
    if len(folders) < len(others):
        raise InputError("--train-on names a recording twice; give each once")


def _first_days(where: RecordedCity, days: int) -> Window:
    """The first whole days of a recording."""
    start = Window.day(where.recording.span.start.date()).start
    window = Window(start, start + timedelta(days=days))
    where.check(f"the first {days} days of {where.city.name}", window)
    return window
