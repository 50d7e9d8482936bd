"""SageMaker's control plane: JSON 1.1 requests named by X-Amz-Target.

Input    an operation's name and its parameters as a dict.
Output   the answer as a dict; times are epoch seconds.
Raises   ApiError (400, ValidationException and friends).
Source   SageMaker API reference; shapes checked with boto3 in tests/contract.
"""

import time
from itertools import starmap
from typing import TYPE_CHECKING, Any

from mlops_bikeshare.serving.host.capture import checked
from mlops_bikeshare.serving.host.faults import ApiError, invalid, not_found
from mlops_bikeshare.serving.host.lifecycle import Lifecycle, initial_weight
from mlops_bikeshare.serving.host.listing import page
from mlops_bikeshare.serving.host.names import arn, named, new_name, required
from mlops_bikeshare.serving.host.objects import ObjectStore
from mlops_bikeshare.serving.host.state import HostState

if TYPE_CHECKING:
    from collections.abc import Callable

Document = dict[str, Any]
MAX_VARIANTS = 10


class ControlPlane:
    """The operations by name."""

    def __init__(self, state: HostState, lifecycle: Lifecycle, store: ObjectStore) -> None:
        self._state = state
        self._lifecycle = lifecycle
        self._store = store
        self._operations: dict[str, Callable[[Document], Document]] = {
            "CreateModel": self._create_model,
            "DescribeModel": lambda r: self._find("model", named(r, "ModelName")),
            "DeleteModel": self._delete_model,
            "ListModels": lambda r: page(r, "Models", self._state.all("model"), _model_summary),
            "CreateEndpointConfig": self._create_config,
            "DescribeEndpointConfig": self._describe_config,
            "DeleteEndpointConfig": self._delete_config,
            "ListEndpointConfigs": lambda r: page(
                r, "EndpointConfigs", self._state.all("endpoint-config"), _config_summary
            ),
            "CreateEndpoint": self._create_endpoint,
            "UpdateEndpoint": self._update_endpoint,
            "UpdateEndpointWeightsAndCapacities": self._reweigh,
            "DescribeEndpoint": self._describe_endpoint,
            "DeleteEndpoint": self._delete_endpoint,
            "ListEndpoints": lambda r: page(
                r, "Endpoints", self._state.all("endpoint"), _endpoint_summary
            ),
            "AddTags": self._add_tags,
            "ListTags": lambda r: {"Tags": self._tags(named(r, "ResourceArn"))},
            "DeleteTags": self._delete_tags,
        }

    def call(self, operation: str, request: Document) -> Document:
        """Answer one operation."""
        if operation not in self._operations:
            raise ApiError("UnknownOperationException", f"this host does not know {operation}")
        try:
            return self._operations[operation](request)
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            # boto3 checks shapes before it sends; whoever does not gets no more than this
            raise ApiError(
                "SerializationException", f"the parameters are not those of {operation}"
            ) from error

    def _create_model(self, request: Document) -> Document:
        name = new_name(request, "ModelName")
        named(required(request, "PrimaryContainer"), "ModelDataUrl")
        kept = ("ModelName", "PrimaryContainer", "ExecutionRoleArn", "VpcConfig")
        return {"ModelArn": self._create("model", name, request, kept)}

    def _delete_model(self, request: Document) -> Document:
        name = named(request, "ModelName")
        self._find("model", name)
        for config in self._state.all("endpoint-config"):
            models = {variant["ModelName"] for variant in _variants(config)}
            if name in models:
                self._refuse_in_use(config["EndpointConfigName"], f"model {name}")
        self._state.delete("model", name, owner=arn("model", name))
        return {}

    def _create_config(self, request: Document) -> Document:
        name = new_name(request, "EndpointConfigName")
        production = required(request, "ProductionVariants")
        variants = _variants(request)
        names = [new_name(variant, "VariantName") for variant in variants]
        if len(variants) > MAX_VARIANTS or len(set(names)) < len(names):
            raise invalid(f"1 to {MAX_VARIANTS} variants with different names are allowed")
        if len(variants) > len(production) and (len(production), len(variants)) != (1, 2):
            raise invalid("a shadow variant stands beside exactly one production variant")
        for variant in variants:
            self._find("model", named(variant, "ModelName"))
            if not 0 <= initial_weight(variant) < float("inf"):
                raise invalid("InitialVariantWeight must be 0 or more")
        checked(request.get("DataCaptureConfig"), self._store)
        kept = (
            "EndpointConfigName",
            "ProductionVariants",
            "ShadowProductionVariants",
            "DataCaptureConfig",
        )
        return {"EndpointConfigArn": self._create("endpoint-config", name, request, kept)}

    def _describe_config(self, request: Document) -> Document:
        return self._find("endpoint-config", named(request, "EndpointConfigName"))

    def _delete_config(self, request: Document) -> Document:
        name = named(request, "EndpointConfigName")
        self._find("endpoint-config", name)
        self._refuse_in_use(name, f"endpoint configuration {name}")
        self._state.delete("endpoint-config", name, owner=arn("endpoint-config", name))
        return {}

    def _create_endpoint(self, request: Document) -> Document:
        name = new_name(request, "EndpointName")
        self._lifecycle.create(name, named(request, "EndpointConfigName"))
        self._state.tag(arn("endpoint", name), _tag_map(request))
        return {"EndpointArn": arn("endpoint", name)}

    def _update_endpoint(self, request: Document) -> Document:
        name = named(request, "EndpointName")
        self._lifecycle.update(name, named(request, "EndpointConfigName"))
        return {"EndpointArn": arn("endpoint", name)}

    def _reweigh(self, request: Document) -> Document:
        name = named(request, "EndpointName")
        wanted = required(request, "DesiredWeightsAndCapacities")
        weights = {
            named(item, "VariantName"): float(item["DesiredWeight"])
            for item in wanted
            if "DesiredWeight" in item
        }
        if not all(0 <= weight < float("inf") for weight in weights.values()):
            raise invalid("DesiredWeight must be 0 or more")
        self._lifecycle.reweigh(name, weights)
        return {"EndpointArn": arn("endpoint", name)}

    def _describe_endpoint(self, request: Document) -> Document:
        document = self._lifecycle.get(named(request, "EndpointName"))
        answer = {**_endpoint_summary(document), "EndpointConfigName": document["config"]}
        if document["reason"]:
            answer["FailureReason"] = document["reason"]
        if document["weights"]:
            answer["ProductionVariants"] = list(starmap(_running, document["weights"].items()))
            config = self._find("endpoint-config", document["config"])
            shadows = config.get("ShadowProductionVariants") or ()
            if shadows:
                answer["ShadowProductionVariants"] = [
                    _running(shadow["VariantName"], initial_weight(shadow)) for shadow in shadows
                ]
            capture = config.get("DataCaptureConfig")
            if capture:
                answer["DataCaptureConfig"] = _capturing(capture)
        return answer

    def _delete_endpoint(self, request: Document) -> Document:
        self._lifecycle.delete(named(request, "EndpointName"))
        return {}

    def _add_tags(self, request: Document) -> Document:
        owner = named(request, "ResourceArn")
        self._state.tag(owner, _tag_map(request))
        return {"Tags": self._tags(owner)}

    def _delete_tags(self, request: Document) -> Document:
        keys = [str(key) for key in required(request, "TagKeys")]
        self._state.untag(named(request, "ResourceArn"), keys)
        return {}

    def _tags(self, owner: str) -> list[Document]:
        return [{"Key": key, "Value": value} for key, value in self._state.tags(owner).items()]

    def _create(self, kind: str, name: str, request: Document, kept: tuple[str, ...]) -> str:
        owner = arn(kind, name)
        if self._state.get(kind, name):
            raise invalid(f'Cannot create already existing {kind} "{owner}".')
        document = {key: request[key] for key in kept if key in request}
        document |= {_ARN_KEYS[kind]: owner, "CreationTime": time.time()}
        self._state.put(kind, name, document)
        self._state.tag(owner, _tag_map(request))
        return owner

    def _find(self, kind: str, name: str) -> Document:
        document = self._state.get(kind, name)
        if document is None:
            raise not_found(
                kind.replace("endpoint-config", "endpoint configuration"), arn(kind, name)
            )
        return document

    def _refuse_in_use(self, config: str, what: str) -> None:
        # SageMaker only warns against this; without the record a restart could not serve again.
        for endpoint in self._state.all("endpoint"):
            if config in (endpoint["config"], endpoint.get("next")):
                raise invalid(f"Cannot delete {what}: endpoint {endpoint['name']} uses it")


