"""The real command line in a home of its own: in a process of its own, or in the tests'."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlops_bikeshare.cli import main

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
    """Run one command to its end, in a process of its own."""

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


@pytest.fixture
def inside(
    home: Path,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Iterator[Bikeshare]:
    """The same in this process, without the second of imports: for what other tests run outside."""

    def run(*arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        with monkeypatch.context() as own:
            for name in os.environ.keys() - environment.keys():
                own.delenv(name)
            for name, value in {**environment, **more}.items():
                own.setenv(name, value)
            own.chdir(home)
            capfd.readouterr()
            code = main(arguments)
        said = capfd.readouterr()
        return subprocess.CompletedProcess(arguments, code, said.out, said.err)

    root, ours = logging.getLogger(), logging.getLogger("mlops_bikeshare")
    handlers, levels = list(root.handlers), (root.level, ours.level)
    yield run
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])
    logging.captureWarnings(capture=False)
