"""The `aws` command line in an environment of its own, told where the host is by flags alone."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.contract.models import BUCKET, create_endpoint, put_model, variant


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, installed from the package index: its botocore is not the lock's."""
    if shutil.which("uv") is None:
        pytest.skip("needs uv, to install the aws command line beside the lock")
    folder = tmp_path_factory.mktemp("aws") / "venv"
    python = str(folder / "bin" / "python")
    for words in (["venv", "--python", sys.executable, str(folder)], ["pip", "install", "awscli"]):
        at = ["--python", python] if words[0] == "pip" else []
        done = subprocess.run(
            ["uv", *words, *at], capture_output=True, text=True, check=False, timeout=300
        )
        if done.returncode:
            pytest.skip("the package index does not answer: no aws command line")
    return folder / "bin" / "aws"


@pytest.mark.long
def test_the_aws_command_line_lists_describes_asks_and_copies(
    aws: Path, endpoint_host: Any, models: Any, tmp_path: Path
) -> None:
    put_model(endpoint_host.clients, "from-aws", models(bias=1.0))
    create_endpoint(endpoint_host.clients, "from-aws", variant("AllTraffic", "from-aws"))
    kept = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    told = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
    nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    flags = ["--endpoint-url", endpoint_host.facts.url, "--region", "eu-west-1"]

    def run(*words: str) -> str:
        done = subprocess.run(
            [str(aws), *words, *flags],
            env={**kept, **told, **nowhere},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    listed = json.loads(run("sagemaker", "list-endpoints", "--name-contains", "from-aws"))
    assert [each["EndpointName"] for each in listed["Endpoints"]] == ["from-aws"]
    name = ("--endpoint-name", "from-aws")
    assert json.loads(run("sagemaker", "describe-endpoint", *name))["EndpointStatus"] == "InService"
    (tmp_path / "body").write_text('{"inputs": {"a": [6], "b": [0], "c": [0]}}')
    body = ("--body", f"fileb://{tmp_path / 'body'}", "--content-type", "application/json")
    run("sagemaker-runtime", "invoke-endpoint", *name, *body, str(tmp_path / "answer"))
    assert json.loads((tmp_path / "answer").read_text()) == {"predictions": [{"p_x_10": 7.0}]}
    (tmp_path / "large").write_bytes(bytes(9 * 1024**2))  # in parts
    run("s3", "cp", str(tmp_path / "large"), f"s3://{BUCKET}/from-aws/large")
    run("s3", "cp", f"s3://{BUCKET}/from-aws/large", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == (tmp_path / "large").read_bytes()
