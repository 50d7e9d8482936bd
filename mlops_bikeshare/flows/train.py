"""Train: stored features to a registered challenger, with its evidence in an MLflow run.

Input    a Split of time, or none: the last sixth of the days tests, the one before calibrates.
Output   Trained: version, digest, test scores per target and horizon.
Raises   InputError for ranges without data or labels of one class; what was logged so far stays in
         a run marked failed, nothing is registered.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.reports import TargetQuality
from mlops_bikeshare.domain.targets import PROMISE_MIN
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.domain.wording import figure
from mlops_bikeshare.features.definition import BY_RANGE
from mlops_bikeshare.flows import model_packages, tracking
from mlops_bikeshare.flows.features import OFFLINE
from mlops_bikeshare.flows.judging.sliced import headline
from mlops_bikeshare.flows.process.logged import Told, logged
from mlops_bikeshare.flows.process.progress import Track, counted, silent
from mlops_bikeshare.flows.runs import (
    comparison,
    outcome,
    registering,
    training_run,
    training_table,
)
from mlops_bikeshare.registry import versions
from mlops_bikeshare.registry.versions import ModelVersion
from mlops_bikeshare.settings import Settings
from mlops_bikeshare.training.candidate import train_candidate
from mlops_bikeshare.training.fit import FitParams, Grow, Progress, fit_targets
from mlops_bikeshare.training.split import Split
from mlops_bikeshare.training.table import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What a training made; `comparison`: where MLflow shows it beside its rival, if it does."""

    city: str
    version: str
    run_id: str
    artefact_digest: str
    rows: int
    seconds: float
    trees: dict[str, int]
    quality: tuple[TargetQuality, ...]
    dispatch: dict[str, Any]
    peer: tuple[TargetQuality, ...]
    comparison: str | None


def choose_split(
    ws: Workspace,
    city: City,
    *,
    train: Window | None = None,
    calibrate: Window | None = None,
    test: Window | None = None,
) -> Split:
    """The ranges given, or all stored days by sixths."""
    if train and calibrate:
        return Split(train, calibrate, test)
    if train or calibrate or test:
        msg = "give --train and --calibrate together (and --test for scores), or none of them"
        raise InputError(msg)
    days = ws.lake.days(OFFLINE, city=city.name)
    if not days:
        msg = f"no features of {city.name} in workspace {ws.settings.workspace!r}"
        raise InputError(f"{msg}; run `bikeshare ingest` and `bikeshare features` first")
    return by_shares(Window(Window.day(days[0]).start, Window.day(days[-1]).end))


def by_shares(window: Window, *, share: float = 1 / 6, most_days: int = 7) -> Split:
    """Test on the end of `window`, calibrate before it, train on the rest."""
    days = window.duration // timedelta(days=1)
    part = timedelta(days=min(most_days, max(1, round(days * share))))
    calibrate, test = window.end - 2 * part, window.end - part
    return Split(Window(window.start, calibrate), Window(calibrate, test), Window(test, window.end))


def _told(done: Trained) -> Told:
    wrote = {"version": done.version, "digest": done.artefact_digest[:12], "run": done.run_id}
    return Told(read={"rows": done.rows}, wrote=wrote)


@logged("train", _told)
def train(
    ws: Workspace,
    city: City,
    split: Split,
    *,
    label: str = "train",
    alias: str | None = versions.CHALLENGER,
    track: Track = silent,
    grow: Grow = fit_targets,
) -> Trained:
    """Train both targets, log the run, register the version and give it `alias`, if any."""
    with outcome.posted(ws, city, "training"):
        return _train(ws, city, split, label=label, alias=alias, track=track, grow=grow)


