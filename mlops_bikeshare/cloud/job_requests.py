"""Features and trainings as SageMaker's jobs: what SageMaker is asked to create.

Input    a Job: name, command, its parameters and the environment; settings (`[jobs]`).
Output   Request: which operation, and its arguments.
Raises   SettingsError when image or role are not set.
Source   AWS, SageMaker API reference; developer guide, "How Amazon SageMaker AI runs your training
         image", "How Amazon SageMaker Processing builds your container".

A job reads and writes the lake and MLflow itself, as commands do everywhere, so it has no channels
of data; what a training leaves under /opt/ml/model, SageMaker archives into the bucket of models.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mlops_bikeshare.domain.errors import SettingsError
from mlops_bikeshare.settings import Settings

Kind = Literal["Processing", "Training"]
KINDS: Mapping[str, Kind] = {"features": "Processing", "train": "Training"}
CONTAINER = ("python3", "-m", "projects.sagemaker")
ARCHIVES = "trainings"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """An entry point with its parameters; empty ones are not given."""

    name: str
    command: str
    parameters: Mapping[str, Any]
    environment: Mapping[str, str]

    @property
    def kind(self) -> Kind:
        """Which job of SageMaker it is; what only a pipeline runs is a processing job."""
        return KINDS.get(self.command, "Processing")

    @property
    def given(self) -> dict[str, Any]:
        """The parameters that have a value."""
        return {key: value for key, value in self.parameters.items() if value}


@dataclass(frozen=True, slots=True)
class Request:
    """What boto3 is asked: the kind of job, and the arguments."""

    kind: Kind
    arguments: dict[str, Any]

    @property
    def name(self) -> str:
        """The job's name."""
        return str(self.arguments[f"{self.kind}JobName"])


def request(job: Job, settings: Settings) -> Request:
    """The arguments for a job."""
    image, role = _set(settings, "image_url"), _set(settings, "role_arn")
    common = {
        f"{job.kind}JobName": job.name,
        "RoleArn": role,
        "StoppingCondition": {"MaxRuntimeInSeconds": settings.jobs.timeout_s},
        "Environment": dict(job.environment),
        "Tags": [
            {"Key": "project", "Value": "bikeshare"},
            {"Key": "command", "Value": job.command},
        ],
    }
    of_kind = _processing if job.kind == "Processing" else _training
    return Request(job.kind, common | of_kind(job, settings, image))


def environment(settings: Settings) -> dict[str, str]:
    """The settings that differ by account, as the jobs of schedules have them too."""
    return {
        "BIKESHARE_PROFILE": "aws",
        "BIKESHARE_REGION": settings.region,
        "BIKESHARE_WORKSPACE": settings.workspace,
        "BIKESHARE_DEFAULT_CITY": settings.default_city,
        "BIKESHARE_LAKE__BUCKET": settings.lake.bucket,
        "BIKESHARE_LAKE__DATABASE": settings.lake.database,
        "BIKESHARE_LAKE__WORKGROUP": settings.lake.workgroup,
        "BIKESHARE_STATE_DIR": "/tmp/bikeshare",  # noqa: S108 - the container's own disk
        **({"BIKESHARE_ARTIFACTS_URI": settings.artifacts_uri} if settings.artifacts_uri else {}),
        **(_registry(settings) if settings.registry.sagemaker == "yes" else {}),
    }


def _registry(settings: Settings) -> dict[str, str]:
    """What a training needs that registers its version in SageMaker too."""
    return {
        "BIKESHARE_REGISTRY__SAGEMAKER": settings.registry.sagemaker,
        "BIKESHARE_REGISTRY__PACKAGE_GROUP_PREFIX": settings.registry.package_group_prefix,
        "BIKESHARE_SERVING__BUCKET": settings.serving.bucket,
        "BIKESHARE_SERVING__IMAGE_URL": settings.serving.image_url,
        "BIKESHARE_SERVING__INSTANCE_TYPE": settings.serving.instance_type,
    }


def _processing(job: Job, settings: Settings, image: str) -> dict[str, Any]:
    words = [word for key, value in job.given.items() for word in (f"--{key}", value)]
    return {
        "AppSpecification": {
            "ImageUri": image,
            "ContainerEntrypoint": list(CONTAINER),
            "ContainerArguments": [job.command, *words],
        },
        "ProcessingResources": {"ClusterConfig": _machine(settings)},
    }


def _training(job: Job, settings: Settings, image: str) -> dict[str, Any]:
    return {
        "AlgorithmSpecification": {
            "TrainingImage": image,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": list(CONTAINER),
            "ContainerArguments": [job.command],
        },
        "HyperParameters": job.given,
        "OutputDataConfig": {"S3OutputPath": f"s3://{settings.serving.bucket}/{ARCHIVES}"},
        "ResourceConfig": _machine(settings),
    }


def _machine(settings: Settings) -> dict[str, Any]:
    jobs = settings.jobs
    return {
        "InstanceType": jobs.instance_type,
        "InstanceCount": 1,
        "VolumeSizeInGB": jobs.volume_gb,
    }


def _set(settings: Settings, key: str) -> str:
    value: str | None = getattr(settings.jobs, key)
    if value is None:
        msg = f"jobs.{key} is not set: a job of SageMaker needs it"
        raise SettingsError(f"{msg}; set BIKESHARE_JOBS__{key.upper()}, see docs/integrations.md")
    return value
