"""`mlflow deployments` on the command line, told where SageMaker is by the environment only."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.contract.models import BUCKET, ROLE

TARGET = ("-t", "sagemaker:/eu-west-1")


def mlflow(url: str, *arguments: str) -> str:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "MLFLOW_"))}
    told = {
        "AWS_ENDPOINT_URL_SAGEMAKER": url,
        "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": url,
        "AWS_ENDPOINT_URL_S3": url,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    done = subprocess.run(
        [sys.executable, "-m", "mlflow", "deployments", *arguments],
        env={**kept, **told},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.long
def test_mlflow_deployments_creates_lists_predicts_updates_and_deletes(
    endpoint_host: Any, models: Any, tmp_path: Path
) -> None:
    url = endpoint_host.facts.url
    config = {
        "image_url": "local/bikeshare:1",
        "execution_role_arn": ROLE,
        "bucket": BUCKET,
        "archive": "True",
        "variant_name": "AllTraffic",
        "synchronous": "False",
    }
    options = [word for pair in config.items() for word in ("-C", "=".join(pair))]
    name = ("--name", "from-cli")
    flavor = ("--flavor", "python_function")
    waiter = endpoint_host.clients.sagemaker.get_waiter("endpoint_in_service")
    quick = {"Delay": 1, "MaxAttempts": 60}
    rows = tmp_path / "rows.json"
    rows.write_text(json.dumps([{"a": 7, "b": 0, "c": 0}]))

    mlflow(url, "create", *TARGET, *name, "-m", str(models()), *flavor, *options)
    waiter.wait(EndpointName="from-cli", WaiterConfig=quick)
    assert "from-cli" in mlflow(url, "list", *TARGET)
    assert "7.0" in mlflow(url, "predict", *TARGET, *name, "-I", str(rows))
    bigger = str(models(bias=100.0))
    mlflow(url, "update", *TARGET, *name, "-m", bigger, *flavor, *options, "-C", "mode=replace")
    waiter.wait(EndpointName="from-cli", WaiterConfig=quick)
    assert "107.0" in mlflow(url, "predict", *TARGET, *name, "-I", str(rows))
    mlflow(url, "delete", *TARGET, *name, "-C", "archive=True", "-C", "synchronous=False")
    gone = endpoint_host.clients.sagemaker.get_waiter("endpoint_deleted")
    gone.wait(EndpointName="from-cli", WaiterConfig=quick)
