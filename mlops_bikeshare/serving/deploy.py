"""Put a model on an endpoint with an unmodified mlflow.sagemaker, and know what that made.

Input    a model URI (or a folder with MLmodel) and the tags that identify it: version, digest, …
Output   Deployment: names of the new model, config and archive. Nothing is waited for;
         `endpoints.wait_in_service(config=deployment.config)` says whether it came to be.
Raises   EndpointError. What a failed call left behind (model, config, archive) is deleted first. A
         call whose answer was lost may have worked: an endpoint that took the config is a success.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlparse

from mlops_bikeshare.domain.errors import EndpointError
from mlops_bikeshare.domain.variants import ALL_TRAFFIC
from mlops_bikeshare.serving.endpoints import MOVING, delete_endpoint, find, wait_settled
from mlops_bikeshare.serving.session import Clients, Created

FAILED_DELETE_S = 60.0
SETTLED_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosting:
    """What SageMaker must be told about where models run and where archives lie."""

    bucket: str
    image_url: str
    execution_role_arn: str
    instance_type: str = "ml.m5.large"
    instance_count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """The names that one deploy made."""

    endpoint: str
    model: str
    config: str
    archive_url: str


def deploy(
    clients: Clients,
    *,
    endpoint: str,
    model_uri: str,
    hosting: Hosting,
    tags: Mapping[str, str],
    variant_name: str = ALL_TRAFFIC,
) -> Deployment:
    """Create the endpoint, or replace what it serves; returns as soon as SageMaker has begun."""
    from botocore.exceptions import BotoCoreError, ClientError
    from mlflow.exceptions import MlflowException
    from mlflow.sagemaker import SageMakerDeploymentClient

    exists = _replaceable(clients, endpoint)
    with clients.default_session() as created:
        client = SageMakerDeploymentClient(f"sagemaker:/{clients.region}")
        act = client.update_deployment if exists else client.create_deployment
        try:
            # the exceptions of mlflow's own are not botocore's, and both end here
            act(
                endpoint,
                model_uri=model_uri,
                flavor="python_function",
                config=_config(clients, hosting, tags, variant_name, exists=exists),
            )
        except (MlflowException, ClientError, BotoCoreError, OSError) as error:
            if not _took(clients, endpoint, created.configs):
                undo(clients, created)
                raise EndpointError(
                    f"endpoint {endpoint}: cannot deploy {model_uri}: {error}"
                ) from error
        except BaseException:
            undo(clients, created)
            raise
    bucket, key = created.archives[-1]
    return Deployment(
        endpoint=endpoint,
        model=created.models[-1],
        config=created.configs[-1],
        archive_url=f"s3://{bucket}/{key}",
    )


def discard(clients: Clients, deployment: Deployment) -> None:
    """Delete what a deployment made that came to nothing; what serves, or still may, stays."""
    state = find(clients, deployment.endpoint)
    if state is not None and state.status in MOVING:
        return
    if state is not None and state.config == deployment.config:
        if state.status != "Failed":
            return
        delete_endpoint(clients, deployment.endpoint, timeout_s=FAILED_DELETE_S)
    url = urlparse(deployment.archive_url)
    archive = (url.netloc, url.path.removeprefix("/"))
    undo(clients, Created([deployment.model], [deployment.config], [archive]))


def undo(clients: Clients, created: Created) -> None:
    """Delete what a deploy made, in reverse; what is not there is not an error."""
    from botocore.exceptions import BotoCoreError, ClientError

    steps = [
        *(
            (clients.sagemaker.delete_endpoint_config, {"EndpointConfigName": name})
            for name in created.configs
        ),
        *((clients.sagemaker.delete_model, {"ModelName": name}) for name in created.models),
        *((clients.s3.delete_object, {"Bucket": b, "Key": k}) for b, k in created.archives),
    ]
    for delete, names in steps:
        try:
            delete(**names)
        except (ClientError, BotoCoreError):
            # The deploy's own failure is the one to report; this one may be its cause.
            continue


def _took(clients: Clients, endpoint: str, configs: Sequence[str]) -> bool:
    """Whether the endpoint serves, or may be about to serve, one of these configs."""
    if not configs:
        return False
    try:
        if find(clients, endpoint) is None:
            return False
        return wait_settled(clients, endpoint, timeout_s=SETTLED_S).config in configs
    except EndpointError:
        return _moves(clients, endpoint)


def _moves(clients: Clients, endpoint: str) -> bool:
    """What still moves after all that time, or does not say, may serve what was made for it."""
    try:
        state = find(clients, endpoint)
    except EndpointError:
        return True
    return state is not None and state.status in MOVING


def _replaceable(clients: Clients, endpoint: str) -> bool:
    state = find(clients, endpoint)
    if state is not None and state.status == "Failed":
        # SageMaker updates no endpoint that never came up; it has to make room.
        delete_endpoint(clients, endpoint, timeout_s=FAILED_DELETE_S)
        return False
    return state is not None


def _config(
    clients: Clients,
    hosting: Hosting,
    tags: Mapping[str, str],
    variant_name: str,
    *,
    exists: bool,
) -> dict[str, Any]:
    return {
        "region_name": clients.region,
        "mode": "replace" if exists else "create",
        "bucket": hosting.bucket,
        "image_url": hosting.image_url,
        "execution_role_arn": hosting.execution_role_arn,
        "instance_type": hosting.instance_type,
        "instance_count": hosting.instance_count,
        "variant_name": variant_name,
        "tags": dict(tags),
        # without `archive` a replace deletes the old model, and with it the way back
        "archive": True,
        # a synchronous update sleeps 20 s before its first look
        "synchronous": False,
    }
