"""Backtest: train, calibrate and test on the ranges of a recording, as JSON and as a table.

The city need not be configured and no workspace is touched: days go from the recording through
production's features to the trees in memory, test days one at a time.

Input    a recording, a city, a Split with a test window; `folds` moves calibration and test back
         in time by the test's length, fold by fold, while training starts where it did.
Output   the report as a dict of plain JSON values, as documented in docs/backtest.md.
Raises   InputError or SourceError, one line, before an hour is spent: ranges outside the recording,
         too few days, a target with one class.
"""

import gc
import json
import logging
import os
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.reports import to_json
from mlops_bikeshare.domain.targets import HORIZONS_MIN, OUT_AT_OR_BELOW, PROMISE_MIN, TARGETS
from mlops_bikeshare.domain.windows import Window, to_seconds
from mlops_bikeshare.evaluation.climatology import Climatology
from mlops_bikeshare.evaluation.dispatch import BUDGETS, at_budget, minutes_out, minutes_to_onset
from mlops_bikeshare.features.definition import FEATURE_NAMES, FEATURES, feature_digest
from mlops_bikeshare.features.outcomes import Outcomes
from mlops_bikeshare.features.profiles import ProfileState
from mlops_bikeshare.flows import recorded_days
from mlops_bikeshare.flows.progress import Track, silent
from mlops_bikeshare.flows.recorded_days import Cells, DayRows, RecordedCity, Survey
from mlops_bikeshare.sources.recorded import Recording
from mlops_bikeshare.training import backtest as figures
from mlops_bikeshare.training.backtest import METHODS, Answers, Baselines, Chunk, Slice
from mlops_bikeshare.training.candidate import (
    Candidate,
    Plan,
    TrainingTable,
    needed,
    train_candidate,
)
from mlops_bikeshare.training.sample import sample_once
from mlops_bikeshare.training.split import Split

log = logging.getLogger(__name__)
CITY_WIDE = tuple(f.name for f in FEATURES if f.scope != "station")
CADENCES_MIN = (5, 10, 15, 20, 30, 60)
_MB_OF = {"darwin": 1 << 20}
_HOUR_S = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """What one split gave: answers per target, and how long its parts took."""

    split: Split
    answers: Mapping[str, Answers]
    thresholds: Mapping[str, Mapping[int, Mapping[str, float | None]]]
    dispatch: Mapping[str, Any]
    trees: Mapping[str, int]
    rows: Mapping[str, int]
    feature_seconds: float
    train_seconds: float
    score_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Learned:
    candidate: Candidate
    baselines: Mapping[str, Baselines]
    outcomes: Outcomes
    cells: Cells
    profiles: ProfileState
    feature_seconds: float
    train_seconds: float


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
) -> dict[str, Any]:
    """Run every fold, newest first; the report is about the split that was asked for."""
    where = RecordedCity(recording, city, cadence_min)
    splits = _splits(split, folds)
    _check(where, splits, horizon_min=horizon_min)
    runs = [_fold(where, part, plan, horizon_min, track) for part in splits]
    return _report(where, runs, plan=plan, horizon_min=horizon_min)


