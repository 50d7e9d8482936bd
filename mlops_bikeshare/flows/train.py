"""Train: stored features to a registered challenger, with its evidence in an MLflow run.

Input    a Split of time, or none: the last sixth of the days tests, the one before calibrates.
Output   Trained: version, digest, test scores per target and horizon.
Raises   InputError for ranges without data or labels of one class; what was logged so far stays in
         a run marked failed, nothing is registered.
"""

import math
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.label import Label
from mlops_bikeshare.domain.reports import TargetQuality, to_json
from mlops_bikeshare.domain.targets import HORIZONS_MIN, PROMISE_MIN, TARGETS
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.domain.wording import figure
from mlops_bikeshare.features.definition import FEATURE_NAMES, FEATURES, feature_digest
from mlops_bikeshare.flows import tracking
from mlops_bikeshare.flows.features import OFFLINE, station_list
from mlops_bikeshare.flows.judging.sliced import headline
from mlops_bikeshare.flows.process.logged import Told, logged
from mlops_bikeshare.flows.process.progress import Track, counted, silent
from mlops_bikeshare.flows.runs import (
    comparison,
    evidence,
    model_card,
    outcome,
    training_run,
    training_table,
)
from mlops_bikeshare.registry import versions
from mlops_bikeshare.registry.artefact import LABEL, TargetFiles, write_artifacts
from mlops_bikeshare.registry.card import CARD
from mlops_bikeshare.registry.register import register
from mlops_bikeshare.registry.versions import ModelVersion
from mlops_bikeshare.settings import Settings
from mlops_bikeshare.training.candidate import HORIZON_FEATURE, Candidate, train_candidate
from mlops_bikeshare.training.fit import FitParams, Progress
from mlops_bikeshare.training.split import Split
from mlops_bikeshare.training.table import Plan, TrainingTable

CITY_WIDE = tuple(f.name for f in FEATURES if f.scope != "station")
PROBE_ROWS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What a training made; `comparison`: where MLflow shows it beside what it has to beat."""

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
    comparison: str


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
) -> Trained:
    """Train both targets, log the run, register the version and give it `alias`, if any."""
    with outcome.posted(ws, city, "training"):
        return _train(ws, city, split, label=label, alias=alias, track=track)


def _train(
    ws: Workspace, city: City, split: Split, *, label: str, alias: str | None, track: Track
) -> Trained:
    began = time.perf_counter()
    plan = plan_of(ws.settings)
    name, note = training_run.name(city, split, label=label), training_run.note(city, split)
    with tracking.run(ws, city, name, {"kind": "training", "role": label}, note=note) as active:
        table = training_table.load(ws, city, split, plan, track)
        with _growing(track) as progress:
            candidate = train_candidate(
                table, split, plan=plan, city_wide=CITY_WIDE, progress=progress
            )
        version, told = _record(ws, city, split, plan, table, candidate)
        if alias is not None:
            name_version(version, alias)
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
            comparison=comparison.saved(ws, city, active.info.run_id),
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
    return "\n".join([*lines, f"side by side (`make mlflow-ui`): {trained.comparison}"])


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


def _record(
    ws: Workspace,
    city: City,
    split: Split,
    plan: Plan,
    table: TrainingTable,
    candidate: Candidate,
) -> tuple[ModelVersion, dict[str, Any]]:
    """Log parameters, evidence and model into the active run, and register the version."""
    import mlflow
    import pandas as pd

    window = split.window
    facts = {
        "train": str(split.train),
        **({"baseline": str(split.baseline)} if split.baseline else {}),
        **({"held_out": str(split.held_out)} if split.held_out else {}),
        "calibrate": str(split.calibrate),
        "test": str(split.test) if split.test else "none",
        "data": f"{OFFLINE.name} {city.name} {window}",
        "data_digest": training_table.data_digest(ws, city, window),
        "feature_definition": feature_digest(city.label),
        "label": str(city.label),
        "git": tracking.revision(),
        "cost_ratio": f"{plan.cost_ratio:g}",
        "champion_then": _champion(city),
    }
    mlflow.log_params({**facts, **to_json(plan.params), **_counted(candidate)})
    run_id = mlflow.active_run().info.run_id
    told = evidence.evidence(ws, city, split, candidate, plan)
    training_run.log(candidate, run_id=run_id, told=told)
    training_run.log_input(city, window, facts["data_digest"])
    card = model_card.card_text(city, split, candidate, facts=facts, evidence=told)
    with tempfile.TemporaryDirectory(prefix="bikeshare-") as scratch:
        trained_on = {**candidate.reference, "stations": _places(ws, city, table)}
        folder = _artifacts(Path(scratch) / "artifacts", candidate, trained_on, facts, city.label)
        (folder / CARD).write_text(card, encoding="utf-8")
        probe = pd.DataFrame(table.features[:PROBE_ROWS], columns=list(table.names))
        tags = {versions.CITY_TAG: city.name, **facts, **training_run.test_tags(candidate)}
        version = register(folder, name=city.registered_model, tags=tags, probe=probe)
    training_run.log_card(card, note=training_run.note(city, split))
    training_run.describe(city, version, split, candidate)
    return version, told


def _champion(city: City) -> str:
    """The version that served while this one was trained."""
    registered = versions.is_registered(city.registered_model)
    found = versions.find_if_any(city.registered_model, versions.CHAMPION) if registered else None
    return f"{found.version} ({found.digest[:12]})" if found else "none"


def _counted(candidate: Candidate) -> dict[str, int]:
    trees = {f"trees_{t}": b.best_iteration for t, b in candidate.boosters.items()}
    return {**{f"rows_{name}": n for name, n in candidate.rows.items()}, **trees}


def _places(ws: Workspace, city: City, table: TrainingTable) -> dict[str, list[float] | None]:
    """Where the stations stand that the candidate has seen; None where the feed gives no place."""
    listed = station_list(ws, city).set_index("station_id")[["lat", "lon"]]
    seen = {table.station_ids[i] for i in np.unique(table.station)}
    places = listed.loc[sorted(seen)].astype("float64")
    return {
        str(station): None if math.isnan(lat + lon) else [round(lat, 6), round(lon, 6)]
        for station, lat, lon in zip(places.index, places["lat"], places["lon"], strict=True)
    }


def _artifacts(
    folder: Path,
    candidate: Candidate,
    reference: dict[str, Any],
    facts: dict[str, str],
    label: Label,
) -> Path:
    targets = {
        target.name: TargetFiles(
            boosters={h: b.text for h, b in candidate.boosters[target.name].parts.items()},
            column=target.probability,
            calibrators=candidate.calibrations[target.name].to_json(),
            threshold=candidate.calibrations[target.name].threshold,
            alarm_threshold=candidate.calibrations[target.name].alarm_threshold,
            persistence=candidate.persistence[target.name].to_json(),
        )
        for target in TARGETS
    }
    return write_artifacts(
        folder,
        targets=targets,
        features=FEATURE_NAMES,
        horizon_feature=HORIZON_FEATURE,
        horizons_min=HORIZONS_MIN,
        reference=reference,
        details={**facts, LABEL: label.to_json()},
    )
