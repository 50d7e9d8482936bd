"""Put a model folder on a host without mlflow, which takes seconds to import."""

import io
import tarfile
from pathlib import Path

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


def put_model(clients: Clients, name: str, folder: Path) -> str:
    """Upload and create a model; its name."""
    clients.s3.put_object(Bucket=BUCKET, Key=f"{name}.tar.gz", Body=packed(folder))
    container = {"Image": "local/bikeshare:1", "ModelDataUrl": f"s3://{BUCKET}/{name}.tar.gz"}
    clients.sagemaker.create_model(
        ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE
    )
    return name
