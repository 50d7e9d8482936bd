"""The report of a backtest: plain JSON values, a file, a table for people.

Input    `Fold`, the answers of every method to the test of one split, newest fold first.
Output   a dict as documented in docs/backtest.md; `write` makes it a file that is there whole or
         not at all; `table` is what the terminal shows.
Raises   InputError when the file cannot be written.
"""

import json
import os
import resource
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.targets import HORIZONS_MIN
from mlops_bikeshare.domain.wording import figure
from mlops_bikeshare.features.definition import FEATURE_NAMES, feature_digest
from mlops_bikeshare.flows.backtesting.recorded_days import RecordedCity
from mlops_bikeshare.flows.judging.sliced import headline
from mlops_bikeshare.training import backtest as figures
from mlops_bikeshare.training.backtest import METHODS, Answers
from mlops_bikeshare.training.split import Split

_figure = partial(figure, digits=4)
_RSS_UNITS_PER_MB = {"darwin": 1 << 20}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """What one split gave: answers per target, and how long its parts took."""

    split: Split
    answers: Mapping[str, Answers]
    thresholds: Mapping[str, Mapping[int, Mapping[str, float | None]]]
    dispatch: Mapping[str, Any]
    slices: Mapping[str, Any]
    trees: Mapping[str, int]
    rows: Mapping[str, int]
    silent_days: tuple[date, ...]
    feature_seconds: float
    train_seconds: float
    score_seconds: float


def report_of(
    where: RecordedCity, runs: Sequence[Fold], *, horizon_min: int, seed: int
) -> dict[str, Any]:
    """The report on the newest of `runs`, with the others as folds."""
    first = runs[0]
    split = first.split
    targets = _targets(first, horizon_min=horizon_min, seed=seed)
    report: dict[str, Any] = {
        "headline": {
            t: f"PR-AUC {figure(told['model']['pr_auc'])}, onset PR-AUC"
            f" {figure(told['model']['onset_pr_auc'])}; {headline(first.dispatch[t]['model'])}"
            for t, told in targets.items()
        },
        "city": where.city.name,
        "recording": where.recording.folder.name,
        "timezone": where.city.timezone,
        "train": str(split.train),
        "calibrate": str(split.calibrate),
        "test": str(split.test),
        "horizon_min": horizon_min,
        "cadence_min": where.cadence_min,
        "out_at_or_below": where.city.label.threshold,
        "label_mode": where.city.label.mode,
        "stations": len(where.stations),
        "features": len(FEATURE_NAMES),
        "feature_digest": feature_digest(where.city.label),
        "seed": seed,
        "rows": dict(first.rows),
        "trees": dict(first.trees),
        "targets": targets,
        "horizons": _others(first, horizon_min=horizon_min),
        "dispatch": first.dispatch,
        "slices": first.slices,
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
    report["warnings"] = _warnings(where, first, report)
    return report


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
        rates = f"base {_figure(told['base_rate'])}, onset base {_figure(told['onset_base_rate'])}"
        lines += [f"{head}, {rates}", f"  {'':12}" + "".join(f"{w:>14}" for w in words)]
        for method in METHODS:
            cells = "".join(f"{_figure(told[method][n]):>14}" for n in names)
            lines.append(f"  {method:12}{cells}")
        lines += [f"  {_skill_text(told)}", *_dispatch_lines(report["dispatch"][target])]
        lines += [_worst_line(part) for part in report["slices"][target]["worst"].values()]
    effort = ", ".join(f"{n} {report[f'{n}_seconds']:.0f} s" for n in ("feature", "train", "score"))
    warned = [f"warning: {text}" for text in report["warnings"]]
    return "\n".join([*lines, f"{effort}, peak {report['peak_rss_mb']:.0f} MB", *warned])


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
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / _RSS_UNITS_PER_MB.get(sys.platform, 1 << 10)


def _warnings(where: RecordedCity, run: Fold, report: Mapping[str, Any]) -> list[str]:
    """What a reader of the figures should know."""
    found = list(_input_warnings(where))
    if run.silent_days:
        days = ", ".join(map(str, run.silent_days))
        why = "nothing was known, or no earlier day gave profiles"
        found.append(f"no rows to learn from on {days}: {why}")
    for target, told in report["targets"].items():
        if told["model"]["pr_auc"] is None:
            found.append(f"{target}: the test rows are of one class; scores that need two are null")
        asked = len(run.split.test.days()) if run.split.test else 0
        if told["days"] < asked:
            found.append(f"{target}: only {told['days']} of {asked} test days have rows to judge")
        if told["interval_blocks"] is None:
            found.append(f"{target}: the test is too short to resample, so there is no interval")
        elif told["interval_blocks"] != "day":
            blocks = told["interval_blocks"]
            found.append(f"{target}: {told['days']} test days; intervals resample {blocks} blocks")
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
    skill = (
        f"Brier skill {_figure(told['brier_skill'])} {_between(told['interval']['brier_skill'])}"
    )
    value = _figure(gain["value"])
    return f"{skill}, onset PR-AUC over persistence {value} {_between(gain['interval'])}"


def _dispatch_lines(told: Mapping[str, Any]) -> list[str]:
    return [
        f"  {b['stations_per_hour']:>2} alerts an hour: precision {_figure(b['precision'])},"
        f" recall {_figure(b['recall'])} (best possible {_figure(b['best_recall'])}),"
        f" lead {'unknown' if b['lead_min'] is None else format(b['lead_min'], '.0f')} min,"
        f" stockout minutes covered {_figure(b['minutes_covered'])}"
        for b in told["model"]
    ]


def _worst_line(part: Mapping[str, Any]) -> str:
    return (
        f"  worst {part['dimension']}: {part['name']}, onset Brier skill {figure(part['skill'])}"
        f" {_between(part['interval'])}, {part['onsets']:,} onsets"
    )


def _between(interval: Sequence[float] | None) -> str:
    return "[no interval]" if interval is None else f"[{interval[0]:.3f}, {interval[1]:.3f}]"
