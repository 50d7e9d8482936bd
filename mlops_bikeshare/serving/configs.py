"""EndpointConfigs made from another: the same machines and surroundings, other models or weights.

Input    Clients, the name of a config that exists, variants as name → (model, first weight).
Output   a config under a new name. Data capture, shadow, network and encryption are as in the old
         one: an update would otherwise end them without a word.
Raises   EndpointError for a second variant beside a shadow, which SageMaker does not have.
Source   SageMaker API reference, CreateEndpointConfig; UpdateEndpoint starts a config with the
         config's own weights, whatever they were when it was last left.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from mlops_bikeshare.domain.errors import EndpointError
from mlops_bikeshare.serving import endpoints
from mlops_bikeshare.serving.session import Clients

_SHADOWS = "ShadowProductionVariants"
_KEPT = (
    _SHADOWS,
    "DataCaptureConfig",
    "AsyncInferenceConfig",
    "ExplainerConfig",
    "KmsKeyId",
    "VpcConfig",
    "ExecutionRoleArn",
    "EnableNetworkIsolation",
)
_LONGEST_NAME = 63
_HASH = 8


def create(
    clients: Clients,
    config: str,
    *,
    like: str,
    variants: Mapping[str, tuple[str, float]],
    instance_type: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Create a config; one that exists already under this name is left as it is."""
    if endpoints.has_config(clients, config):
        return
    old = _described(clients, like)
    if old.get(_SHADOWS) and len(variants) > 1:
        msg = f"config {like} has a shadow variant, which SageMaker allows beside one variant alone"
        raise EndpointError(f"{msg}; end the shadow's test before traffic is shared out")
    machines = {entry["VariantName"]: entry for entry in old["ProductionVariants"]}
    first = old["ProductionVariants"][0]
    other = {"InstanceType": instance_type} if instance_type is not None else {}
    made = [
        {**machines.get(name, first), **other}
        | {"VariantName": name, "ModelName": model, "InitialVariantWeight": weight}
        for name, (model, weight) in variants.items()
    ]
    kept = {key: old[key] for key in _KEPT if old.get(key)}
    told = {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]} if tags else {}
    with clients.spoken(f"endpoint config {config}"):
        clients.sagemaker.create_endpoint_config(
            EndpointConfigName=config, ProductionVariants=made, **kept, **told
        )


def starting_with(clients: Clients, config: str, weights: Mapping[str, float]) -> str:
    """The config itself if it starts with these weights, else a copy that does; its name.

    A canary's config starts with all traffic on Baseline: an endpoint that goes back to it after
    Candidate has landed would serve the older version until the weights are moved.
    """
    variants = _described(clients, config)["ProductionVariants"]
    models = {entry["VariantName"]: entry["ModelName"] for entry in variants}
    starts = {
        entry["VariantName"]: float(entry.get("InitialVariantWeight", 1.0)) for entry in variants
    }
    if len(models) == 1 or starts == weights:
        return config
    told = hashlib.sha256(json.dumps([config, sorted(weights.items())]).encode()).hexdigest()
    name = f"{config[: _LONGEST_NAME - _HASH - 1]}-{told[:_HASH]}"
    wanted = {variant: (model, weights[variant]) for variant, model in models.items()}
    create(clients, name, like=config, variants=wanted)
    return name


def _described(clients: Clients, config: str) -> dict[str, Any]:
    with clients.spoken(f"endpoint config {config}"):
        return dict(clients.sagemaker.describe_endpoint_config(EndpointConfigName=config))
