"""A model package: a version as SageMaker's Model Registry holds it.

Source   SageMaker API reference, CreateModelPackage and UpdateModelPackage.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Status = Literal["Approved", "Rejected", "PendingManualApproval"]
APPROVED: Status = "Approved"
REJECTED: Status = "Rejected"
PENDING: Status = "PendingManualApproval"
# What a package's own metadata says, by which it is known again.
VERSION, DIGEST, WORKSPACE = "mlflow_version", "artefact_digest", "workspace"


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One package of a group; `facts`: its customer metadata, empty for one that is not ours."""

    arn: str
    status: str
    facts: Mapping[str, str]
