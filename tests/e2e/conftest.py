"""A home of its own for every lifecycle that the tests run, and the real command line."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.aws_account import Account, Working, working

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Home:
    """A folder with a bikeshare.toml, and `bikeshare` run in it."""

    path: Path

    def run(self, *arguments: str, timeout_s: float = 600) -> Ended:
        """Run one command to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "mlops_bikeshare", *arguments],
            cwd=self.path,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of its commands: nothing of the caller's settings."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("BIKESHARE", "MLFLOW"))}
        return {**kept, "BIKESHARE_HOME": str(self.path), "MLFLOW_DISABLE_TELEMETRY": "true"}

    def report(self) -> dict[str, Any]:
        """The demo's report.json."""
        text = (self.path / "var" / "demo" / "report.json").read_text()
        report: dict[str, Any] = json.loads(text)
        return report


@pytest.fixture(scope="session")
def new_home(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Home]:
    """Make a home whose settings differ from the checkout's in the given lines."""

    def make(replaced: dict[str, str] | None = None) -> Home:
        folder = tmp_path_factory.mktemp("home")
        text = (ROOT / "bikeshare.toml").read_text()
        for old, new in (replaced or {}).items():
            assert old in text, f"bikeshare.toml has no line {old!r}"
            text = text.replace(old, new)
        (folder / "bikeshare.toml").write_text(text)
        return Home(folder)

    return make


@pytest.fixture(scope="module")
def calls(stands: Account) -> Iterator[Working]:
    """The jobs of a module's account (its fixture `stands`), each with its own role."""
    with working(stands) as found:
        yield found