def write(report: Mapping[str, Any], path: Path) -> None:
    """The report as a file that is there whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError(f"--report {path}: cannot be written: {error.strerror}") from None


def table(report: Mapping[str, Any]) -> str:
    """What a person wants to see."""
    names = ("pr_auc", "onset_pr_auc", "brier", "ece", "log_loss", "f1")
    words = ("PR-AUC", "onset PR-AUC", "Brier", "ECE", "log loss", "F1")
    lines = []
    for target, told in report["targets"].items():
        head = (
            f"{target} at {report['horizon_min']} min: {told['rows']:,} rows, {told['days']} days"
        )
        rates = f"base {_text(told['base_rate'])}, onset base {_text(told['onset_base_rate'])}"
        lines += [f"{head}, {rates}", f"  {'':12}" + "".join(f"{w:>14}" for w in words)]
        for method in METHODS:
            cells = "".join(f"{_text(told[method][n]):>14}" for n in names)
            lines.append(f"  {method:12}{cells}")
        lines += [f"  {_skill_text(told)}", *_dispatch_lines(report["dispatch"][target])]
    effort = ", ".join(f"{n} {report[f'{n}_seconds']:.0f} s" for n in ("feature", "train", "score"))
    warned = [f"warning: {text}" for text in report["warnings"]]
    return "\n".join([*lines, f"{effort}, peak {report['peak_rss_mb']:.0f} MB", *warned])


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


def _check(where: RecordedCity, splits: Sequence[Split], *, horizon_min: int) -> None:
    """What can be known to be wrong before any work."""
    if horizon_min not in HORIZONS_MIN:
        known = ", ".join(map(str, HORIZONS_MIN))
        raise InputError(f"--horizon {horizon_min}: expected one of {known} minutes")
    if where.cadence_min not in CADENCES_MIN:
        known = ", ".join(map(str, CADENCES_MIN))
        raise InputError(f"--cadence {where.cadence_min}: expected one of {known} minutes")
    for split in splits:
        where.check("train", split.train)
        where.check("calibrate", split.calibrate)
        where.check("test", split.test or split.calibrate)


def _fold(where: RecordedCity, split: Split, plan: Plan, horizon_min: int, track: Track) -> Fold:
    learned = _learn(where, split, plan, track)
    began = time.perf_counter()
    answers = _answers(where, split, learned, plan, horizon_min=horizon_min, track=track)
    candidate = learned.candidate
    thresholds = {
        t: {
            h: figures.thresholds_at(candidate, learned.baselines, target=t, horizon_min=h)
            for h in HORIZONS_MIN
        }
        for t in answers
    }
    for target, said in answers.items():
        asked = said.only(said.horizon_min == horizon_min)
        figures.check_rows(target, asked, what=f"test={split.test}")
    return Fold(
        split=split,
        answers=answers,
        thresholds=thresholds,
        dispatch={
            t: _dispatch(said.only(said.horizon_min == horizon_min), learned.outcomes, t)
            for t, said in answers.items()
        },
        trees={t: b.best_iteration for t, b in candidate.boosters.items()},
        rows=candidate.rows,
        feature_seconds=learned.feature_seconds,
        train_seconds=learned.train_seconds,
        score_seconds=time.perf_counter() - began,
    )


def _learn(where: RecordedCity, split: Split, plan: Plan, track: Track) -> _Learned:
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
    stations = list(surveyed.outcomes.stations)
    wanted = needed(stations, surveyed.station, surveyed.dt, split=past, plan=plan)
    features, profiles = recorded_days.chosen_features(
        where, surveyed, wanted, learn=learn, track=track
    )
    training = _table(surveyed, wanted, features)
    built = time.perf_counter()
    candidate = train_candidate(training, past, plan=plan, city_wide=CITY_WIDE)
    cells = Cells(surveyed.outcomes, where.city)
    baselines = _baselines(training, past, candidate, surveyed.outcomes, cells)
    return _Learned(
        candidate=candidate,
        baselines=baselines,
        outcomes=surveyed.outcomes,
        cells=cells,
        profiles=profiles,
        feature_seconds=built - began,
        train_seconds=time.perf_counter() - built,
    )


def _table(
    surveyed: Survey, wanted: NDArray[np.bool_], features: NDArray[np.float32]
) -> TrainingTable:
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


def _answers(
    where: RecordedCity,
    split: Split,
    learned: _Learned,
    plan: Plan,
    *,
    horizon_min: int,
    track: Track,
) -> dict[str, Answers]:
    """Every test row at the asked horizon and a sample at each of the others, day by day."""
    test = split.test or split.calibrate
    gc.collect()
    parts: dict[str, list[Answers]] = {target.name: [] for target in TARGETS}
    share = max(1, plan.max_test_rows // len(test.days()))
    days = recorded_days.test_days(where, test=test, state=learned.profiles, track=track)
    for day in days:
        chunk = _chunk(day, learned, plan, horizon_min=horizon_min, most_others=share)
        said = figures.answer(
            chunk, learned.candidate, learned.baselines, threads=plan.params.threads
        )
        for target, answers in said.items():
            parts[target].append(answers)
    if not parts[TARGETS[0].name]:
        msg = f"test={test}: no decision time lies in it"
        raise InputError(f"{msg}; give a longer range or a shorter --cadence")
    return {target: Answers.joined(some) for target, some in parts.items()}


def _chunk(
    day: DayRows, learned: _Learned, plan: Plan, *, horizon_min: int, most_others: int
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


def _dispatch(answers: Answers, outcomes: Outcomes, target: str) -> dict[str, Any]:
    """Each method under each budget, on the full hours."""
    rows = answers.only(~answers.already_out & (answers.dt % _HOUR_S == 0))
    value, slot = outcomes.values[target], outcomes.slot_of(rows.dt)
    onset_min = minutes_to_onset(value, slot, rows.station)
    out_min = minutes_out(value, slot, rows.station)
    return {
        method: [
            to_json(
                at_budget(
                    getattr(rows, method),
                    hour=rows.dt // _HOUR_S,
                    onset_min=onset_min,
                    out_min=out_min,
                    stations_per_hour=budget,
                )
            )
            for budget in BUDGETS
        ]
        for method in METHODS
    }


def _report(
    where: RecordedCity, runs: Sequence[Fold], *, plan: Plan, horizon_min: int
) -> dict[str, Any]:
    first, seed = runs[0], plan.params.seed
    split = first.split
    report: dict[str, Any] = {
        "city": where.city.name,
        "recording": where.recording.folder.name,
        "timezone": where.city.timezone,
        "train": str(split.train),
        "calibrate": str(split.calibrate),
        "test": str(split.test),
        "horizon_min": horizon_min,
        "cadence_min": where.cadence_min,
        "out_at_or_below": OUT_AT_OR_BELOW,
        "stations": len(where.stations),
        "features": len(FEATURE_NAMES),
        "feature_digest": feature_digest(),
        "seed": seed,
        "rows": dict(first.rows),
        "trees": dict(first.trees),
        "targets": _targets(first, horizon_min=horizon_min, seed=seed),
        "horizons": _others(first, horizon_min=horizon_min),
        "dispatch": first.dispatch,
    }
    if len(runs) > 1:
        report["folds"] = [
            {
                "train": str(run.split.train),
                "calibrate": str(run.split.calibrate),
                "test": str(run.split.test),
                "targets": _targets(run, horizon_min=horizon_min, seed=seed),
            }
            for run in runs
        ]
        report["pooled"] = _pooled(runs, horizon_min=horizon_min, seed=seed)
    report["feature_seconds"] = round(sum(run.feature_seconds for run in runs), 2)
    report["train_seconds"] = round(sum(run.train_seconds for run in runs), 2)
    report["score_seconds"] = round(sum(run.score_seconds for run in runs), 2)
    report["peak_rss_mb"] = round(_peak_rss_mb(), 1)
    report["warnings"] = _warnings(where, report)
    return report


def _targets(run: Fold, *, horizon_min: int, seed: int) -> dict[str, Any]:
    return {
        target: figures.report(
            said.only(said.horizon_min == horizon_min),
            run.thresholds[target][horizon_min],
            seed=seed,
        )
        for target, said in run.answers.items()
    }


def _others(run: Fold, *, horizon_min: int) -> list[dict[str, Any]]:
    """Scores at the other horizons, on a sample of the test rows."""
    return [
        {
            "horizon_min": h,
            "targets": {
                target: figures.scores(said.only(said.horizon_min == h), run.thresholds[target][h])
                for target, said in run.answers.items()
            },
        }
        for h in HORIZONS_MIN
        if h != horizon_min
    ]


def _pooled(runs: Sequence[Fold], *, horizon_min: int, seed: int) -> dict[str, Any]:
    """All folds as one test, each row judged by its own fold's model; F1 is per fold only."""
    pooled = {}
    for target in runs[0].answers:
        said = [run.answers[target] for run in runs]
        joined = Answers.joined([part.only(part.horizon_min == horizon_min) for part in said])
        pooled[target] = figures.report(joined, {}, seed=seed)
    return pooled


