"""The serving container as a process: SageMaker's contract around a real model archive."""

import ast
import io
import json
import pickle
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mlops_bikeshare.serving.archive import unpack
from tests.contract.models import packed

ROOT = Path(__file__).resolve().parents[2]
MODULE = "mlops_bikeshare.serving.container"


def command(folder: Path, port: int) -> list[str]:
    options = ["--model", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    return [sys.executable, "-m", MODULE, "serve", *options]


@pytest.fixture
def container() -> Iterator[Callable[[Path], str]]:
    processes: list[subprocess.Popen[bytes]] = []

    def start(folder: Path) -> str:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        processes.append(subprocess.Popen(command(folder, port), cwd=ROOT))
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{url}/ping").status_code == 200:
                    return url
            except httpx.ConnectError:
                time.sleep(0.05)
        raise AssertionError("the container does not answer /ping")

    yield start
    for process in processes:
        process.terminate()
        assert process.wait(20) is not None


def from_archive(model: Path, into: Path) -> Path:
    """As SageMaker does: the archive, unpacked."""
    archive = into / "model.tar.gz"
    archive.write_bytes(packed(model))
    folder = into / "model"
    folder.mkdir()
    unpack(archive, folder)
    return folder


def test_an_archive_answers_as_on_the_local_host(
    container: Callable[[Path], str], models: Any, tmp_path: Path
) -> None:
    url = container(from_archive(models(bias=1.0), tmp_path))
    rows = pd.DataFrame({"a": [1.0, np.nan], "b": 0.0, "c": 0.0}, dtype="float32")
    table, sink = pa.Table.from_pandas(rows, preserve_index=False), io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    kind = "application/vnd.apache.arrow.stream"
    reply = httpx.post(
        f"{url}/invocations",
        content=sink.getvalue(),
        headers={"content-type": kind, "accept": kind},
    )
    with pa.ipc.open_stream(reply.content) as reader:
        answer = reader.read_all().to_pandas()
    assert (reply.status_code, reply.headers["content-type"]) == (200, kind)
    assert answer["p_x_10"].iloc[0] == 2.0
    assert np.isnan(answer["p_x_10"].iloc[1])

    document = {"dataframe_split": {"columns": ["a", "b", "c"], "data": [[7, 0, 0]]}}
    assert httpx.post(f"{url}/invocations", json=document).json() == {
        "predictions": [{"p_x_10": 8.0}]
    }
    bad = httpx.post(f"{url}/invocations", content=b"secret", headers={"content-type": kind})
    assert (bad.status_code, "secret" in bad.text) == (400, False)
    big = httpx.post(f"{url}/invocations", content=bytes(6 * 1024**2 + 1))
    assert big.status_code == 413
    failing = {"inputs": {"a": [666], "b": [0], "c": [0]}}
    assert httpx.post(f"{url}/invocations", json=failing).status_code == 500
    assert httpx.get(f"{url}/ping").status_code == 200


def test_a_model_that_is_a_pickle_or_cannot_load_ends_it_with_the_reason(
    models: Any, tmp_path: Path
) -> None:
    pickled: Path = models()
    (pickled / "data.pkl").write_bytes(pickle.dumps(1))
    empty = tmp_path / "empty"
    empty.mkdir()
    for folder, words in ((pickled, "'data.pkl' is a pickle"), (empty, "no MLmodel at its root")):
        done = subprocess.run(
            command(folder, 0), cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 1
        assert words in done.stderr
        assert "Traceback" not in done.stderr


def imported(module: str, seen: set[str]) -> set[str]:
    """Names of packages, not Python's, that a module of ours and those it imports import."""
    if module in seen:
        return set()
    seen.add(module)
    path = ROOT / (module.replace(".", "/") + ".py")
    source = path if path.is_file() else path.with_suffix("") / "__init__.py"
    nodes = list(ast.walk(ast.parse(source.read_text())))
    names = {a.name for node in nodes if isinstance(node, ast.Import) for a in node.names}
    here = module if source.name == "__init__.py" else module.rpartition(".")[0]
    names |= {
        f"{here}.{node.module}" if node.level else str(node.module)
        for node in nodes
        if isinstance(node, ast.ImportFrom)
    }
    ours = {name for name in names if name.startswith("mlops_bikeshare")}
    found = {name.partition(".")[0] for name in names - ours} - sys.stdlib_module_names
    return found.union(*(imported(name, seen) for name in ours))


def test_the_image_installs_what_the_container_imports_and_the_lock_has_it() -> None:
    wanted = (ROOT / "ops" / "docker" / "serving.in").read_text().split()
    locked = (ROOT / "requirements.lock").read_text()
    assert [name for name in wanted if not re.search(rf"^{name}==", locked, re.MULTILINE)] == []
    # the scorer travels in the archive and is imported there
    # the image serves scorers: what asks other models is the local host's alone
    asked = imported(MODULE, {"mlops_bikeshare.serving.host.foreign"}) | imported(
        "mlops_bikeshare.registry.scorer", set()
    )
    assert {name.replace("pyyaml", "yaml") for name in wanted} == asked


def test_the_image_has_the_package_and_what_its_commands_name() -> None:
    lines = (ROOT / "ops" / "docker" / "serving.Dockerfile").read_text().splitlines()
    copied = [word for line in lines if line.startswith("COPY") for word in line.split()[1:-1]]
    assert [path for path in copied if not (ROOT / path).exists()] == []
    (entry,) = [line for line in lines if line.startswith("ENTRYPOINT")]
    assert json.loads(entry.removeprefix("ENTRYPOINT")) == ["python", "-m", MODULE]
    (user,) = [line.split()[1] for line in lines if line.startswith("USER")]
    assert user not in {"root", "0"}
    assert lines.index(f"USER {user}") < lines.index(entry)
