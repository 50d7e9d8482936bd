"""Which calls of AWS each job makes: every request of every boto3 client of this process.

Input    the job that runs (`doing`), and what botocore is about to send.
Output   job → action → resources, as ARNs with <bucket>, <workspace>, <region> ... in the place of
         what an account gives; `ops/iam/calls.json` holds it, `make iam-calls` records it anew.
Source   AWS, service authorization reference: which permission an operation asks for, and of what.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakSet

import pytest

from mlops_bikeshare.flows.runs.packaged import ARCHIVES

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "ops" / "iam" / "calls.json"
RECORD = "BIKESHARE_RECORD_CALLS"
JOBS = (
    *("ingest", "infer", "monitor", "drift", "compact"),
    *("sagemaker_execution", "sagemaker_jobs", "dashboard", "deployer", "job_starter", "gate"),
)
# A client with this attribute is a service's own: what it asks is implied, not called.
IN_ANOTHERS_NAME = "in_anothers_name"
Calls = dict[str, dict[str, set[str]]]
_S3 = {
    "HeadObject": "GetObject",
    "ListObjectsV2": "ListBucket",
    "ListObjects": "ListBucket",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "DeleteObjects": "DeleteObject",
}
_KINDS = {
    "EndpointName": "endpoint",
    "EndpointConfigName": "endpoint-config",
    "ModelName": "model",
    "ProcessingJobName": "processing-job",
    "TrainingJobName": "training-job",
}
# What is made or listed in a group is a question of both.
_GROUP = "model-package-group"
_PACKAGES = {
    **dict.fromkeys(("CreateModelPackage", "ListModelPackages"), (_GROUP, "model-package")),
    **dict.fromkeys(("CreateModelPackageGroup", "DescribeModelPackageGroup"), (_GROUP,)),
}
_BUCKETS = {"lake": "<bucket>", "models": "<models>"}
_LAKE = "arn:aws:s3:::<bucket>/<workspace>"
_POSTINGS = f"{_LAKE}/monitoring/postings/*"
# What a day on the wire need not show, with the place in the code that asks for it.
RARE: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    # a posting that a kill interrupted: monitoring/cloudwatch.py, _owed
    *(
        (job, action, (resource,), "_owed")
        for job in ("ingest", "infer", "monitor", "drift", "deployer")
        for action, resource in (
            ("cloudwatch:GetMetricData", "*"),
            ("cloudwatch:PutMetricData", "*"),
            ("s3:GetObject", _POSTINGS),
            ("s3:PutObject", _POSTINGS),
        )
    ),
    ("ingest", "s3:PutObject", (f"{_LAKE}/quarantine/*",), "flows/ingest.py, _quarantine"),
    ("ingest", "s3:GetObject", (f"{_LAKE}/curated/*",), "flows/ingest.py, keep_information"),
    ("infer", "s3:GetObject", (f"{_LAKE}/mlflow/*",), "flows/judging/predicted.py, the fallback"),
    ("infer", "s3:GetObject", (f"{_LAKE}/raw/*",), "flows/features.py, known_at: the weather"),
    ("drift", "s3:PutObject", (f"{_LAKE}/monitoring/monitoring_drift/*",), "drift_windows.py"),
    ("drift", "s3:GetObject", (f"{_LAKE}/monitoring/monitoring_drift/*",), "drift_windows.py"),
    ("drift", "s3:PutObject", (f"{_LAKE}/mlflow/*",), "drift_windows.py: the page in the run"),
    ("monitor", "s3:GetObject", (f"{_LAKE}/features/*",), "flows/judging/estimates.py"),
    ("monitor", "s3:GetObject", (f"{_LAKE}/monitoring/monitoring_quality/*",), "quality_record.py"),
    *(
        ("compact", action, (f"{_LAKE}/{folder}/*",), "flows/compact.py, TABLES and PASSING")
        for action in ("s3:GetObject", "s3:PutObject", "s3:DeleteObject")
        for folder in (
            *("raw", "curated", "features", "inference", "quarantine"),
            *("monitoring/monitoring_quality", "monitoring/monitoring_drift"),
            *("monitoring/monitoring_audit", "feedback", "whatif"),
        )
    ),
    # features are built, models trained where releases run; histories are imported by people
    *(
        (
            "deployer",
            "s3:PutObject",
            (f"{_LAKE}/{folder}/*",),
            "flows/features.py, runs/champion.py",
        )
        for folder in ("features", "state/retrain")
    ),
    ("deployer", "s3:GetObject", (f"{_LAKE}/state/retrain/*",), "flows/runs/champion.py"),
    ("deployer", "s3:GetObject", (f"{_LAKE}/state/incidents/*",), "flows/releasing/incident.py"),
    (
        "deployer",
        "sagemaker:UpdateEndpointWeightsAndCapacities",
        ("arn:aws:sagemaker:<region>:<account>:endpoint/bikeshare-*",),
        "serving/endpoints.py, set_weights: a canary",
    ),
    # it reads what production served, as the gate's charts and System Health do
    ("dashboard", "cloudwatch:GetMetricData", ("*",), "dashboards/readings"),
    ("dashboard", "s3:GetObject", (f"{_LAKE}/monitoring/drift_reports/*",), "dashboards/readings"),
    ("gate", "cloudwatch:ListMetrics", ("*",), "flows/judging/gate_evidence.py"),
)
# Asked for by anyone, and allowed to all.
_FREE = ("sts:GetCallerIdentity",)
_ALARMS = ("PutMetricAlarm", "DeleteAlarms")


class Recorder:
    """What was asked of AWS so far."""

    def __init__(self) -> None:
        self.job: str | None = None
        self.calls: Calls = {job: {} for job in JOBS}

    @contextmanager
    def doing(self, job: str) -> Iterator[None]:
        """What is asked in the block is the job's; outside of all blocks, nobody's."""
        before, self.job = self.job, job
        try:
            yield
        finally:
            self.job = before

    def note(self, service: str, operation: str, params: Mapping[str, Any]) -> None:
        """Keep one call."""
        action, resources = permission(service, operation, params)
        if self.job is not None and action not in _FREE:
            self.calls[self.job].setdefault(action, set()).update(resources)

    def unknown(self, known: Calls) -> list[str]:
        """What was asked and is not in `known`."""
        return sorted(
            f"{job}: {action} on {resource}"
            for job, actions in self.calls.items()
            for action, resources in actions.items()
            for resource in resources - known.get(job, {}).get(action, set())
        )


@contextmanager
def recording() -> Iterator[Recorder]:
    """Listen to every client; calls that are in no file are an error when the block ends."""
    from botocore.client import BaseClient

    found, send = Recorder(), BaseClient._make_api_call

    asked: WeakSet[Any] = WeakSet()

    def noted(client: Any, operation: str, params: dict[str, Any]) -> Any:
        asked.add(client)
        if not getattr(client, IN_ANOTHERS_NAME, False):
            found.note(client.meta.service_model.service_name, operation, params)
        return send(client, operation, params)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", noted)
        yield found
    for client in list(asked):
        client.close()
    target = os.environ.get(RECORD)
    if target:
        path = Path(target)
        write(path, merged(merged(found.calls, rare()), read(path) if path.is_file() else {}))
    else:
        new = found.unknown(read(FILE))
        assert not new, f"run `make iam-calls`, and review what is new: {new}"


def permission(service: str, operation: str, params: Mapping[str, Any]) -> tuple[str, set[str]]:
    """The permission that an operation asks for, and of what."""
    if service == "s3":
        return f"s3:{_S3.get(operation, operation)}", {_of_s3(operation, params)}
    service = {"sagemaker-runtime": "sagemaker", "monitoring": "cloudwatch"}.get(service, service)
    return f"{service}:{operation}", _of_others(service, operation, params)


def _of_s3(operation: str, params: Mapping[str, Any]) -> str:
    bucket = _BUCKETS[params["Bucket"].split("-")[2]]
    if operation.startswith("List") or "Key" not in params:
        return f"arn:aws:s3:::{bucket}"
    if bucket == "<models>":
        kept = f"{ARCHIVES}/" if params["Key"].startswith(f"{ARCHIVES}/") else ""
        return f"arn:aws:s3:::{bucket}/{kept}*"
    _, folder, *rest = params["Key"].split("/")
    if folder == "state" and len(rest) == 1:  # a document of one name
        return f"arn:aws:s3:::{bucket}/<workspace>/state/{rest[0]}"
    deep = folder in {"state", "monitoring"} and len(rest) > 1
    folders = [folder, rest[0]] if deep else [folder]
    return "/".join([f"arn:aws:s3:::{bucket}/<workspace>", *folders, "*"])


def _of_others(service: str, operation: str, params: Mapping[str, Any]) -> set[str]:
    place = f"arn:aws:{service}:<region>:<account>"
    if service == "sagemaker":
        return _of_sagemaker(operation, params)
    if service == "sns":
        return {f"{place}:bikeshare-<environment>-*"}
    if service == "athena":
        return {f"{place}:workgroup/bikeshare-<environment>"}
    if service == "glue":
        tables = {f"{place}:table/<database>/*"} if "Table" in operation else set()
        return tables | {f"{place}:catalog", f"{place}:database/<database>"}
    if operation in _ALARMS:
        return {f"{place}:alarm:bikeshare-*"}
    return {"*"}


def _of_sagemaker(operation: str, params: Mapping[str, Any]) -> set[str]:
    place = "arn:aws:sagemaker:<region>:<account>"
    if "ModelPackage" in operation:
        kinds = _PACKAGES.get(operation, ("model-package",))
        return {f"{place}:{kind}/bikeshare-*" for kind in kinds}
    named = {kind for key, kind in _KINDS.items() if key in params}
    if operation == "CreateEndpointConfig":
        named = {"endpoint-config"}
    if "ResourceArn" in params:
        named = {params["ResourceArn"].split(":")[5].partition("/")[0]}
    return {f"{place}:{kind}/bikeshare-*" for kind in named} or {"*"}


def rare() -> Calls:
    """The calls of `RARE`."""
    found: Calls = {job: {} for job in JOBS}
    for job, action, resources, _ in RARE:
        found[job].setdefault(action, set()).update(resources)
    return found


def read(path: Path) -> Calls:
    """The calls of a file."""
    document = json.loads(path.read_text(encoding="utf-8"))
    return {
        job: {entry["action"]: set(entry["resources"]) for entry in entries}
        for job, entries in document.items()
    }


def merged(one: Calls, other: Calls) -> Calls:
    """What is in either."""
    return {
        job: {
            action: one.get(job, {}).get(action, set()) | other.get(job, {}).get(action, set())
            for action in {*one.get(job, {}), *other.get(job, {})}
        }
        for job in JOBS
    }


def write(path: Path, calls: Calls) -> None:
    """The file, in an order that shows what changed."""
    document = {
        job: [
            {"action": action, "resources": sorted(resources)}
            for action, resources in sorted(calls[job].items())
        ]
        for job in JOBS
    }
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
