"""The command line: how soon it speaks, and how long a fresh copy takes to be ready."""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench.bed import ROOT, Bed
from tests.bench.measure import BenchError, Row, child

HELP_S, PIP_S, UV_S = 0.5, 120.0, 30.0
REPEATS = 7


def help_(bed: Bed) -> Iterator[Row]:  # noqa: ARG001 - every bench takes a bed
    command = [sys.executable, "-m", "mlops_bikeshare", "--help"]
    walls = [child(command, cwd=ROOT, env=os.environ).wall_s for _ in range(REPEATS)]
    seconds = statistics.median(walls)
    yield Row(name="cli.help", ours=seconds, peer=HELP_S, unit="s", against="limit")


def setup_uv(bed: Bed) -> Iterator[Row]:  # noqa: ARG001
    if shutil.which("uv") is None:
        raise BenchError("uv is not installed")
    seconds = _make_setup(os.environ["PATH"])
    yield Row(name="cli.setup_uv", ours=seconds, peer=UV_S, unit="s", against="limit")


def setup_pip(bed: Bed) -> Iterator[Row]:  # noqa: ARG001
    folders = os.environ["PATH"].split(os.pathsep)
    without_uv = [folder for folder in folders if not (Path(folder) / "uv").exists()]
    seconds = _make_setup(os.pathsep.join(without_uv))
    yield Row(name="cli.setup_pip", ours=seconds, peer=PIP_S, unit="s", against="limit")


def _make_setup(path: str) -> float:
    """Seconds of `make setup` in a copy of the working tree; caches of packages as they are."""
    with tempfile.TemporaryDirectory(prefix="bikeshare-setup-") as folder:
        _copy_of_the_working_tree(Path(folder))
        kept = {k: v for k, v in os.environ.items() if k not in {"VIRTUAL_ENV", "BIKESHARE_HOME"}}
        python = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
        command = ["make", "setup", f"PYTHON={python}"]
        return child(command, cwd=Path(folder), env={**kept, "PATH": path}).wall_s


def _copy_of_the_working_tree(folder: Path) -> None:
    """What a clone would hold: tracked files, and new ones that are not ignored."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
