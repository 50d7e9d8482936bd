"""One record asked of the operations API, from the client's request to its last byte.

The API and the endpoint host are processes of their own, as in use; one connection is kept.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import httpx
import numpy as np

from mlops_bikeshare.features.definition import FEATURE_NAMES
from mlops_bikeshare.flows import serve
from mlops_bikeshare.flows.features import OFFLINE
from mlops_bikeshare.flows.releasing import placing
from mlops_bikeshare.registry import versions
from tests.bench.bed import Bed
from tests.bench.measure import BenchError, Row

ENDPOINT = "bikeshare-bench"
REPEATS, QUICK_REPEATS, WARM = 400, 60, 10
LIMIT_P95_MS = 100.0


def one_record(bed: Bed) -> Iterator[Row]:
    rows = bed.ws.lake.read(OFFLINE, city=bed.city.name, window=bed.split.calibrate)
    first = rows[list(FEATURE_NAMES)].iloc[0].astype(float)
    record = {name: None if np.isnan(value) else value for name, value in first.items()}
    body = {"city": bed.city.name, "endpoint": ENDPOINT, "records": [record]}
    version = versions.find(bed.city.registered_model, bed.version.version)
    count = QUICK_REPEATS if bed.quick else REPEATS
    with serve.hosting(bed.ws):
        placing.place(bed.ws, bed.city, version, endpoint=ENDPOINT)
        with _api(bed) as client:
            times = [_asked(client, body) for _ in range(WARM + count)][WARM:]
    p95 = statistics.quantiles(times, n=100, method="inclusive")[94]
    said = f"limit of one record end to end, 95th percentile of {count}"
    yield Row(name="serving.api_p95_row", ours=p95, peer=LIMIT_P95_MS, unit="ms", against=said)


def _asked(client: httpx.Client, body: Mapping[str, object]) -> float:
    began = time.perf_counter()
    answer = client.post("/predict", json=body)
    took = (time.perf_counter() - began) * 1e3
    if answer.status_code != httpx.codes.OK:
        raise BenchError(f"/predict answered {answer.status_code}: {answer.text[:200]}")
    return took


@contextmanager
def _api(bed: Bed) -> Iterator[httpx.Client]:
    words = ["--workspace", bed.ws.settings.workspace, "api", "--port", "0"]
    with subprocess.Popen(
        [sys.executable, "-m", "mlops_bikeshare", *words],
        env={**os.environ, "BIKESHARE_HOME": str(bed.home)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line.startswith("operations API at "):
                raise BenchError("the operations API did not start")
            with httpx.Client(base_url=line.split()[-1], timeout=60, trust_env=False) as client:
                yield client
        finally:
            process.terminate()