_ARN_KEYS = {"model": "ModelArn", "endpoint-config": "EndpointConfigArn"}


def _tag_map(request: Document) -> dict[str, str]:
    return {named(tag, "Key"): str(tag["Value"]) for tag in request.get("Tags") or []}


def _variants(config: Document) -> list[Document]:
    return [*config["ProductionVariants"], *(config.get("ShadowProductionVariants") or ())]


def _running(name: str, weight: float) -> Document:
    return {
        "VariantName": name,
        "CurrentWeight": weight,
        "DesiredWeight": weight,
        "CurrentInstanceCount": 1,
        "DesiredInstanceCount": 1,
    }


def _capturing(config: Document) -> Document:
    on = bool(config.get("EnableCapture"))
    return {
        "EnableCapture": on,
        "CaptureStatus": "Started" if on else "Stopped",
        "CurrentSamplingPercentage": config["InitialSamplingPercentage"],
        "DestinationS3Uri": config["DestinationS3Uri"],
        "KmsKeyId": config.get("KmsKeyId", ""),
    }


def _model_summary(document: Document) -> Document:
    return {key: document[key] for key in ("ModelName", "ModelArn", "CreationTime")}


def _config_summary(document: Document) -> Document:
    keys = ("EndpointConfigName", "EndpointConfigArn", "CreationTime")
    return {key: document[key] for key in keys}


def _endpoint_summary(document: Document) -> Document:
    return {
        "EndpointName": document["name"],
        "EndpointArn": arn("endpoint", document["name"]),
        "CreationTime": document["created"],
        "LastModifiedTime": document["updated"],
        "EndpointStatus": document["status"],
    }
