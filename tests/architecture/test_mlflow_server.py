"""The optional MLflow server starts, with users in its database and no password that is known."""

import os
import re
import subprocess
from configparser import ConfigParser
from pathlib import Path

from mlops_bikeshare.cloud import template

ROOT = Path(__file__).resolve().parents[2]
FOUND = template.read((ROOT / "ops" / "cloudformation" / "mlflow.yaml").read_text())
(CONTAINER,) = FOUND["Resources"]["Task"]["Properties"]["ContainerDefinitions"]


def test_its_command_keeps_users_and_runs_in_the_database(tmp_path: Path) -> None:
    program = tmp_path / "mlflow"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    config = tmp_path / "auth.ini"
    (command,) = CONTAINER["Command"]
    line = re.sub(r"\$\{[\w:.]+\}", "somewhere", command["Fn::Sub"])
    told = {"MLFLOW_DB_USER": "mlflow", "MLFLOW_DB_PASSWORD": "secret"}

    done = subprocess.run(
        [*CONTAINER["EntryPoint"], line],
        env={"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", **told}
        | {"MLFLOW_AUTH_CONFIG_PATH": str(config)},
        capture_output=True,
        text=True,
        check=True,
    )

    words, users = done.stdout.splitlines(), ConfigParser()
    users.read(config)
    store = "postgresql://mlflow:secret@somewhere/mlflow"
    assert words[words.index("--backend-store-uri") + 1] == store
    assert words[words.index("--app-name") + 1] == "basic-auth"
    assert users["mlflow"]["database_uri"] == store


def test_what_the_server_refuses_to_start_without_is_generated_and_read_by_its_role() -> None:
    secrets = {one["Name"]: one["ValueFrom"] for one in CONTAINER["Secrets"]}
    assert {"MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_FLASK_SERVER_SECRET_KEY"} <= set(secrets)
    resources = FOUND["Resources"]
    made = {name for name in resources if resources[name]["Type"] == "AWS::SecretsManager::Secret"}
    used = {re.sub(r".*\{(\w+)\}.*", r"\1", next(iter(ref.values()))) for ref in secrets.values()}
    (policy,) = resources["Starting"]["Properties"]["Policies"]
    (read,) = policy["PolicyDocument"]["Statement"]
    assert used == made == {one["Ref"] for one in read["Resource"]}
    assert all("GenerateSecretString" in resources[name]["Properties"] for name in made)
