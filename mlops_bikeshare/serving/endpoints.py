"""Endpoints as they are: which config, which variants, which model versions; waiting and moving.

Input    Clients, names. Identity (version, digest, …) is read from model tags, never from names.
Output   EndpointState, whose variants come heaviest first: the first one leads. Weights are shares
         of 1 only by convention, SageMaker divides by their sum.
Raises   EndpointError: no such endpoint, a failure, a time-out, and the silent one: an update that
         failed, after which SageMaker restores the old config and says InService.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlparse

from mlops_bikeshare.domain.errors import EndpointError
from mlops_bikeshare.serving.archive import unpack
from mlops_bikeshare.serving.session import Clients

Pause = Callable[[float], object]
MOVING = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointVariant:
    """One variant and the identity of its model, from the model's tags."""

    name: str
    model: str
    weight: float
    model_data_url: str
    tags: Mapping[str, str]

    @property
    def version(self) -> str | None:
        """The registered model version that was deployed."""
        return self.tags.get("version")

    @property
    def digest(self) -> str | None:
        """The artefact digest that was deployed."""
        return self.tags.get("digest")


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointState:
    """What an endpoint is now. `failure_reason` may tell of an update that was rolled back."""

    name: str
    status: str
    config: str
    variants: tuple[EndpointVariant, ...]
    failure_reason: str | None
    modified_at: datetime | None = None

    @property
    def leading(self) -> EndpointVariant:
        """The variant that takes most of the traffic."""
        return self.variants[0]

    @property
    def weights(self) -> dict[str, float]:
        """Variant → its weight."""
        return {variant.name: variant.weight for variant in self.variants}

    def untouched_since(self, before: "EndpointState") -> bool:
        """Whether nothing moved between two looks, not even there and back."""
        return (self.config, self.modified_at) == (before.config, before.modified_at)

    def variant(self, name: str) -> EndpointVariant:
        """One variant; EndpointError when there is none of that name."""
        for variant in self.variants:
            if variant.name == name:
                return variant
        names = ", ".join(variant.name for variant in self.variants)
        raise EndpointError(f"endpoint {self.name} has no variant {name}, only {names}")


def find(clients: Clients, endpoint: str) -> EndpointState | None:
    """The endpoint's state, or None when there is no such endpoint."""
    from botocore.exceptions import ClientError

    with clients.spoken(f"endpoint {endpoint}"):
        try:
            answer = clients.sagemaker.describe_endpoint(EndpointName=endpoint)
        except ClientError as error:
            if "Could not find" in error.response["Error"]["Message"]:
                return None
            raise
        config = answer["EndpointConfigName"]
        weights = {
            variant["VariantName"]: float(variant["CurrentWeight"])
            for variant in answer.get("ProductionVariants", [])
        }
        return EndpointState(
            name=endpoint,
            status=answer["EndpointStatus"],
            config=config,
            variants=_variants(clients, config, weights),
            failure_reason=answer.get("FailureReason"),
            modified_at=answer.get("LastModifiedTime"),
        )


def describe(clients: Clients, endpoint: str) -> EndpointState:
    """The endpoint's state; EndpointError when there is no such endpoint."""
    state = find(clients, endpoint)
    if state is None:
        raise EndpointError(f"there is no endpoint {endpoint}: deploy a model to it first")
    return state


def wait_in_service(
    clients: Clients,
    endpoint: str,
    *,
    config: str,
    timeout_s: float,
    poll_s: float = 0.1,
    monotonic: Callable[[], float] = time.monotonic,
    pause: Pause = time.sleep,
) -> EndpointState:
    """Wait until `config` itself is in service; InService with another config is a failure."""
    state = wait_settled(
        clients, endpoint, timeout_s=timeout_s, poll_s=poll_s, monotonic=monotonic, pause=pause
    )
    reason = state.failure_reason or "no reason was given"
    if state.status != "InService":
        raise EndpointError(f"endpoint {endpoint} is {state.status}: {reason}")
    if state.config != config:
        raise EndpointError(
            f"endpoint {endpoint} refused config {config} and restored {state.config}: {reason}"
        )
    return state


def wait_settled(
    clients: Clients,
    endpoint: str,
    *,
    timeout_s: float,
    poll_s: float = 0.1,
    monotonic: Callable[[], float] = time.monotonic,
    pause: Pause = time.sleep,
) -> EndpointState:
    """Wait until an endpoint is no longer on its way from one state to another."""
    deadline = monotonic() + timeout_s
    while True:
        state = describe(clients, endpoint)
        if state.status not in MOVING:
            return state
        if monotonic() >= deadline:
            raise EndpointError(
                f"endpoint {endpoint} is still {state.status} after {timeout_s:.0f} s"
            )
        pause(poll_s)


