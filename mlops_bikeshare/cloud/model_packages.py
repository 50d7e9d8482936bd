"""SageMaker's Model Registry: the packages of a group, and what CreateModelPackage is asked.

Input    a client of SageMaker, the group's name; for a request: settings (`[serving]`), the archive
         on S3, baselines as files on S3, the facts by which the package is known again.
Output   Packages, oldest first; the arguments of CreateModelPackage.
Raises   what botocore raises.
Source   SageMaker API reference; developer guide, "Register a Model Version", "Baseline
         calculation, drift detection and lifecycle with ClarifyCheck and QualityCheck steps".
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlops_bikeshare.domain.packages import DIGEST, PENDING, VERSION, WORKSPACE, Package, Status
from mlops_bikeshare.settings import ServingSettings

CONTENT = "application/vnd.apache.parquet"
ANSWERS = "application/json"
TOKEN = 36  # characters that ClientToken takes
_LONGEST_FACT = 256
_UNTOLD = re.compile(r"[^\w .:/=+\-@]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A file on S3 and its sha256."""

    url: str
    sha256: str


Baselines = Mapping[str, Mapping[str, Stored]]  # ModelDataQuality → Statistics → file


def inference(serving: ServingSettings, archive: Any) -> dict[str, Any]:
    """What a version runs on: the image and the machine of the endpoints."""
    return {
        "Containers": [{"Image": serving.image_url, "ModelDataUrl": archive}],
        "SupportedContentTypes": [CONTENT],
        "SupportedResponseMIMETypes": [ANSWERS],
        "SupportedRealtimeInferenceInstanceTypes": [serving.instance_type],
    }


def request(
    *,
    group: str,
    serving: ServingSettings,
    archive: str,
    facts: Mapping[str, str],
    baselines: Baselines,
) -> dict[str, Any]:
    """A package that waits for approval; asked again, SageMaker answers with the same one."""
    told = {key: _UNTOLD.sub(" ", value)[:_LONGEST_FACT] for key, value in facts.items() if value}
    identity = "/".join((group, *(facts[key] for key in (WORKSPACE, VERSION, DIGEST))))
    metrics = {kind: _sources(files) for kind, files in baselines.items() if files}
    return {
        "ModelPackageGroupName": group,
        "ModelPackageDescription": f"Version {facts[VERSION]} of MLflow's registry.",
        "ModelApprovalStatus": PENDING,
        "InferenceSpecification": inference(serving, archive),
        "CustomerMetadataProperties": told,
        "ClientToken": hashlib.sha256(identity.encode()).hexdigest()[:TOKEN],
        **({"ModelMetrics": metrics, "DriftCheckBaselines": metrics} if metrics else {}),
    }


def _sources(files: Mapping[str, Stored]) -> dict[str, Any]:
    return {
        part: {
            "ContentType": "application/json",
            "ContentDigest": f"sha256:{file.sha256}",
            "S3Uri": file.url,
        }
        for part, file in files.items()
    }


@dataclass(frozen=True)
class PackageGroup:
    """One group; `client` is SageMaker's control plane."""

    client: Any
    name: str

    def packages(self) -> list[Package]:
        """Every package; none where there is no group yet."""
        if not self._exists():
            return []
        pages = self.client.get_paginator("list_model_packages").paginate(
            ModelPackageGroupName=self.name, SortBy="CreationTime", SortOrder="Ascending"
        )
        listed = [one for page in pages for one in page["ModelPackageSummaryList"]]
        return [self._package(one["ModelPackageArn"]) for one in listed]

    def create(self, asked: Mapping[str, Any]) -> str:
        """Register a package, and the group before its first one; the package's ARN."""
        if not self._exists():
            self._open()
        return str(self.client.create_model_package(**asked)["ModelPackageArn"])

    def set_status(self, arn: str, status: Status, *, why: str) -> None:
        """Approve, reject, or let wait again."""
        self.client.update_model_package(
            ModelPackageArn=arn, ModelApprovalStatus=status, ApprovalDescription=why
        )

    def _package(self, arn: str) -> Package:
        told = self.client.describe_model_package(ModelPackageName=arn)
        facts = told.get("CustomerMetadataProperties", {})
        return Package(arn=arn, status=told.get("ModelApprovalStatus", ""), facts=facts)

    def _open(self) -> None:
        """Create the group; one that is there by now, as after an answer that was lost, will do."""
        from botocore.exceptions import ClientError

        about = "Versions of MLflow's registry, kept in step by bikeshare registry sync."
        try:
            self.client.create_model_package_group(
                ModelPackageGroupName=self.name, ModelPackageGroupDescription=about
            )
        except ClientError:
            if not self._exists():
                raise

    def _exists(self) -> bool:
        from botocore.exceptions import ClientError

        try:
            self.client.describe_model_package_group(ModelPackageGroupName=self.name)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationException":
                raise
            return False
        return True
