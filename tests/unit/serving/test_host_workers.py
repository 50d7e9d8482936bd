import asyncio
import json
import socket
import tarfile
from pathlib import Path

import pytest

from mlops_bikeshare.domain.errors import ModelError
from mlops_bikeshare.serving.host import workers

HANGS = """
import time

class Scorer:
    @classmethod
    def load(cls, folder):
        return cls()

    def predict(self, frame):
        time.sleep(3600)
"""
HEADER = {"content_type": "application/json", "accept": ""}
BODY = b'{"inputs": {"a": [1]}}'


def archive(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    with tarfile.open(folder / "model.tar.gz", "w:gz") as tar:
        tar.add(folder / "model", arcname="")
    return folder / "model.tar.gz"


def test_a_model_that_never_answers_is_a_504_and_its_process_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "ANSWER_S", 0.3)
    packed = archive(
        tmp_path,
        {"MLmodel": json.dumps({"metadata": {"scorer": "s:Scorer"}}), "code/s.py": HANGS},
    )

    async def scenario() -> tuple[int, int | None, int | None]:
        variant = workers.Variant("AllTraffic", packed, tmp_path / "run")
        await variant.start()
        before, worker = variant.pid, variant._worker
        reply = await variant.ask(HEADER, BODY)
        while variant._worker is worker:
            await asyncio.sleep(0.01)
        after = variant.pid
        await variant.stop()
        return reply.status, before, after

    status, before, after = asyncio.run(scenario())
    assert status == 504
    assert before != after
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["workers.log"]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"x": ""}, "no MLmodel"),
        ({"MLmodel": "[1]"}, "not a mapping"),
        ({"MLmodel": "metadata: {}"}, "neither a metadata.scorer"),
        ({"MLmodel": 'metadata: {scorer: "no_such:Scorer"}'}, "no_such"),
        ({"MLmodel": "", "python_model.pkl": ""}, "python_model.pkl' is a pickle"),
    ],
)
def test_a_model_that_cannot_load_says_why(
    tmp_path: Path, files: dict[str, str], reason: str
) -> None:
    packed = archive(tmp_path, files)
    (tmp_path / "run" / "one").mkdir(parents=True)
    with pytest.raises(ModelError, match=reason):
        asyncio.run(workers.Worker.start(packed, tmp_path / "run" / "one"))
    assert not (tmp_path / "run" / "one").exists()


def test_a_process_that_has_no_room_is_started_once_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = archive(
        tmp_path,
        {"MLmodel": json.dumps({"metadata": {"scorer": "s:Scorer"}}), "code/s.py": HANGS},
    )
    tries = 0

    def full(*_: object, **__: object) -> None:
        nonlocal tries
        tries += 1
        raise OSError(28, "No space left on device")

    async def scenario() -> None:
        variant = workers.Variant("AllTraffic", packed, tmp_path / "run")
        with monkeypatch.context() as patched:
            patched.setattr(socket, "socketpair", full)
            with pytest.raises(ModelError, match="No space left"):
                await variant.start()
        await variant.start()
        worker = variant._worker
        assert worker is not None
        with monkeypatch.context() as patched:
            patched.setattr(socket, "socketpair", full)
            worker._process.kill()
            while tries < 3:
                await asyncio.sleep(0.01)
        while variant._worker is worker:
            await asyncio.sleep(0.01)
        await variant.stop()

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_what_workers_print_keeps_its_newest_lines_within_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "LONGEST_LOG", 100)
    log = tmp_path / "workers.log"
    workers.keep_short(log)
    with log.open("ab", buffering=0) as output:  # as a worker has it
        for line in range(40):
            output.write(f"line {line:03}\n".encode())
            workers.keep_short(log)
    said = (tmp_path / "workers.log.1").read_text() + log.read_text()
    assert said.endswith("line 038\nline 039\n")
    assert log.stat().st_size <= 100
    assert (tmp_path / "workers.log.1").stat().st_size == 100
