"""What a release costs from end to end: a verdict on a day of Boston, and a rollback.

Both run as the commands do, on a real host, without the imports: the gate reads a day of
predictions of two endpoints, compares, judges, and keeps the verdict, which `bikeshare gate` prints
then; its run in MLflow, with pictures of the day, follows.
"""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial

import numpy as np
import pandas as pd

from mlops_bikeshare.domain.reports import GateReport
from mlops_bikeshare.domain.tables import INFERENCE
from mlops_bikeshare.domain.targets import HORIZONS_MIN, TARGETS
from mlops_bikeshare.domain.windows import Window, stamp
from mlops_bikeshare.flows import deploy, gate, monitor, promote, records, serve, tracking
from mlops_bikeshare.flows.features import OFFLINE, ONLINE
from mlops_bikeshare.flows.judging import beats
from mlops_bikeshare.registry import versions
from mlops_bikeshare.serving import endpoints
from mlops_bikeshare.settings import Stage
from tests.bench.bed import END, Bed
from tests.bench.measure import Row, once

GATE_S, RUN_S, ROLLBACK_S = 3.0, 6.0, 10.0
VERSIONS: dict[Stage, str] = {"prod": "1", "staging": "2"}
LABELS = timedelta(hours=3)


def moved(bed: Bed) -> Iterator[Row]:
    ws, city = bed.ws, bed.city
    _two_versions(bed)
    with serve.hosting(ws):
        deploy.deploy(ws, city, version="1", initial=True)
        deploy.deploy(ws, city, version="2")
        _a_day(bed)
        gate.gate(ws, city)  # imports, and what is read once only
        cost = once(partial(gate.judge, ws, city))
        whole = once(partial(gate.gate, ws, city))
        yield Row(
            name="release.gate",
            ours=cost.wall_s,
            peer=GATE_S,
            unit="s",
            against=f"limit, to the verdict kept and on record, a day of {city.name}, both"
            f" endpoints, {cost.cpu_s:.1f} CPU-s",
        )
        yield Row(
            name="release.gate_run",
            ours=whole.wall_s,
            peer=RUN_S,
            unit="s",
            against=f"limit (ours), the same with its MLflow run and pictures,"
            f" {whole.cpu_s:.1f} CPU-s",
        )
        _pass(bed)
        promote.promote(ws, city)
        back = promote.rollback(ws, city, reason="measured")
        for stage in VERSIONS:  # what comes after measures a host of its own endpoints
            name = ws.settings.endpoint(stage, city.name)
            endpoints.delete_endpoint(ws.clients, name, timeout_s=ws.settings.serving.timeout_s)
        yield Row(
            name="release.rollback",
            ours=back.seconds,
            peer=ROLLBACK_S,
            unit="s",
            against="limit, to the config before, verified, aliases moved, audited",
        )


def _two_versions(bed: Bed) -> None:
    """The version a second time, so that there is one to go to and one to come back to."""
    from mlflow import MlflowClient

    tracking.connect(bed.ws)
    client, name = MlflowClient(), bed.city.registered_model
    first = client.get_model_version(name, bed.version.version)
    fair = {
        f"test_{s}_{t.name}": "0.9" for s in ("pr_auc", "f1", "onset_brier_skill") for t in TARGETS
    }
    versions.set_tags(name, first.version, fair)
    client.create_model_version(
        name, first.source, run_id=first.run_id, tags={**first.tags, **fair}
    )
    versions.move_alias(name, versions.CHALLENGER, "2", expected=str(first.version))


def _a_day(bed: Bed) -> None:
    """A day of predictions of both endpoints, on the features of Boston."""
    ws, city = bed.ws, bed.city
    window = Window(END - timedelta(hours=24) - LABELS, END - LABELS)
    ws.advance(window.end)
    rows = ws.lake.read(OFFLINE, city=city.name, window=window)
    for number, (dt, batch) in enumerate(rows.groupby("dt")):
        at = pd.Timestamp(str(dt)).to_pydatetime()
        ws.lake.write(ONLINE, batch[ONLINE.names], city=city.name, name=stamp(at))
        for stage, version in VERSIONS.items():
            endpoint = ws.settings.endpoint(stage, city.name)
            said = _said(batch, endpoint, version, seed=number)
            ws.lake.write(INFERENCE, said, city=city.name, name=beats.object_name(endpoint, at))
    monitor.monitor(ws, city, at=window.end)


def _said(batch: pd.DataFrame, endpoint: str, version: str, *, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    count = len(batch) * len(HORIZONS_MIN)
    return pd.DataFrame(
        {
            "endpoint": endpoint,
            "model_version": version,
            "variant": "AllTraffic",
            "station_id": np.repeat(batch["station_id"].to_numpy(), len(HORIZONS_MIN)),
            "dt": np.repeat(batch["dt"].to_numpy(), len(HORIZONS_MIN)),
            "horizon_min": np.tile(np.array(HORIZONS_MIN, dtype=np.int16), len(batch)),
            **{t.probability: rng.random(count) for t in TARGETS},
            "source": "model",
        }
    )


def _pass(bed: Bed) -> None:
    """A fresh pass for what staging serves: here the way is measured, not the verdict."""
    ws, city = bed.ws, bed.city
    found = versions.find(city.registered_model, "2")
    report = GateReport(
        verdict="pass",
        city=city.name,
        endpoint=ws.settings.endpoint("staging", city.name),
        model_version="2",
        artefact_digest=found.digest,
        window=Window.before(ws.now),
        judged_at=ws.now,
        checks=(),
        pinned={"champion_version": "1"},
    )
    records.keep_gate(ws, report, table="", junit="")
