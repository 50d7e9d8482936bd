"""MLflow for flows: where runs go, how they are named, what code they came from.

`connect` points MLflow at the workspace's store; `run` opens a run of the city's experiment, or
re-attaches to the one that `mlflow run` has opened for this process. Runs are named so that a
person can tell them apart (`champion · demo · 06-02..06-08`), and say in a note what they are.
"""

import logging
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import SettingsError
from mlops_bikeshare.settings import Settings

NAME_TAG, NOTE_TAG = "mlflow.runName", "mlflow.note.content"
EXPERIMENT_NOTE = (
    "The life of one city's stockout model. Select two trainings and press Compare: scores have"
    " the horizon in minutes as step; `replay/` and `live/` scores are of rows that both served."
    " Gates, promotions and rollbacks are runs too (tag `kind`)."
)
WINDOW = "http://127.0.0.1:5000"
BATCH = 1000
Stepped = tuple[str, float, int]


def connect(ws: Workspace) -> Any:
    """MLflow, told where the workspace's runs and registry are."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    # Its loggers tell every step of their own, each to a handler of its own; a flow says what it
    # did in one line, and one handler decides how lines look.
    for name in ("mlflow", "alembic"):
        theirs = logging.getLogger(name)
        theirs.handlers.clear()
        theirs.propagate = True
        theirs.setLevel(logging.WARNING)
    uri = ws.settings.mlflow_uri
    _check_shared(ws)
    if uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    return mlflow


def _check_shared(ws: Workspace) -> None:
    """SettingsError for a registry on one machine's disk where production lies on AWS."""
    settings = ws.settings
    on_disk = settings.mlflow_uri.startswith(("sqlite:", "file:", "/"))
    if settings.profile == "aws" and on_disk and settings.rehearse_aws == "no":
        msg = "profile aws needs an MLflow store that every job can reach, not a file of this"
        raise SettingsError(f"{msg} machine; set MLFLOW_TRACKING_URI to your MLflow server")


def window(settings: Settings) -> str:
    """Where people see the runs: the server, without a password, or what `make mlflow-ui` opens."""
    uri = settings.mlflow_uri
    return re.sub(r"://\S+@", "://", uri) if uri.startswith("http") else WINDOW


@contextmanager
def run(
    ws: Workspace,
    city: City,
    name: str,
    tags: Mapping[str, str],
    *,
    note: str = "",
    run_id: str | None = None,
) -> Iterator[Any]:
    """An active run of the city's experiment, with the time and the code it speaks of.

    `run_id`: a run to go on with; one that `mlflow run` has opened comes first.
    """
    mlflow = connect(ws)
    handed_over = _handed_over(ws)
    again = None if handed_over else run_id
    if not handed_over:
        mlflow.set_experiment(experiment_id=_experiment(mlflow, ws, city))
    facts = {"city": city.name, "as_of": ws.now.isoformat(), "git": revision()}
    with mlflow.start_run(run_id=again, run_name=None if again else name) as active:
        # The name again as a tag: a run that `mlflow run` has opened already carries another.
        mlflow.set_tags({NAME_TAG: name, NOTE_TAG: note, **facts, **tags})
        yield active


def log_params(values: Mapping[str, Any]) -> None:
    """Parameters of the active run; where `mlflow run` logged another value, as `used_…` beside it.

    It logs what was asked for, quoted, and MLflow lets no parameter change.
    """
    import mlflow

    asked = mlflow.get_run(mlflow.active_run().info.run_id).data.params
    same = {key for key, value in values.items() if asked.get(key) == str(value)}
    names = {key: f"used_{key}" if key in asked else key for key in values if key not in same}
    mlflow.log_params({name: values[key] for key, name in names.items()})


def log_steps(run_id: str, values: Iterable[Stepped]) -> None:
    """Metrics with their steps, into any run, finished ones too."""
    if not run_id:  # a version that was registered without a run has no place for it
        return
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    now, client = int(time.time() * 1000), MlflowClient()
    metrics = [Metric(name, value, now, step) for name, value, step in values]
    for start in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + BATCH])


def log_pictures(run_id: str, pictures: Mapping[str, bytes], *, folder: str = "pictures") -> None:
    """PNG pictures, into any run, finished ones too."""
    if not run_id:  # a version that was registered without a run has no place for it
        return
    from mlflow import MlflowClient

    with tempfile.TemporaryDirectory(prefix="bikeshare-") as scratch:
        for name, picture in pictures.items():
            (Path(scratch) / f"{name}.png").write_bytes(picture)
        MlflowClient().log_artifacts(run_id, scratch, artifact_path=folder)


def _handed_over(ws: Workspace) -> bool:
    """Whether `mlflow run` opened a run for this process, in the store of this workspace."""
    if os.environ.get("MLFLOW_TRACKING_URI") != ws.settings.mlflow_uri:
        os.environ.pop("MLFLOW_RUN_ID", None)
    return "MLFLOW_RUN_ID" in os.environ


def log_texts(run_id: str, texts: Mapping[str, str], *, folder: str) -> None:
    """Text files by name, into any run, finished ones too."""
    if not run_id:  # a version that was registered without a run has no place for it
        return
    from mlflow import MlflowClient

    with tempfile.TemporaryDirectory(prefix="bikeshare-") as scratch:
        for name, text in texts.items():
            (Path(scratch) / name).write_text(text, encoding="utf-8")
        MlflowClient().log_artifacts(run_id, scratch, artifact_path=folder)


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
    """The city's experiment; it keeps its artefacts where `_artifacts` says."""
    found = mlflow.get_experiment_by_name(city.registered_model)
    if found is not None:
        return str(found.experiment_id)
    where = _artifacts(ws)
    return str(
        mlflow.create_experiment(
            city.registered_model,
            artifact_location=where,
            tags={NOTE_TAG: EXPERIMENT_NOTE},
        )
    )


def _artifacts(ws: Workspace) -> str | None:
    """As set; else beside a local database, in the lake's bucket on AWS; None: a server knows."""
    settings = ws.settings
    if settings.mlflow_uri.startswith(("http:", "https:")):
        return None
    if settings.artifacts_uri is not None and not settings.is_rehearsal:
        return settings.artifacts_uri
    if settings.profile == "aws":
        return f"{ws.lake_address}/mlflow"
    return (settings.mlflow_home / "mlartifacts").as_uri()
