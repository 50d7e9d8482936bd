"""The host under load and in trouble: no lost request, no growth, metrics as acknowledged."""

import contextlib
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from mlops_bikeshare.serving import endpoints
from tests.contract.models import BUCKET, create_endpoint, put_model, variant

ROWS = {"inputs": {"a": [1], "b": [0], "c": [0]}}


def resident_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def invocations(host: Any, endpoint: str) -> int:
    return sum(
        value == 1
        for name, of, _, value in host.points()
        if name == "Invocations" and of["EndpointName"] == endpoint
    )


@contextlib.contextmanager
def clients_asking(url: str, endpoint: str, count: int) -> Iterator[list[Counter[int]]]:
    """`count` clients that ask without a pause while the block runs; statuses of each."""
    done, seen = threading.Event(), [Counter[int]() for _ in range(count)]

    def ask(statuses: Counter[int]) -> None:
        with httpx.Client(base_url=url, timeout=60) as client:
            while not done.is_set():
                reply = client.post(f"/endpoints/{endpoint}/invocations", json=ROWS)
                statuses[reply.status_code] += 1

    with ThreadPoolExecutor(count) as pool:
        running = [pool.submit(ask, statuses) for statuses in seen]
        try:
            yield seen
        finally:
            done.set()
    for one in running:
        one.result()


@pytest.mark.parametrize(
    ("count", "seconds"), [(8, 1.0), pytest.param(50, 60.0, marks=pytest.mark.long)]
)
def test_under_load_and_updates_nothing_is_lost_and_metrics_equal_what_was_acknowledged(
    own_host: Callable[..., Any], models: Any, count: int, seconds: float
) -> None:
    host = own_host()
    put_model(host.clients, "one", models())
    put_model(host.clients, "two", models(bias=1.0))
    create_endpoint(host.clients, "loaded", variant("AllTraffic", "one"))
    host.clients.sagemaker.create_endpoint_config(
        EndpointConfigName="other", ProductionVariants=[variant("AllTraffic", "two")]
    )
    until = time.monotonic() + seconds
    configs, sizes = ["other", "loaded"], list[float]()
    with clients_asking(host.facts.url, "loaded", count) as seen:
        while time.monotonic() < until or len(sizes) < 2:
            endpoints.restore_config(host.clients, "loaded", configs[len(sizes) % 2])
            endpoints.wait_in_service(
                host.clients, "loaded", config=configs[len(sizes) % 2], timeout_s=60
            )
            sizes.append(resident_mb(host.facts.pid))
    statuses = sum(seen, Counter())
    assert set(statuses) == {200}
    assert invocations(host, "loaded") == statuses[200]
    assert sizes[-1] < sizes[0] + 30
    assert len(host.workers()) <= 2


def test_a_host_killed_in_the_middle_of_an_update_comes_back_with_what_served_before(
    own_host: Callable[..., Any], models: Any
) -> None:
    host = own_host()
    put_model(host.clients, "one", models(bias=5.0))
    put_model(host.clients, "late", models(scorer="import time; time.sleep(60)"))
    create_endpoint(host.clients, "updated", variant("AllTraffic", "one"))
    host.clients.sagemaker.create_endpoint_config(
        EndpointConfigName="late", ProductionVariants=[variant("AllTraffic", "late")]
    )
    endpoints.restore_config(host.clients, "updated", "late")
    assert endpoints.describe(host.clients, "updated").status == "Updating"
    os.kill(host.facts.pid, signal.SIGKILL)
    host.process.wait()
    host.start()
    state = endpoints.describe(host.clients, "updated")
    assert (state.status, state.config) == ("InService", "updated")
    reply = httpx.post(f"{host.facts.url}/endpoints/updated/invocations", json=ROWS)
    assert reply.json() == {"predictions": [{"p_x_10": 6.0}]}


def test_a_host_killed_in_the_middle_of_an_upload_has_no_half_of_it(
    own_host: Callable[..., Any],
) -> None:
    host = own_host()
    half_sent = threading.Event()

    def content() -> Iterator[bytes]:
        yield bytes(1024**2)
        half_sent.set()
        host.process.wait()
        yield bytes(1024**2)

    def upload() -> None:
        with contextlib.suppress(httpx.HTTPError):
            httpx.put(f"{host.facts.url}/{BUCKET}/half.tar.gz", content=content(), timeout=30)

    thread = threading.Thread(target=upload)
    thread.start()
    assert half_sent.wait(30)
    os.kill(host.facts.pid, signal.SIGKILL)
    thread.join()
    host.start()
    with pytest.raises(ClientError, match=r"NoSuchKey|Not Found|404"):
        host.clients.s3.head_object(Bucket=BUCKET, Key="half.tar.gz")
    listed = host.clients.s3.list_objects_v2(Bucket=BUCKET)
    assert listed.get("Contents", []) == []
    assert list((host.root / "s3" / ".incoming").iterdir()) == []


def test_a_slow_model_delays_no_other_endpoint(
    endpoint_host: Any, models: Any, tmp_path: Path
) -> None:
    clients, go_on = endpoint_host.clients, tmp_path / "go-on"
    slow = SLOW.replace("GO_ON", str(go_on))
    put_model(clients, "slow-model", models(scorer=slow))
    put_model(clients, "quick-model", models())
    create_endpoint(clients, "slow-one", variant("AllTraffic", "slow-model"))
    create_endpoint(clients, "quick-one", variant("AllTraffic", "quick-model"))
    url = endpoint_host.facts.url

    def ask(name: str) -> int:
        return httpx.post(f"{url}/endpoints/{name}/invocations", json=ROWS, timeout=50).status_code

    with ThreadPoolExecutor(1) as pool:
        slow_one = pool.submit(ask, "slow-one")
        assert [ask("quick-one") for _ in range(5)] == [200] * 5
        assert not slow_one.done()
        go_on.touch()
        assert slow_one.result() == 200


def test_a_model_that_never_answers_is_a_504_and_its_process_is_replaced(
    models: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    from mlops_bikeshare.serving.host import workers
    from tests.contract.models import packed

    folder: Path = models(scorer=NEVER)
    archive = tmp_path / "model.tar.gz"
    archive.write_bytes(packed(folder))
    monkeypatch.setattr(workers, "ANSWER_S", 0.5)
    header = {"content_type": "application/json", "accept": ""}

    async def scenario() -> list[int]:
        made = workers.Variant("v", archive, tmp_path / "work")
        (tmp_path / "work").mkdir()
        await made.start()
        first, pid = await made.ask(header, json.dumps(ROWS).encode()), made.pid
        while made.pid == pid:
            await asyncio.sleep(0.01)
        good = {"inputs": {"a": [2], "b": [0], "c": [0]}}
        monkeypatch.setattr(workers, "ANSWER_S", 30.0)
        second = await made.ask(header, json.dumps(good).encode())
        await made.stop()
        return [first.status, second.status]

    assert asyncio.run(scenario()) == [504, 200]


SLOW = """
import time
from pathlib import Path
import pandas as pd

class Scorer:
    @classmethod
    def load(cls, folder):
        return cls()

    def predict(self, frame):
        while not Path("GO_ON").exists():
            time.sleep(0.01)
        return pd.DataFrame({"p_x_10": frame["a"].to_numpy(float)})
"""
NEVER = """
import threading
import pandas as pd

class Scorer:
    @classmethod
    def load(cls, folder):
        return cls()

    def predict(self, frame):
        if (frame["a"] == 1).any():
            threading.Event().wait()
        return pd.DataFrame({"p_x_10": frame["a"].to_numpy(float)})
"""
