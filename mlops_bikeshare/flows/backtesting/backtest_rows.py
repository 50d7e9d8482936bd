"""Who learns from which rows of a recording, and what is said of its test days.

Input    a recorded city and a Split; nothing from the calibration's end on is learned from.
Output   `Learned`: candidate, baselines and outcomes; `answers_of`: what every method says of the
         test, day by day.
Raises   InputError for ranges without rows or with one class.
"""

import gc
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.targets import HORIZONS_MIN, TARGETS
from mlops_bikeshare.domain.windows import Window, to_seconds
from mlops_bikeshare.evaluation.climatology import Climatology
from mlops_bikeshare.features.definition import BY_RANGE, FEATURE_NAMES
from mlops_bikeshare.features.outcomes import Outcomes
from mlops_bikeshare.features.profiles import ProfileState
from mlops_bikeshare.flows.backtesting import recorded_days
from mlops_bikeshare.flows.backtesting.recorded_days import Cells, DayRows, RecordedCity, Survey
from mlops_bikeshare.flows.process.progress import Track
from mlops_bikeshare.training import backtest as figures
from mlops_bikeshare.training.backtest import Answers, Baselines, Chunk, Slice
from mlops_bikeshare.training.candidate import Candidate, needed, train_candidate
from mlops_bikeshare.training.sample import sample_once
from mlops_bikeshare.training.split import Split
from mlops_bikeshare.training.table import Plan, TrainingTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What one split learned, with how long features and training took."""

    candidate: Candidate
    baselines: Mapping[str, Baselines]
    outcomes: Outcomes
    cells: Cells
    profiles: ProfileState
    silent_days: tuple[date, ...]
    feature_seconds: float
    train_seconds: float


def learn(where: RecordedCity, split: Split, plan: Plan, track: Track) -> Learned:
    """The candidate and the baselines, from training and calibration days alone."""
    began = time.perf_counter()
    test = split.test or split.calibrate
    # Labels may reach from the last slice into the test, so its last hours teach nothing.
    learn = Window(split.train.start, split.calibrate.end - timedelta(seconds=split.gap_s))
    last = where.recording.span.days()[-1]
    until = min(test.days()[-1] + timedelta(days=1), last)
    surveyed = recorded_days.survey(where, learn=learn, until=until, track=track)
    if not len(surveyed.dt):
        msg = f"train={split.train}: no station's bikes are known at any decision time"
        raise InputError(f"{msg} of {where.city.name}; choose a range in which stations reported")
    past = Split(split.train, split.calibrate, gap_s=split.gap_s)
    check_slices(past, surveyed)
    stations = list(surveyed.outcomes.stations)
    wanted = needed(stations, surveyed.station, surveyed.dt, split=past, plan=plan)
    features, profiles = recorded_days.chosen_features(
        where, surveyed, wanted, learn=learn, track=track
    )
    training = table_of(surveyed, wanted, features)
    built = time.perf_counter()
    candidate = train_candidate(training, past, plan=plan, by_range=BY_RANGE)
    cells = Cells(surveyed.outcomes, where.city)
    baselines = _baselines(training, past, candidate, surveyed.outcomes, cells)
    return Learned(
        candidate=candidate,
        baselines=baselines,
        outcomes=surveyed.outcomes,
        cells=cells,
        profiles=profiles,
        silent_days=tuple(d for d in learn.days() if not surveyed.rows_of.get(d)),
        feature_seconds=built - began,
        train_seconds=time.perf_counter() - built,
    )


def check_slices(past: Split, surveyed: Survey) -> None:
    """InputError naming the slice in which nothing can be learned."""
    masks = past.masks(surveyed.dt)
    for name, window, mask in (
        ("the part of train that trees grow on", past.fitted, masks.fit),
        ("the end of train, which says when to stop", past.early_stop, masks.early_stop),
        ("calibrate", past.calibrate, masks.calibrate),
    ):
        if not mask.any():
            msg = f"{name}, {window}, has no rows: stations were silent, or it is the first"
            raise InputError(f"{msg} recorded day, which only feeds profiles; give a longer range")


def answers_of(
    where: RecordedCity,
    split: Split,
    learned: Learned,
    plan: Plan,
    *,
    horizon_min: int,
    track: Track,
) -> dict[str, Answers]:
    """Every test row at the asked horizon and a sample at each of the others, day by day."""
    test = split.test or split.calibrate
    gc.collect()  # the training table must be gone before the test days come
    parts: dict[str, list[Answers]] = {target.name: [] for target in TARGETS}
    share = max(1, plan.max_test_rows // len(test.days()))
    days = recorded_days.test_days(where, test=test, state=learned.profiles, track=track)
    for day in days:
        chunk = _chunk(day, learned, plan, horizon_min=horizon_min, most_others=share)
        said = figures.answer(
            chunk,
            learned.candidate,
            learned.baselines,
            threads=plan.params.threads,
            label=plan.label,
        )
        for target, answers in said.items():
            parts[target].append(answers)
    if not parts[TARGETS[0].name]:
        msg = f"test={test}: no decision time lies in it"
        raise InputError(f"{msg}; give a longer range or a shorter --cadence")
    return {target: Answers.joined(some) for target, some in parts.items()}


def table_of(
    surveyed: Survey, wanted: NDArray[np.bool_], features: NDArray[np.float32]
) -> TrainingTable:
    """The wanted rows of a survey, labelled by its outcomes."""
    station, dt, outcomes = surveyed.station[wanted], surveyed.dt[wanted], surveyed.outcomes

    def labels(
        target: str, rows: NDArray[np.intp], horizon_min: NDArray[np.int16]
    ) -> NDArray[np.float32]:
        return outcomes.labels(
            target, at_s=dt[rows], station=station[rows], horizon_min=horizon_min
        )

    return TrainingTable(
        names=FEATURE_NAMES,
        features=features,
        station_ids=list(outcomes.stations),
        station=station,
        dt=dt,
        counts=recorded_days.counts_now(features),
        labels=labels,
    )


def _baselines(
    training: TrainingTable, past: Split, candidate: Candidate, outcomes: Outcomes, cells: Cells
) -> dict[str, Baselines]:
    """Climatology from training days, blends and thresholds from the calibration rows."""
    ends = outcomes.slot_ends
    in_train = (ends >= to_seconds(past.train.start)) & (ends < to_seconds(past.train.end))
    cell = cells.at(ends[in_train])
    rows = np.flatnonzero(past.masks(training.dt).calibrate)
    found = {}
    for target in TARGETS:
        usual = Climatology.fit(outcomes.values[target.name][in_train], cell, cells=Cells.count)
        slices = {
            h: _slice(training, target.name, rows, cells, horizon_min=h) for h in HORIZONS_MIN
        }
        held = candidate.persistence[target.name]
        found[target.name] = figures.fit_baselines(target.name, held, usual, slices)
    return found


def _slice(
    training: TrainingTable, target: str, rows: NDArray[np.intp], cells: Cells, *, horizon_min: int
) -> Slice:
    ahead = np.full(len(rows), horizon_min, dtype=np.int16)
    return Slice(
        y=training.labels(target, rows, ahead),
        counts=training.counts[target][rows],
        station=training.station[rows],
        cell=cells.at(training.dt[rows] + 60 * horizon_min),
    )


def _chunk(
    day: DayRows, learned: Learned, plan: Plan, *, horizon_min: int, most_others: int
) -> Chunk:
    others = sample_once(
        learned.outcomes.stations,
        day.station,
        day.dt,
        among=np.ones(len(day.dt), dtype=np.bool_),
        max_rows=most_others,
        seed=plan.params.seed,
        weights={h: 1.0 for h in HORIZONS_MIN if h != horizon_min},
    )
    rows = np.concatenate([np.arange(len(day.dt)), others.rows])
    asked = np.full(len(day.dt), horizon_min, dtype=np.int16)
    ahead = np.concatenate([asked, others.horizon_min])
    station, dt = day.station[rows], day.dt[rows]
    return Chunk(
        features=day.features.values[rows],
        station=station,
        dt=dt,
        horizon_min=ahead,
        cell=learned.cells.at(dt + 60 * ahead.astype(np.int64)),
        counts={name: counts[rows] for name, counts in day.counts.items()},
        labels={
            t.name: learned.outcomes.labels(t.name, at_s=dt, station=station, horizon_min=ahead)
            for t in TARGETS
        },
    )
