"""The real command line, in a process and a home of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
Bikeshare = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "bikeshare.toml").write_text((ROOT / "bikeshare.toml").read_text())
    return tmp_path


@pytest.fixture
def environment(home: Path) -> dict[str, str]:
    """Nothing of the caller's settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("BIKESHARE", "MLFLOW"))}
    return {**kept, "BIKESHARE_HOME": str(home), "MLFLOW_DISABLE_TELEMETRY": "true"}


@pytest.fixture
def bikeshare(home: Path, environment: dict[str, str]) -> Bikeshare:
    """Run one command to its end."""

    def run(*arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "mlops_bikeshare", *arguments],
            cwd=home,
            env={**environment, **more},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run
