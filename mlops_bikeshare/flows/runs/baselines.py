"""Baselines of a training for Model Monitor: files of its MLflow run, later beside the archive.

Input    the table, split, plan and candidate of a training.
Output   `baselines/data_quality/` and `baselines/model_quality/<target>/` in the run, each with
         statistics.json and constraints.json: the features of the rows that its trees grew on, a
         sample of all its days alike, and its own test at the promised horizon. Without a test
         there is no model quality.
Raises   what MLflow raises when its store does not answer.
"""

import json
from pathlib import Path
from typing import Any

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.registry.versions import ModelVersion
from mlops_bikeshare.training import data_baseline, quality_baseline
from mlops_bikeshare.training.candidate import Candidate, grown_on
from mlops_bikeshare.training.split import Split
from mlops_bikeshare.training.table import Plan, TrainingTable

FOLDER = "baselines"
DATA, MODEL = "data_quality", "model_quality"
STATISTICS, CONSTRAINTS = "statistics.json", "constraints.json"
Documents = dict[str, dict[str, Any]]


def log(
    ws: Workspace, table: TrainingTable, split: Split, plan: Plan, candidate: Candidate
) -> None:
    """Put both baselines into the active run."""
    import mlflow

    for name, document in documents(ws, table, split, plan, candidate).items():
        mlflow.log_text(json.dumps(document, allow_nan=False), f"{FOLDER}/{name}")


def documents(
    ws: Workspace, table: TrainingTable, split: Split, plan: Plan, candidate: Candidate
) -> Documents:
    """Path below `baselines/` → document."""
    among = grown_on(table, split, plan=plan)
    told = data_baseline.statistics(table.features, table.names, among=among)
    found = _pair(DATA, told, data_baseline.constraints(told))
    for target, held in candidate.held.items():
        tested = quality_baseline.statistics(
            held.y,
            held.model,
            threshold=candidate.calibrations[target].threshold,
            seed=ws.settings.training.seed,
        )
        if tested is not None:
            margin = ws.settings.monitoring.champion_margin
            asked = quality_baseline.constraints(tested, margin=margin)
            found |= _pair(f"{MODEL}/{target}", tested, asked)
    return found


def fetch(version: ModelVersion, into: Path) -> Path | None:
    """The baselines of a version's run; None where its training made none."""
    import mlflow

    if not version.run_id or not mlflow.MlflowClient().list_artifacts(version.run_id, FOLDER):
        return None
    return Path(
        mlflow.artifacts.download_artifacts(
            run_id=version.run_id, artifact_path=FOLDER, dst_path=str(into)
        )
    )


def worse_target(version: ModelVersion, folder: Path) -> str | None:
    """The target with the lower PR-AUC in the version's own test, as plain metrics are the worse.

    SageMaker has one model quality for a version. None where it was not tested.
    """
    known = {
        path.parent.name: version.tags.get(f"test_pr_auc_{path.parent.name}")
        for path in sorted(folder.glob(f"{MODEL}/*/{STATISTICS}"))
    }
    scored = [(float(score), target) for target, score in known.items() if score is not None]
    return min(scored)[1] if scored else None


def _pair(folder: str, told: dict[str, Any], asked: dict[str, Any]) -> Documents:
    return {f"{folder}/{STATISTICS}": told, f"{folder}/{CONSTRAINTS}": asked}
