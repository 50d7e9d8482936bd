"""What the image of the jobs installs is in the lock, is enough, and fits Lambda's limits."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "ops" / "docker"
LINES = (DOCKER / "lambda.Dockerfile").read_text().splitlines()
WANTED = (DOCKER / "lambda.in").read_text().split()
# AWS, Lambda quotas: the uncompressed size of an image.
LIMIT_BYTES = 10 * 1000**3
_FLOWS = ("live_feed", "infer", "monitor", "compact", "features", "train", "pages.drift_page")
_LATE = ("mlflow.artifacts", "boto3", "lightgbm", "matplotlib.figure", "apprise", "meteostat")


def test_the_image_installs_versions_of_the_lock_and_copies_what_there_is() -> None:
    locked = (ROOT / "requirements.lock").read_text()
    assert [name for name in WANTED if not re.search(rf"^{name}==", locked, re.MULTILINE)] == []
    copied = [word for line in LINES if line.startswith("COPY") for word in line.split()[1:-1]]
    assert [path for path in copied if not (ROOT / path).exists()] == []


def test_the_image_runs_the_handler_from_a_folder_that_cannot_be_written() -> None:
    (command,) = [line for line in LINES if line.startswith("CMD")]
    module, _, name = json.loads(command.removeprefix("CMD"))[0].rpartition(".")
    path = ROOT / f"{module.replace('.', '/')}.py"

    assert f"\ndef {name}(event" in path.read_text()
    assert "BIKESHARE_STATE_DIR=/tmp/bikeshare" in "\n".join(LINES)


@pytest.mark.long
def test_the_packages_of_the_image_are_enough_and_far_below_the_limit(tmp_path: Path) -> None:
    if shutil.which("uv") is None:
        pytest.skip("needs uv, to install the packages of the image beside the lock")
    lock = ["-c", str(ROOT / "requirements.lock"), "-r", str(DOCKER / "lambda.in")]
    install = ["uv", "pip", "install", "--quiet", "--python", sys.executable]
    done = subprocess.run(
        [*install, "--target", str(tmp_path), *lock], capture_output=True, check=False, timeout=300
    )
    if done.returncode:
        pytest.skip("the package index does not answer")
    imports = [f"mlops_bikeshare.flows.{flow}" for flow in _FLOWS]
    names = ["mlops_bikeshare.jobs.handler", "mlops_bikeshare.sources.meteostat", *imports]
    names += ["projects.sagemaker", "mlops_bikeshare.cli.commands"]
    code = f"import importlib\nfor name in {[*names, *_LATE]}: importlib.import_module(name)"
    alone = f"import sys; sys.path = [p for p in sys.path if 'site-packages' not in p]\n{code}"
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", alone],
        env={"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    size = sum(path.lstat().st_size for path in tmp_path.rglob("*"))
    assert size < LIMIT_BYTES / 10
