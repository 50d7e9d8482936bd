"""What the other pages show of a made-up city: an hour of batches, quality, metrics, an audit."""

import re
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlops_bikeshare.domain.tables import (
    INFERENCE,
    MONITORING_AUDIT,
    MONITORING_QUALITY,
    STATION_STATUS,
    Column,
)
from mlops_bikeshare.domain.targets import TARGETS
from mlops_bikeshare.lake.lake import Lake
from mlops_bikeshare.lake.local import LocalStore
from mlops_bikeshare.monitoring.metrics import point
from mlops_bikeshare.monitoring.sqlite import SqliteMetricStore
from mlops_bikeshare.release import audit as chain
from tests.browser import made_city
from tests.browser.made_city import CITY, DT

PROD, STAGING = "bikeshare-prod", "bikeshare-staging"
DRIFT_PAGE = "<!doctype html><title>Drift</title><h1>Drift of a made-up day</h1>"
_STEP = pd.Timedelta(minutes=10).as_unit("ms")
_BACK = 6


def write_day(home: Path, *, stations: int, workspace: str = "main") -> None:
    """A city with everything that the pages read, but no model."""
    made_city.write_city(home, stations=stations, workspace=workspace)
    told = (home / "bikeshare.toml").read_text()
    owner = re.sub(r'(?m)^default_city = "\w+"', f'default_city = "{CITY}"', told, count=1)
    (home / "bikeshare.toml").write_text(owner)
    shutil.copytree(made_city.ROOT / "ops", home / "ops", dirs_exist_ok=True)
    var, rng = home / "var" / workspace, np.random.default_rng(11)
    lake = Lake(LocalStore(var / "lake"))
    for back in range(1, _BACK):
        dt = DT - back * _STEP
        said = made_city._predictions(stations, rng).assign(dt=dt)
        lake.write(INFERENCE, said, city=CITY, name=f"batch{back}")
        seen = made_city._status(stations, rng).assign(
            slot=dt, observed_at=dt - pd.Timedelta(minutes=2), fetched_at=dt
        )
        lake.write(STATION_STATUS, seen, city=CITY, name=f"poll{back}")
    lake.write(MONITORING_QUALITY, _quality(), city=CITY, name="quality")
    day = DT.strftime("%Y-%m-%d")
    name = f"monitoring/drift_reports/date={day}/{PROD}_3_20210901T120000Z.html"
    lake.store.create(name, DRIFT_PAGE.encode())
    _metrics(var)
    _audit(var, lake)


def _quality() -> pd.DataFrame:
    """Six windows of two versions, both targets."""
    rows = []
    for endpoint, version, better in ((PROD, "3", 0.0), (STAGING, "4", 0.02)):
        for target in TARGETS:
            for back in range(_BACK):
                known: dict[str, Any] = {
                    column.name: _value(column) for column in MONITORING_QUALITY.columns
                }
                end = DT - back * _STEP
                rows.append(
                    known
                    | {
                        "endpoint": endpoint,
                        "model_version": version,
                        "target": target.name,
                        "window_start": end - pd.Timedelta(days=1),
                        "window_end": end,
                        "horizon_min": 30,
                        "samples": 40_000,
                        "pr_auc": 0.84 + better - 0.002 * back,
                    }
                )
    frame = pd.DataFrame(rows)
    kinds = {c.name: c.kind for c in MONITORING_QUALITY.columns if c.kind.startswith("int")}
    return frame.astype(kinds)[MONITORING_QUALITY.names]


def _value(column: Column) -> Any:
    if column.kind == "timestamp":
        return DT
    if column.kind == "string":
        return ""
    return 0.5 if column.kind.startswith("float") else 1


def _metrics(var: Path) -> None:
    variant = {"EndpointName": PROD, "VariantName": "AllTraffic"}
    of = {"EndpointName": PROD, "City": CITY}
    with SqliteMetricStore(var / "metrics.db") as store:
        for back in range(_BACK):
            at = DT.to_pydatetime() - back * timedelta(minutes=10)
            asked = {"Invocations": 1, "Invocation4XXErrors": 0, "Invocation5XXErrors": 0}
            timed = {"ModelLatency": 48_000 + 900 * back, "OverheadLatency": 2_000}
            values = {**asked, **timed}
            points = [point(n, v, at=at, dimensions=variant) for n, v in values.items()]
            ran = {"PredictionHeartbeat": 1, "BatchSuccessRate": 1, "PSI": 0.1}
            points += [point(n, v, at=at, dimensions=of) for n, v in ran.items()]
            store.put([*points, point("FeedAge_s", 42, at=at, dimensions={"City": CITY})])


def _audit(var: Path, lake: Lake) -> None:
    check = {
        "name": "PR-AUC-24h",
        "value": 0.86,
        "relation": ">=",
        "threshold": 0.7,
        "verdict": "pass",
        "detail": "0.86 of 12:00",
    }
    told = (
        ("deploy", "first champion", {"endpoint": PROD, "version": "3"}),
        ("gate", "asked", {"endpoint": STAGING, "model_version": "4", "verdict": "pass"}),
    )
    previous, lines = None, []
    for number, (kind, why, facts) in enumerate(told, start=1):
        at = DT.to_pydatetime() - timedelta(minutes=30 - number)
        checks = {"checks": [check]} if kind == "gate" else {}
        entry = chain.entry(
            previous, kind=kind, at=at, who="ada", why=why, facts={"city": CITY, **facts, **checks}
        )
        row = chain.table(entry, number=number)
        lake.write(MONITORING_AUDIT, row, city=CITY, name=f"n{number}")
        lines.append(chain.line(entry))
        previous = entry["digest"]
    (var / "audit.jsonl").write_text("\n".join(lines) + "\n")
