"""MLflow for flows: where runs go, how they are named, what code they came from.

`connect` points MLflow at the workspace's store; `run` opens a run of the city's experiment, or
re-attaches to the one that `mlflow run` has opened for this process.
"""

import logging
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City


def connect(ws: Workspace) -> Any:
    """MLflow, told where the workspace's runs and registry are."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow

    # Its loggers tell every step of their own; a flow says what it did in one line.
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    uri = ws.settings.mlflow_uri
    if uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    return mlflow


@contextmanager
def run(ws: Workspace, city: City, name: str, tags: Mapping[str, str]) -> Iterator[Any]:
    """An active run of the city's experiment, with the time and the code it speaks of."""
    mlflow = connect(ws)
    if not os.environ.get("MLFLOW_RUN_ID"):
        mlflow.set_experiment(experiment_id=_experiment(mlflow, ws, city))
    with mlflow.start_run(run_name=name) as active:
        mlflow.set_tags({"city": city.name, "as_of": ws.now.isoformat(), "git": revision(), **tags})
        yield active


def revision() -> str:
    """The checkout's commit, `+changes` if it was touched since; `unknown` outside a checkout."""
    folder = Path(__file__).parent
    try:
        commit = _git("rev-parse", "HEAD", folder=folder)
        changed = _git("status", "--porcelain", "--untracked-files=no", folder=folder)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + ("+changes" if changed else "")


def _git(*arguments: str, folder: Path) -> str:
    answer = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return answer.stdout.strip()


def _experiment(mlflow: Any, ws: Workspace, city: City) -> str:
    """The city's experiment; a local store keeps its artefacts beside its database."""
    found = mlflow.get_experiment_by_name(city.registered_model)
    if found is not None:
        return str(found.experiment_id)
    local = ws.settings.mlflow_uri.startswith("sqlite:///")
    where = (ws.settings.mlflow_home / "mlartifacts").as_uri() if local else None
    return str(mlflow.create_experiment(city.registered_model, artifact_location=where))
