"""Put a model folder on a host without mlflow, which takes seconds to import."""

import io
import tarfile
from pathlib import Path
from typing import Any

from mlops_bikeshare.serving.session import Clients

ROLE = "arn:aws:iam::000000000000:role/bikeshare"
BUCKET = "bikeshare-models"


def packed(folder: Path) -> bytes:
    """A model archive as mlflow.sagemaker makes it."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, arcname=path.name)
    return content.getvalue()


def put_model(clients: Clients, name: str, folder: Path, **tags: str) -> str:
    """Upload and create a model; its name."""
    clients.s3.put_object(Bucket=BUCKET, Key=f"{name}.tar.gz", Body=packed(folder))
    container = {"Image": "local/bikeshare:1", "ModelDataUrl": f"s3://{BUCKET}/{name}.tar.gz"}
    clients.sagemaker.create_model(
        ModelName=name,
        PrimaryContainer=container,
        ExecutionRoleArn=ROLE,
        Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
    )
    return name


def create_endpoint(clients: Clients, name: str, *variants: dict[str, Any], **config: Any) -> None:
    """A config and an endpoint of one name, in service when this returns."""
    sagemaker = clients.sagemaker
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants, **config)
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    waiter = sagemaker.get_waiter("endpoint_in_service")
    waiter.wait(EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 300})


def variant(name: str, model: str, weight: float = 1.0) -> dict[str, Any]:
    """A production variant as CreateEndpointConfig takes it."""
    instance = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    return {"VariantName": name, "ModelName": model, "InitialVariantWeight": weight, **instance}
