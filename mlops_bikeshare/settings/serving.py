"""Settings of what runs on SageMaker: endpoints, jobs, its model registry."""

from dataclasses import dataclass
from typing import Annotated, Literal

from mlops_bikeshare.domain.bounds import Between, Spelt


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingSettings:
    """Where endpoints live and what they are made of."""

    port: Annotated[
        int, "port of the local endpoint host; 0 takes a free one", Between(0, 65_535)
    ] = 8181
    host: Annotated[str, "address it listens on; other than loopback only with a token"] = (
        "127.0.0.1"
    )
    token: Annotated[str | None, "what every request to it must carry; set it on both sides"] = None
    pickles: Annotated[
        Literal["refuse", "allow"],
        "what the local host does with models that hold pickles, which run what their author wrote",
    ] = "refuse"
    bucket: Annotated[
        str,
        "bucket where mlflow.sagemaker puts model archives",
    ] = "bikeshare-models"
    execution_role_arn: Annotated[
        str,
        "role that endpoints run under; the local host does not check it",
    ] = "arn:aws:iam::000000000000:role/bikeshare-sagemaker"
    image_url: Annotated[
        str,
        "container image of the endpoints; the local host runs none",
    ] = "bikeshare-serving:local"
    instance_type: Annotated[
        str,
        "machine of the endpoints; the local host has its own",
    ] = "ml.m5.large"
    timeout_s: Annotated[int, "longest wait for an endpoint, seconds", Between(1)] = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsSettings:
    """Features and trainings as SageMaker's jobs: `mlflow run . --backend bikeshare-sagemaker`."""

    image_url: Annotated[
        str | None, "container image of the jobs (ops/docker/lambda.Dockerfile)"
    ] = None
    role_arn: Annotated[str | None, "role that the jobs run under"] = None
    instance_type: Annotated[str, "machine of a job"] = "ml.m5.xlarge"
    volume_gb: Annotated[int, "its disk, gigabytes", Between(5, 1000)] = 30
    timeout_s: Annotated[int, "seconds after which SageMaker stops a job", Between(60, 432_000)] = (
        14_400
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySettings:
    """SageMaker's Model Registry beside MLflow's, which stays the one that decides."""

    sagemaker: Annotated[
        Literal["no", "yes"],
        "yes: every version is a model package of SageMaker too (profile aws), with baselines of "
        "its training data and its own test",
    ] = "no"
    package_group_prefix: Annotated[
        str,
        "model package groups are called PREFIX-CITY; the roles' rights end at bikeshare-*",
        Spelt(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", "of up to 40 letters, digits and hyphens"),
    ] = "bikeshare"
