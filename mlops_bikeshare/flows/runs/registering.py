"""What a training leaves behind: its parameters and evidence in the run, the version registered.

Input    a Candidate with the split, plan and table that it was trained by; an active MLflow run.
Output   the registered version, without an alias, and the evidence as `evidence.evidence` gives it.
Raises   what MLflow raises when its store does not answer.
"""

import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.label import Label
from mlops_bikeshare.domain.reports import to_json
from mlops_bikeshare.domain.targets import HORIZONS_MIN, TARGETS
from mlops_bikeshare.features.definition import FEATURE_NAMES, feature_digest
from mlops_bikeshare.flows import tracking
from mlops_bikeshare.flows.features import OFFLINE, station_list
from mlops_bikeshare.flows.runs import (
    baselines,
    evidence,
    model_card,
    training_run,
    training_table,
)
from mlops_bikeshare.registry import versions
from mlops_bikeshare.registry.artefact import LABEL, TargetFiles, write_artifacts
from mlops_bikeshare.registry.card import CARD
from mlops_bikeshare.registry.register import register
from mlops_bikeshare.registry.versions import ModelVersion
from mlops_bikeshare.training.candidate import HORIZON_FEATURE, Candidate
from mlops_bikeshare.training.split import Split
from mlops_bikeshare.training.table import Plan, TrainingTable

PROBE_ROWS = 50


def record(
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
    tracking.log_params({**facts, **to_json(plan.params), **_counted(candidate)})
    run_id = mlflow.active_run().info.run_id
    told = evidence.evidence(ws, city, split, candidate, plan)
    training_run.log(candidate, run_id=run_id, told=told)
    training_run.log_input(city, window, facts["data_digest"])
    if ws.settings.package_group(city.name) is not None:
        baselines.log(ws, table, split, plan, candidate)
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
