"""Settings of the endpoints: where they live and what they are made of."""

from dataclasses import dataclass
from typing import Annotated

from mlops_bikeshare.domain.bounds import Between


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