def wait_gone(
    clients: Clients,
    endpoint: str,
    *,
    timeout_s: float,
    poll_s: float = 0.1,
    monotonic: Callable[[], float] = time.monotonic,
    pause: Pause = time.sleep,
) -> None:
    """Wait until a deleted endpoint is gone."""
    deadline = monotonic() + timeout_s
    while find(clients, endpoint) is not None:
        if monotonic() >= deadline:
            raise EndpointError(f"endpoint {endpoint} is still there after {timeout_s:.0f} s")
        pause(poll_s)


def restore_config(clients: Clients, endpoint: str, config: str) -> None:
    """Start moving an endpoint to an existing config; nothing to do when it is there already."""
    state = describe(clients, endpoint)
    if state.config == config and state.status == "InService":
        return
    with clients.spoken(f"endpoint {endpoint}, config {config}"):
        clients.sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=config)


def create(clients: Clients, endpoint: str, *, config: str) -> None:
    """Start making an endpoint from a config that there is."""
    with clients.spoken(f"endpoint {endpoint}, config {config}"):
        clients.sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName=config)


def set_weights(clients: Clients, endpoint: str, weights: Mapping[str, float]) -> None:
    """Change the weights of some variants."""
    wanted = [{"VariantName": name, "DesiredWeight": weight} for name, weight in weights.items()]
    with clients.spoken(f"endpoint {endpoint}"):
        clients.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=endpoint, DesiredWeightsAndCapacities=wanted
        )


def has_config(clients: Clients, config: str) -> bool:
    """Whether there is such an EndpointConfig."""
    return _config(clients, config) is not None


def config_variants(clients: Clients, config: str) -> tuple[EndpointVariant, ...]:
    """The variants of a config, with the weights that it starts them with."""
    with clients.spoken(f"endpoint config {config}"):
        return _variants(clients, config, {})


def delete_endpoint(clients: Clients, endpoint: str, *, timeout_s: float) -> None:
    """Delete an endpoint and wait; its config, models and archives stay."""
    with clients.spoken(f"endpoint {endpoint}"):
        clients.sagemaker.delete_endpoint(EndpointName=endpoint)
    wait_gone(clients, endpoint, timeout_s=timeout_s)


def fetch_archive(clients: Clients, variant: EndpointVariant, into: Path) -> Path:
    """Download and unpack the archive a variant was made from; the folder of the model."""
    url = urlparse(variant.model_data_url)
    with TemporaryDirectory() as scratch:
        archive = Path(scratch) / "model.tar.gz"
        with clients.spoken(f"archive {variant.model_data_url}"):
            clients.s3.download_file(url.netloc, url.path.removeprefix("/"), str(archive))
        into.mkdir(parents=True, exist_ok=True)
        unpack(archive, into)
    return into


def _variants(
    clients: Clients, config: str, weights: Mapping[str, float]
) -> tuple[EndpointVariant, ...]:
    described = clients.sagemaker.describe_endpoint_config(EndpointConfigName=config)
    made_at = described["CreationTime"]
    found = [_variant(clients, e, weights, made_at) for e in described["ProductionVariants"]]
    return tuple(sorted(found, key=lambda variant: -variant.weight))


@lru_cache(maxsize=256)
def _model(clients: Clients, name: str, made_at: datetime) -> tuple[str, str]:  # noqa: ARG001
    """ARN and archive of a model, which never change: they are asked for once for each config.

    `made_at`: of the config; one of the same name that was made anew may have another model.
    """
    model = clients.sagemaker.describe_model(ModelName=name)
    return model["ModelArn"], model["PrimaryContainer"]["ModelDataUrl"]


def _config(clients: Clients, config: str) -> Mapping[str, Any] | None:
    from botocore.exceptions import ClientError

    with clients.spoken(f"endpoint config {config}"):
        try:
            found: Mapping[str, Any] = clients.sagemaker.describe_endpoint_config(
                EndpointConfigName=config
            )
        except ClientError as error:
            if "Could not find" in error.response["Error"]["Message"]:
                return None
            raise
        return found


def _variant(
    clients: Clients, entry: Mapping[str, Any], weights: Mapping[str, float], made_at: datetime
) -> EndpointVariant:
    name, model = entry["VariantName"], entry["ModelName"]
    arn, archive = _model(clients, model, made_at)
    pages = clients.sagemaker.get_paginator("list_tags").paginate(ResourceArn=arn)
    return EndpointVariant(
        name=name,
        model=model,
        weight=weights.get(name, float(entry.get("InitialVariantWeight", 1.0))),
        model_data_url=archive,
        tags={tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]},
    )
