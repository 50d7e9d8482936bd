"""Every answer of the host against botocore's own service model, on the raw wire."""

import datetime
from typing import Any

import httpx
import pytest
from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel, Shape
from botocore.validate import validate_parameters

from mlops_bikeshare.serving.host.control import ControlPlane
from tests.contract.models import create_endpoint, put_model, variant

CAPTURE = {
    "EnableCapture": True,
    "InitialSamplingPercentage": 100,
    "DestinationS3Uri": "s3://captured/shapes",
    "CaptureOptions": [{"CaptureMode": "Input"}],
}
TAGS = [{"Key": "version", "Value": "1"}]
ARN = "arn:aws:sagemaker:local:000000000000:endpoint/shaped"
WEIGHTS = [{"VariantName": "AllTraffic", "DesiredWeight": 0.5}]
# In an order in which each finds what it needs.
REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("ListModels", {"MaxResults": 1}),
    ("ListEndpointConfigs", {"MaxResults": 1}),
    ("ListEndpoints", {"MaxResults": 1, "StatusEquals": "InService"}),
    ("DescribeModel", {"ModelName": "shaped"}),
    ("DescribeEndpointConfig", {"EndpointConfigName": "shaped"}),
    ("DescribeEndpoint", {"EndpointName": "shaped"}),
    (
        "UpdateEndpointWeightsAndCapacities",
        {"EndpointName": "shaped", "DesiredWeightsAndCapacities": WEIGHTS},
    ),
    ("AddTags", {"ResourceArn": ARN, "Tags": TAGS}),
    ("ListTags", {"ResourceArn": ARN}),
    ("DeleteTags", {"ResourceArn": ARN, "TagKeys": ["version"]}),
    ("CreateModel", {"ModelName": "made", "PrimaryContainer": {"ModelDataUrl": "s3://b-b/k"}}),
    (
        "CreateEndpointConfig",
        {"EndpointConfigName": "made", "ProductionVariants": [variant("AllTraffic", "shaped")]},
    ),
    ("CreateEndpoint", {"EndpointName": "made", "EndpointConfigName": "made"}),
    ("UpdateEndpoint", {"EndpointName": "shaped", "EndpointConfigName": "made"}),
    ("DeleteModel", {"ModelName": "made"}),
    ("DeleteEndpointConfig", {"EndpointConfigName": "spare"}),
    ("DeleteEndpoint", {"EndpointName": "spare"}),
]


@pytest.fixture(scope="module")
def service() -> ServiceModel:
    return ServiceModel(Loader().load_service_model("sagemaker", "service-2"), "sagemaker")


@pytest.fixture(scope="module")
def host(endpoint_host: Any, models: Any) -> Any:
    clients = endpoint_host.clients
    put_model(clients, "shaped", models())
    create_endpoint(clients, "shaped", variant("AllTraffic", "shaped"), DataCaptureConfig=CAPTURE)
    create_endpoint(clients, "spare-a", variant("AllTraffic", "shaped"))
    clients.sagemaker.create_endpoint_config(
        EndpointConfigName="spare", ProductionVariants=[variant("AllTraffic", "shaped")]
    )
    create_endpoint_of(clients, "spare", "spare-a")
    return endpoint_host


def create_endpoint_of(clients: Any, name: str, config: str) -> None:
    clients.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
    waiter = clients.sagemaker.get_waiter("endpoint_in_service")
    waiter.wait(EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def unknown(shape: Shape | None, value: Any, at: str) -> list[str]:
    """Members of an answer that the service model does not have, by their path."""
    if shape is None:
        return [f"{at}: {value}"] if value else []
    if shape.type_name == "structure":
        odd = [f"{at}.{key}" for key in value if key not in shape.members]
        known = (key for key in value if key in shape.members)
        return odd + [x for k in known for x in unknown(shape.members[k], value[k], f"{at}.{k}")]
    if shape.type_name == "list":
        return [x for i, one in enumerate(value) for x in unknown(shape.member, one, f"{at}[{i}]")]
    return []


def with_times(shape: Shape | None, value: Any) -> Any:
    """Epoch seconds as the datetimes that botocore's validator wants."""
    if shape is None:
        return value
    if shape.type_name == "structure":
        return {k: with_times(shape.members.get(k), v) for k, v in value.items()}
    if shape.type_name == "list":
        return [with_times(shape.member, one) for one in value]
    if shape.type_name == "timestamp":
        return datetime.datetime.fromtimestamp(value, datetime.UTC)
    return value


def test_every_operation_of_the_host_is_asked_here(service: ServiceModel) -> None:
    known = set(ControlPlane(None, None, None)._operations)  # type: ignore[arg-type]
    assert known == {name for name, _ in REQUESTS}
    assert known <= set(service.operation_names)


def test_requests_and_answers_are_those_of_the_service_model(
    host: Any, service: ServiceModel
) -> None:
    for name, request in REQUESTS:
        operation: OperationModel = service.operation_model(name)
        validate_parameters(request, operation.input_shape)
        reply = httpx.post(
            host.facts.url, json=request, headers={"X-Amz-Target": f"SageMaker.{name}"}
        )
        assert reply.status_code == 200, (name, reply.text)
        shape, answer = operation.output_shape, reply.json()
        assert unknown(shape, answer, name) == []
        if shape is not None:
            validate_parameters(with_times(shape, answer), shape)
            assert set(shape.required_members) <= set(answer), name


def test_the_runtimes_answer_has_the_headers_of_its_model(host: Any) -> None:
    runtime = ServiceModel(Loader().load_service_model("sagemaker-runtime", "service-2"))
    operation = runtime.operation_model("InvokeEndpoint")
    url = f"{host.facts.url}/endpoints/spare-a/invocations"
    reply = httpx.post(url, json={"inputs": {"a": [1], "b": [0], "c": [0]}})
    assert reply.status_code == 200
    wanted = operation.output_shape.members["InvokedProductionVariant"].serialization["name"]
    assert reply.headers[wanted] == "AllTraffic"
    errors = {shape.name for shape in operation.error_shapes}
    missing = httpx.post(f"{host.facts.url}/endpoints/nowhere/invocations", content=b"")
    assert missing.headers["x-amzn-ErrorType"] in errors
    bad = httpx.post(url, content=b"no")
    assert (bad.status_code, bad.headers["x-amzn-ErrorType"]) == (424, "ModelError")
    (model_error,) = [shape for shape in operation.error_shapes if shape.name == "ModelError"]
    assert set(bad.json()) - {"message"} <= set(model_error.members)
