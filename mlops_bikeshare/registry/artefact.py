"""What a registered version consists of, and its digest.

A version is an MLflow model folder. Its `artifacts/` hold the boosters of each target (LightGBM
text: `<target>.txt`, or `<target>_<horizon>.txt` by the first of the horizons that each serves),
and `scorer.json` (features, horizons, calibrators, thresholds), `reference.json` (drift) and
`persistence.json` (the baseline, per target). Nothing is pickled: a version can be read with a text
editor, and loading one runs no code but `model.py` and the package `scorer`.

Raises   ModelError for a file that is missing, is not JSON, is pickled or compiled.
"""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_bikeshare.domain.errors import ModelError
from mlops_bikeshare.domain.label import USUAL, Label
from mlops_bikeshare.registry.scorer import boosters_of

FORMAT = 2
SCORER, REFERENCE, PERSISTENCE = "scorer.json", "reference.json", "persistence.json"
LABEL = "label"
REGISTRY_NOTE = "registered_model_meta"  # mlflow adds it to downloads from the registry only
CACHE = "__pycache__"  # Python adds it wherever a version is loaded from
_OPAQUE = {".pkl", ".pickle", ".joblib", ".cloudpickle", ".dill", ".pyc", ".pyo"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetFiles:
    """One target's share of a version: trees, calibrators and baseline as text and JSON values.

    `boosters` maps the horizons that trees serve to their text; each horizon has one booster.
    `calibrators` has a row of horizons_min, a, b, c for each group of horizons. `threshold` is what
    F1 is judged at, `alarm_threshold` where an alarm pays at the stated costs (None: not known).
    """

    boosters: Mapping[tuple[int, ...], str]
    column: str
    calibrators: Sequence[Mapping[str, Any]]
    threshold: float
    persistence: Mapping[str, Any]
    alarm_threshold: float | None = None


def write_artifacts(
    directory: Path,
    *,
    targets: Mapping[str, TargetFiles],
    features: Sequence[str],
    horizon_feature: str,
    horizons_min: Sequence[int],
    reference: Mapping[str, Any],
    details: Mapping[str, Any] | None = None,
) -> Path:
    """Write the files of a version into `directory` (made if missing) and return it."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, target in targets.items():
        for file, served in _files(name, target).items():
            (directory / file).write_text(target.boosters[served], encoding="utf-8")
    scorer = {
        "format": FORMAT,
        "features": list(features),
        "feature_digest": feature_digest(features),
        "horizon_feature": horizon_feature,
        "horizons_min": list(horizons_min),
        **(details or {}),
        "targets": {name: _target(name, target) for name, target in targets.items()},
    }
    _write(directory / SCORER, scorer)
    _write(directory / REFERENCE, reference)
    _write(directory / PERSISTENCE, {name: t.persistence for name, t in targets.items()})
    return directory


def read_scorer(artifacts: Path) -> dict[str, Any]:
    """Features, horizons, calibrators and thresholds of a version."""
    return _read(artifacts / SCORER)


def read_reference(artifacts: Path) -> dict[str, Any]:
    """The drift reference of a version."""
    return _read(artifacts / REFERENCE)


def gains(artifacts: Path, target: str) -> dict[str, float]:
    """Feature → what the splits on it removed of the training loss, of all trees of a target."""
    import lightgbm as lgb

    spec = read_scorer(artifacts)
    total: Counter[str] = Counter()
    for file in boosters_of(spec["targets"][target], spec["horizons_min"]):
        booster = lgb.Booster(model_file=str(artifacts / file))
        gain = booster.feature_importance("gain").tolist()
        total.update(dict(zip(booster.feature_name(), gain, strict=True)))
    return dict(total)


def read_persistence(artifacts: Path) -> dict[str, Any]:
    """The persistence table of each target of a version."""
    return _read(artifacts / PERSISTENCE)


def read_thresholds(artifacts: Path) -> dict[str, float]:
    """The probability at or above which each target is called out."""
    return {name: t["threshold"] for name, t in read_scorer(artifacts)["targets"].items()}


def read_label(artifacts: Path) -> Label:
    """What counted as out when a version was trained; ModelError if that cannot be read."""
    spec = read_scorer(artifacts)
    if LABEL not in spec:
        return USUAL  # versions from before there was a choice
    try:
        return Label.from_json(spec[LABEL])
    except (KeyError, TypeError) as error:
        msg = f"{SCORER} in {artifacts}: {LABEL}: expected {USUAL.to_json()}, got {spec[LABEL]!r}"
        raise ModelError(msg) from error


def feature_digest(features: Sequence[str]) -> str:
    """Sha256 over the names of the features, in order."""
    return hashlib.sha256("\n".join(features).encode()).hexdigest()


def drop_caches(folder: Path) -> None:
    """Delete what loading left in a folder fetched from the registry; never do so to an archive."""
    for cache in list(folder.rglob(CACHE)):
        shutil.rmtree(cache)


def artefact_digest(folder: Path) -> str:
    """Sha256 over the sorted (path, sha256) of a version's files; ModelError if one is no text."""
    files = sorted(
        (path.relative_to(folder).as_posix(), path)
        for path in folder.rglob("*")
        if path.is_file() and path.name != REGISTRY_NOTE
    )
    if not files:
        msg = f"no model in {folder}: the folder is empty or missing"
        raise ModelError(msg)
    opaque = [name for name, path in files if path.suffix.lower() in _OPAQUE]
    if opaque:
        msg = f"a version holds text only, but {folder.name} contains {opaque}"
        raise ModelError(msg)
    lines = [f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}" for name, path in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _target(name: str, target: TargetFiles) -> dict[str, Any]:
    return {
        "boosters": [
            {"file": file, "horizons_min": list(served)}
            for file, served in _files(name, target).items()
        ],
        "column": target.column,
        "threshold": target.threshold,
        "alarm_threshold": target.alarm_threshold,
        "calibrators": [dict(group) for group in target.calibrators],
    }


def _files(name: str, target: TargetFiles) -> dict[str, tuple[int, ...]]:
    """The files of a target's boosters, and the horizons that each serves."""
    if len(target.boosters) == 1:
        return {f"{name}.txt": served for served in target.boosters}
    return {f"{name}_{served[0]}.txt": served for served in target.boosters}


def _write(path: Path, document: Mapping[str, Any]) -> None:
    text = json.dumps(document, indent=1, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"cannot read {path.name} of the model in {path.parent}: {error}"
        raise ModelError(msg) from error
    if not isinstance(document, dict):
        msg = f"{path.name} in {path.parent} holds {type(document).__name__}, expected an object"
        raise ModelError(msg)
    return document
