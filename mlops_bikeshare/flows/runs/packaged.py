"""A registered version as a model package: its archive and baselines on S3, and the request.

Input    a workspace of profile aws, a version; its files from MLflow, checked by their digest.
Output   the arguments of CreateModelPackage. On S3, below `packages/<model>/<version>-<digest>/` in
         the bucket of models: model.tar.gz, and `baselines/` as the training left them.
Raises   ModelError for files that changed; EndpointError when S3 refuses or does not answer.
"""

import hashlib
import tempfile
from pathlib import Path

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.cloud.model_packages import Baselines, Stored, request
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.packages import DIGEST, VERSION, WORKSPACE
from mlops_bikeshare.flows.runs import baselines
from mlops_bikeshare.flows.runs.baselines import CONSTRAINTS, DATA, FOLDER, MODEL, STATISTICS
from mlops_bikeshare.registry import versions
from mlops_bikeshare.registry.versions import ModelVersion
from mlops_bikeshare.serving.packing import pack

ARCHIVES, ARCHIVE = "packages", "model.tar.gz"
_JSON = "application/json"
Put = dict[str, Stored]


def package(ws: Workspace, city: City, version: ModelVersion, *, group: str) -> dict[str, object]:
    """Store what the package points to, and say what to ask for."""
    with tempfile.TemporaryDirectory(prefix="bikeshare-") as scratch:
        folder, archive = Path(scratch), Path(scratch) / ARCHIVE
        pack(versions.download(version, folder / "model"), archive)
        kept = baselines.fetch(version, folder / "run")
        files = {ARCHIVE: archive}
        if kept is not None:
            found = sorted(path for path in kept.rglob("*.json"))
            files |= {f"{FOLDER}/{path.relative_to(kept).as_posix()}": path for path in found}
        put = {name: _stored(ws, version, name, path) for name, path in files.items()}
        target = baselines.worse_target(version, kept) if kept is not None else None
    return request(
        group=group,
        serving=ws.settings.serving,
        archive=put[ARCHIVE].url,
        facts=_facts(ws, city, version) | ({"model_quality_target": target} if target else {}),
        baselines=_baselines(put, target),
    )


def _facts(ws: Workspace, city: City, version: ModelVersion) -> dict[str, str]:
    return {
        VERSION: version.version,
        DIGEST: version.digest,
        WORKSPACE: ws.settings.workspace,
        "mlflow_model": version.name,
        "run_id": version.run_id,
        "city": city.name,
        "trained_at": versions.registered_at(version).isoformat(timespec="seconds"),
        **{
            tag: version.tags[tag]
            for tag in (versions.FEATURES_TAG, "feature_definition", "data_digest", "git")
            if tag in version.tags
        },
    }


def _stored(ws: Workspace, version: ModelVersion, name: str, path: Path) -> Stored:
    """A file on S3; done again, it is the same object with the same bytes."""
    bucket = ws.settings.serving.bucket
    key = f"{ARCHIVES}/{version.name}/{version.version}-{version.digest[:12]}/{name}"
    kind = "application/gzip" if name == ARCHIVE else _JSON
    body = path.read_bytes()
    with ws.clients.spoken(f"s3://{bucket}/{key}"):
        ws.clients.s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType=kind)
    return Stored(url=f"s3://{bucket}/{key}", sha256=hashlib.sha256(body).hexdigest())


def _baselines(put: Put, target: str | None) -> Baselines:
    """What there is of both, under SageMaker's names."""
    folders = {"ModelDataQuality": DATA} | ({"ModelQuality": f"{MODEL}/{target}"} if target else {})
    parts = {"Statistics": STATISTICS, "Constraints": CONSTRAINTS}
    return {
        kind: {
            part: put[f"{FOLDER}/{folder}/{file}"]
            for part, file in parts.items()
            if f"{FOLDER}/{folder}/{file}" in put
        }
        for kind, folder in folders.items()
    }
