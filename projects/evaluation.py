"""The step `evaluate` of SageMaker's Pipeline: which version an archive is, and what it scored.

Input    processing/model/model.tar.gz below SageMaker's folder; the city.
Output   processing/evaluation/evaluation.json: version, digest, `scores` by target and `worst`, the
         worse target's, of the version's own test at the promised horizon.
Raises   ModelError for an archive that is no registered version, or one that was not tested.

A version is known by the digest of its files, so what is judged is what was archived.
"""

import json
import os
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from mlops_bikeshare.backends import open_workspace
from mlops_bikeshare.domain.errors import ModelError
from mlops_bikeshare.domain.targets import TARGETS
from mlops_bikeshare.flows import tracking
from mlops_bikeshare.registry import versions
from mlops_bikeshare.registry.artefact import artefact_digest
from mlops_bikeshare.registry.versions import ModelVersion
from mlops_bikeshare.settings import GateSettings, load

SCORES = tuple(GateSettings().of_its_own_test)


def evaluate(base: Path, city: str) -> dict[str, Any]:
    """Write what the archive's version scored."""
    settings = load(Path.cwd(), os.environ, {})
    tracking.connect(open_workspace(settings))
    version = _version(
        base / "processing" / "model" / "model.tar.gz", settings.city(city).registered_model
    )
    scores = {target.name: _scores(version, target.name) for target in TARGETS}
    told = {
        "version": version.version,
        "digest": version.digest,
        "scores": scores,
        "worst": {score: min(of[score] for of in scores.values()) for score in SCORES},
    }
    folder = base / "processing" / "evaluation"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "evaluation.json").write_text(json.dumps(told), encoding="utf-8")
    return told


def _version(archive: Path, name: str) -> ModelVersion:
    with tempfile.TemporaryDirectory(prefix="bikeshare-") as scratch:
        with tarfile.open(archive) as files:
            files.extractall(scratch, filter="data")
        digest = artefact_digest(Path(scratch))
    known = {version.digest: version for version in versions.versions(name)}
    if digest not in known:
        raise ModelError(f"{archive.name} has digest {digest[:12]}, which no version of {name} has")
    return known[digest]


def _scores(version: ModelVersion, target: str) -> dict[str, float]:
    """Of the version's tags; an unknown score decides nothing."""
    names = {score: f"test_{score}_{target}" for score in SCORES}
    missing = [name for name in names.values() if name not in version.tags]
    if missing:
        raise ModelError(f"{version.uri} was not tested: it has no {', '.join(missing)}")
    return {score: float(version.tags[name]) for score, name in names.items()}
