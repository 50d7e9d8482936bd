"""Fixtures of the endpoint host: a real process, real model folders, unmodified clients.

`endpoint_host` is shared by a session; `own_host` is a test's own, to be killed and restarted.
"""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from mlops_bikeshare.serving import launch
from mlops_bikeshare.serving.session import Clients

if TYPE_CHECKING:
    import subprocess

# The sink appends one JSON line per point and closes the file: durable before it returns.
SCRIPT = """
import json, sys
from pathlib import Path
from mlops_bikeshare.serving.host.server import run_host

root = Path(sys.argv[1])

def sink(points):
    with (root / "points.jsonl").open("a") as out:
        for p in points:
            out.write(json.dumps([p.name, dict(p.dimensions), p.at.isoformat(), p.value]) + "\\n")

token = next((word[6:] for word in sys.argv if word.startswith("token=")), None)
clock = "replay" in sys.argv
trust = "allow-pickle" in sys.argv
run_host(
    root=root, host="127.0.0.1", port=0, sink=sink, replay_clock=clock, token=token,
    allow_pickle=trust,
)
"""
COLUMNS = ("a", "b", "c")
TINY = """
import json, os, time
import numpy as np
import pandas as pd

class Scorer:
    def __init__(self, bias):
        self.bias = bias

    @classmethod
    def load(cls, folder):
        with open(os.path.join(folder, "scorer.json")) as source:
            return cls(json.load(source)["bias"])

    def predict(self, frame):
        if (frame["a"] == 666).any():
            raise RuntimeError("the scorer was told to fail")
        if (frame["a"] == 667).any():
            os._exit(3)
        if (frame["a"] == 668).any():
            return pd.DataFrame({"p_x_10": [0.5]})
        return pd.DataFrame({"p_x_10": frame["a"].to_numpy(float) + self.bias})
"""
BOOSTED = """
import os
import lightgbm as lgb
import pandas as pd

class Scorer:
    def __init__(self, booster):
        self.booster = booster

    @classmethod
    def load(cls, folder):
        return cls(lgb.Booster(model_file=os.path.join(folder, "x.txt")))

    def predict(self, frame):
        return pd.DataFrame({"p_x_10": self.booster.predict(frame.to_numpy(), num_threads=1)})
"""


def write_model(
    folder: Path, *, scorer: str = TINY, bias: float = 0.0, columns: Sequence[str] = COLUMNS
) -> Path:
    """An MLflow model folder whose scorer answers a + bias."""
    for part in ("code", "artifacts"):
        (folder / part).mkdir(parents=True)
    signature = [{"type": "float", "name": name, "required": True} for name in columns]
    description = {
        "flavors": {
            "python_function": {
                "loader_module": "mlflow.pyfunc.model",
                "python_version": "3.11.0",
                "code": "code",
            }
        },
        "metadata": {"scorer": "scorer:Scorer"},
        "signature": {"inputs": json.dumps(signature), "outputs": None, "params": None},
    }
    # JSON is YAML
    (folder / "MLmodel").write_text(json.dumps(description))
    (folder / "code" / "scorer.py").write_text(dedent(scorer))
    (folder / "artifacts" / "scorer.json").write_text(json.dumps({"bias": bias}))
    return folder


@dataclass
class Host:
    """A host process that a test may kill and start again."""

    root: Path
    options: tuple[str, ...] = ()
    before: Sequence[str] = ()
    facts: launch.HostFacts = field(init=False)
    clients: Clients = field(init=False)
    process: "subprocess.Popen[bytes]" = field(init=False)

    def start(self) -> "Host":
        command = [*self.before, sys.executable, "-c", SCRIPT, str(self.root), *self.options]
        self.facts, self.process = launch.start(command, self.root, timeout_s=30)
        self.clients = Clients(url=self.facts.url, region="eu-west-1")
        return self

    def stop(self) -> None:
        launch.stop(self.facts, timeout_s=20)
        self.process.wait()

    def points(self) -> list[tuple[str, dict[str, str], str, float]]:
        path = self.root / "points.jsonl"
        return [tuple(json.loads(line)) for line in path.read_text().splitlines()]

    def workers(self) -> list[int]:
        """Pids of worker processes of this workspace, by their command lines."""
        found = []
        for line in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = line.read_bytes().split(b"\0")
            except OSError:
                continue
            if b"mlops_bikeshare.serving.host.worker" in words and any(
                str(self.root).encode() in word for word in words
            ):
                found.append(int(line.parent.name))
        return found


@pytest.fixture(scope="session")
def endpoint_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    host = Host(tmp_path_factory.mktemp("host")).start()
    yield host
    host.stop()
    assert host.workers() == []


@pytest.fixture
def own_host(tmp_path: Path) -> Iterator[Callable[..., Host]]:
    hosts: list[Host] = []

    def make(*options: str, root: Path | None = None, before: Sequence[str] = ()) -> Host:
        hosts.append(Host(root or tmp_path / "var", options, before).start())
        return hosts[-1]

    yield make
    for host in hosts:
        if host.process.poll() is None:
            host.stop()


@pytest.fixture(scope="module")
def module_host() -> Iterator[Callable[..., Host]]:
    """Makes a host in a workspace's folder, for the tests of a module."""
    hosts: list[Host] = []

    def make(*, root: Path) -> Host:
        hosts.append(Host(root).start())
        return hosts[-1]

    yield make
    for host in hosts:
        host.stop()


@pytest.fixture(scope="session")
def boosted_scorer() -> str:
    """Source of a scorer around a LightGBM text model, `artifacts/x.txt`."""
    return BOOSTED


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Makes model folders: models(bias=…), models(scorer=…)."""

    def make(**what: Any) -> Path:
        return write_model(tmp_path_factory.mktemp("model") / "model", **what)

    return make
