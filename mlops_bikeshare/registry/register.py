"""Log a model into the active run, prove that it works, and register it.

Input    the artifacts folder of `artefact.write_artifacts`, and a few rows of features to try.
Output   the new ModelVersion, tagged with its digests, thresholds and the caller's tags.
Raises   ModelError without an active run, or when the logged model does not load and predict:
         MLflow itself would register it all the same.
"""

import importlib.metadata
import warnings
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mlops_bikeshare.domain.errors import ModelError
from mlops_bikeshare.registry.artefact import artefact_digest, drop_caches, read_scorer
from mlops_bikeshare.registry.versions import (
    DIGEST_TAG,
    FEATURES_TAG,
    REGISTERED,
    STAGE_TAG,
    ModelVersion,
    find,
)

if TYPE_CHECKING:
    import pandas as pd

_REQUIRED = ("mlflow", "numpy", "pandas", "lightgbm", "pyarrow")
_HERE = Path(__file__).parent


def register(
    artifacts: Path, *, name: str, tags: Mapping[str, str], probe: "pd.DataFrame"
) -> ModelVersion:
    """Log a model into the active run, prove that it loads and answers `probe`, and register it."""
    import mlflow

    with warnings.catch_warnings():
        # Advice on type hints and input examples; the probe below proves more than either.
        warnings.simplefilter("ignore", UserWarning)
        logged = _log(artifacts)
    spec = read_scorer(artifacts)
    with TemporaryDirectory(prefix="bikeshare-") as folder:
        local = Path(mlflow.artifacts.download_artifacts(logged.model_uri, dst_path=folder))
        drop_caches(local)
        digest = artefact_digest(local)
        _prove(local, probe)
    created = _version(
        name,
        logged,
        tags={
            **tags,
            **_thresholds(spec),
            FEATURES_TAG: spec["feature_digest"],
            DIGEST_TAG: digest,
            STAGE_TAG: REGISTERED,
        },
    )
    return find(name, str(created.version))


def _thresholds(spec: Mapping[str, Any]) -> dict[str, str]:
    """The thresholds of every target that are known."""
    return {
        f"{kind}_{target}": f"{told[kind]:.6f}"
        for target, told in spec["targets"].items()
        for kind in ("threshold", "alarm_threshold")
        if told.get(kind) is not None
    }


def _version(name: str, logged: Any, *, tags: Mapping[str, str]) -> Any:
    """What `mlflow.register_model` does, without its messages on stderr."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient()
    try:
        client.get_registered_model(name)
    except MlflowException:
        client.create_registered_model(name)
    return client.create_model_version(
        name,
        logged.model_uri,
        run_id=logged.run_id,
        tags=dict(tags),
        await_creation_for=0,
        model_id=logged.model_id,
    )


def _log(artifacts: Path) -> Any:
    import mlflow

    if mlflow.active_run() is None:
        msg = "a model is logged into a run, but none is active; start one first"
        raise ModelError(msg)
    return mlflow.pyfunc.log_model(
        name="model",
        python_model=str(_HERE / "model.py"),
        artifacts={path.name: str(path) for path in sorted(artifacts.iterdir())},
        code_paths=[str(_HERE / "scorer")],
        signature=_signature(artifacts),
        pip_requirements=[f"{p}=={importlib.metadata.version(p)}" for p in _REQUIRED],
        metadata={"scorer": "scorer:Scorer"},
    )


def _signature(artifacts: Path) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    spec = read_scorer(artifacts)
    columns = [
        f"{target['column']}_{h}"
        for target in spec["targets"].values()
        for h in spec["horizons_min"]
    ]
    return ModelSignature(
        inputs=Schema([ColSpec("float", name) for name in spec["features"]]),
        outputs=Schema([ColSpec("double", name) for name in columns]),
    )


def _prove(folder: Path, probe: "pd.DataFrame") -> None:
    """A version that cannot be loaded or answers nonsense registers all the same; so try it."""
    import mlflow

    try:
        answer = mlflow.pyfunc.load_model(str(folder)).predict(probe)
    except Exception as error:
        msg = f"the model was logged, but does not load and predict, so is not registered: {error}"
        raise ModelError(msg) from error
    if len(answer) != len(probe) or not ((answer >= 0) & (answer <= 1)).all(axis=None):
        msg = (
            f"the model was logged, but answers {len(answer)} of {len(probe)} rows, or values that"
            f" are no probabilities, so is not registered"
        )
        raise ModelError(msg)