def _peak_rss_mb() -> float:
    """The most memory that this process has held; macOS counts bytes, Linux kB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MB_OF.get(sys.platform, 1 << 10)


def _warnings(where: RecordedCity, report: Mapping[str, Any]) -> list[str]:
    """What a reader of the figures should know."""
    found = list(_input_warnings(where))
    for target, told in report["targets"].items():
        if told["model"]["pr_auc"] is None:
            found.append(f"{target}: the test rows are of one class; scores that need two are null")
        if told["interval_blocks"] != "day":
            blocks = told["interval_blocks"] or "nothing"
            found.append(f"{target}: {told['days']} test days; intervals resample {blocks}")
    return found


def _input_warnings(where: RecordedCity) -> list[str]:
    stations, rows = where.stations, where.recording.rows
    found = []
    unplaced = int((stations["lat"].isna() | stations["lon"].isna()).sum())
    if unplaced:
        found.append(f"{unplaced} of {len(stations)} stations have no position")
    unlisted = len(set(where.recording.stations.tolist()) - set(stations["station_id"]))
    if unlisted:
        found.append(f"{unlisted} stations report but are not listed; they are left out")
    for name in ("num_bikes_available", "num_docks_available"):
        share = float(rows[name].isna().mean())
        if share:
            found.append(f"{name} is null in {share:.1%} of the rows; unknown there, not 0")
    return found


def _skill_text(told: Mapping[str, Any]) -> str:
    gain = told["difference"]["persistence"]["onset_pr_auc"]
    skill = f"Brier skill {_text(told['brier_skill'])} {_between(told['interval']['brier_skill'])}"
    value = _text(gain["value"])
    return f"{skill}, onset PR-AUC over persistence {value} {_between(gain['interval'])}"


def _dispatch_lines(told: Mapping[str, Any]) -> list[str]:
    return [
        f"  {b['stations_per_hour']:>2} alerts an hour: precision {_text(b['precision'])},"
        f" recall {_text(b['recall'])} (best possible {_text(b['best_recall'])}),"
        f" lead {'unknown' if b['lead_min'] is None else format(b['lead_min'], '.0f')} min,"
        f" stockout minutes covered {_text(b['minutes_covered'])}"
        for b in told["model"]
    ]


def _between(interval: Sequence[float] | None) -> str:
    return "[no interval]" if interval is None else f"[{interval[0]:.3f}, {interval[1]:.3f}]"


def _text(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4f}"
