"""SageMaker's Model Registry on the wire: groups, packages, their approval.

Requests and answers are validated against botocore's model. As AWS does, CreateModelPackage with a
ClientToken that it knows answers with the package of then, an update leaves alone what it is not
told, and packages come in pages. `closed`: everything is denied. `stuck`: packages that cannot be
updated. `lost`: so many next writes are done, and answered by nobody.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from botocore import xform_name
from botocore.validate import ParamValidator

from tests.asked_permissions import ACCOUNT, REGION
from tests.sagemaker_jobs_wire import MODEL, wrong_in
from tests.wire import Application, Environ, RefusedError, json_service, operation_of

PAGE = 2
_READS = ("List", "Describe")
_MAKER: dict[str, Any] = {"CreatedBy": {}, "CreationTime": 1_750_000_000}


@dataclass
class ModelRegistry:
    """What is registered; `packages`: ARN → what Describe answers, in order."""

    groups: dict[str, dict[str, Any]] = field(default_factory=dict)
    packages: dict[str, dict[str, Any]] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    closed: bool = False
    stuck: set[str] = field(default_factory=set)
    lost: int = 0

    def beside(self, others: Application) -> Application:
        """The service, which hands on what is not about packages."""
        mine = json_service(self.answer)

        def application(environ: Environ, start_response: Any) -> Iterable[bytes]:
            ours = "ModelPackage" in operation_of(environ)
            return (mine if ours else others)(environ, start_response)

        return application

    def answer(self, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        """Do what an operation asks."""
        if self.closed:
            raise RefusedError("Model Registry is closed.", kind="AccessDeniedException")
        self.asked.append(operation)
        if wrong := wrong_in(operation, asked):
            raise RefusedError(wrong)
        told: dict[str, Any] = getattr(self, xform_name(operation))(asked)
        shape = MODEL.operation_model(operation).output_shape
        if shape is not None:
            report = ParamValidator().validate(told, shape)
            assert not report.has_errors(), report.generate_report()
        if self.lost and not operation.startswith(_READS):
            self.lost -= 1
            raise ConnectionError
        return told

    def create_model_package_group(self, asked: dict[str, Any]) -> dict[str, Any]:
        name = asked["ModelPackageGroupName"]
        if name in self.groups:
            raise RefusedError(f"Model Package Group already exists: {name}")
        arn = _arn(f"model-package-group/{name}")
        self.groups[name] = {**asked, "ModelPackageGroupArn": arn}
        return {"ModelPackageGroupArn": arn}

    def describe_model_package_group(self, asked: dict[str, Any]) -> dict[str, Any]:
        name = asked["ModelPackageGroupName"]
        if name not in self.groups:
            raise RefusedError(f"ModelPackageGroup {name} does not exist.")
        return {**self.groups[name], **_MAKER, "ModelPackageGroupStatus": "Completed"}

    def create_model_package(self, asked: dict[str, Any]) -> dict[str, Any]:
        group, token = asked["ModelPackageGroupName"], asked["ClientToken"]
        if group not in self.groups:
            raise RefusedError(f"ModelPackageGroup {group} does not exist.")
        if token not in self.tokens:
            number = 1 + sum(p["ModelPackageGroupName"] == group for p in self.packages.values())
            arn = self.tokens[token] = _arn(f"model-package/{group}/{number}")
            told = {key: value for key, value in asked.items() if key != "ClientToken"}
            self.packages[arn] = {**told, **_MAKER, "ModelPackageArn": arn} | {
                "ModelPackageVersion": number,
                "ModelPackageStatus": "Completed",
                "ModelPackageStatusDetails": {"ValidationStatuses": []},
            }
        return {"ModelPackageArn": self.tokens[token]}

    def describe_model_package(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"ModelPackageName": "of-a-group", **self._known(asked["ModelPackageName"])}

    def update_model_package(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["ModelPackageArn"] in self.stuck:
            raise RefusedError("The package is in use.", kind="ConflictException")
        self._known(asked["ModelPackageArn"]).update(asked)
        return {"ModelPackageArn": asked["ModelPackageArn"]}

    def list_model_packages(self, asked: dict[str, Any]) -> dict[str, Any]:
        group, start = asked["ModelPackageGroupName"], int(asked.get("NextToken", 0))
        mine = [p for p in self.packages.values() if p["ModelPackageGroupName"] == group]
        shown = ("ModelPackageArn", "ModelPackageStatus", "CreationTime", "ModelApprovalStatus")
        page = [{key: one[key] for key in shown} for one in mine[start : start + PAGE]]
        more = {"NextToken": str(start + PAGE)} if len(mine) > start + PAGE else {}
        return {"ModelPackageSummaryList": page, **more}

    def _known(self, arn: str) -> dict[str, Any]:
        if arn not in self.packages:
            raise RefusedError(f"ModelPackage {arn} does not exist.")
        return self.packages[arn]


def _arn(resource: str) -> str:
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{resource}"