def _train(
    ws: Workspace,
    city: City,
    split: Split,
    *,
    label: str,
    alias: str | None,
    track: Track,
    grow: Grow,
) -> Trained:
    began = time.perf_counter()
    plan = plan_of(ws.settings)
    name, note = training_run.name(city, split, label=label), training_run.note(city, split)
    with tracking.run(ws, city, name, {"kind": "training", "role": label}, note=note) as active:
        table = training_table.load(ws, city, split, plan, track)
        with _growing(track) as progress:
            candidate = train_candidate(
                table, split, plan=plan, by_range=BY_RANGE, progress=progress, grow=grow
            )
        version, told = registering.record(ws, city, split, plan, table, candidate)
        if alias is not None:
            name_version(version, alias)
        model_packages.after(ws, city, f"version {version.version}", approvals=False)
        return Trained(
            city=city.name,
            version=version.version,
            run_id=active.info.run_id,
            artefact_digest=version.digest,
            rows=candidate.rows["fit"],
            seconds=time.perf_counter() - began,
            trees={t: b.best_iteration for t, b in candidate.boosters.items()},
            quality=candidate.quality,
            dispatch={target: part["dispatch"]["model"] for target, part in told.items()},
            peer=candidate.peer.quality if candidate.peer else (),
            comparison=comparison.try_to_save(ws, city, active.info.run_id),
        )


def name_version(version: ModelVersion, alias: str) -> None:
    """Give a version an alias, from whichever version has it now."""
    previous = versions.find_if_any(version.name, alias)
    expected = previous.version if previous else None
    versions.move_alias(version.name, alias, version.version, expected=expected)


@contextmanager
def _growing(track: Track) -> Iterator[Progress]:
    """Shows the trees of one target after the other as they grow."""
    with ExitStack() as shown:
        targets: dict[str, Callable[[], None]] = {}

        def grown(target: str, iteration: int, rounds: int) -> None:  # noqa: ARG001 - LightGBM's
            if target not in targets:
                shown.close()
                bar = counted(track, label=f"grow {target} trees", total=rounds)
                targets[target] = shown.enter_context(bar)
            targets[target]()

        yield grown


def summary(trained: Trained) -> str:
    """What a person wants to know."""
    head = f"{trained.city}: version {trained.version} ({trained.artefact_digest[:12]})"
    effort = f"{trained.rows:,} rows in {trained.seconds:.0f} s, trees {trained.trees}"
    promised = [q for q in trained.quality if q.horizon_min == PROMISE_MIN]
    lines = [f"{head}, {effort}"]
    for q in promised:
        lines += [_quality_text(q), f"  {headline(trained.dispatch[q.target])}"]
    lines += [_peer_text(q) for q in trained.peer if q.horizon_min == PROMISE_MIN]
    if trained.comparison is not None:
        lines.append(f"side by side (`make mlflow-ui`): {trained.comparison}")
    return "\n".join(lines)


def _peer_text(q: TargetQuality) -> str:
    return (
        f"XGBoost on the same rows, {q.target}: onset PR-AUC {figure(q.model.onset_pr_auc)},"
        f" PR-AUC {figure(q.model.pr_auc)}, Brier skill {figure(q.brier_skill)}"
    )


def _quality_text(q: TargetQuality) -> str:
    return (
        f"{q.target} at {q.horizon_min} min: onset PR-AUC {figure(q.model.onset_pr_auc)}"
        f" (persistence {figure(q.persistence.onset_pr_auc)}), PR-AUC {figure(q.model.pr_auc)},"
        f" Brier skill {figure(q.brier_skill)}, ECE {figure(q.model.ece)}"
    )


def plan_of(settings: Settings) -> Plan:
    """How much to learn from, how, and what counts as out, as the settings have it."""
    told = settings.training
    params = FitParams(
        rounds=told.rounds,
        leaves=told.leaves,
        learning_rate=told.learning_rate,
        feature_fraction=told.feature_fraction,
        lambda_l2=told.lambda_l2,
        seed=told.seed,
        threads=told.threads,
    )
    return Plan(
        params=params,
        max_rows=told.max_rows,
        label=settings.labels,
        cost_ratio=told.cost_ratio,
        with_peer=told.peer == "xgboost",
    )
