"""The half hour without labels: what its answers promise is posted, once, from answers alone."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.tables import MONITORING_QUALITY
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows.judging import estimates, quality_windows
from mlops_bikeshare.monitoring.metrics import MODEL
from tests.unit.flows import tiny

SPAN = Window(tiny.START, tiny.START + timedelta(hours=3))
NEWEST = SPAN.end - timedelta(minutes=10)
OF = {"EndpointName": "bikeshare-staging", "City": "demo"}


@pytest.fixture
def made(tmp_path: Path) -> tuple[Workspace, City]:
    ws, city = tiny.workspace(tmp_path)
    tiny.predict(ws, SPAN)
    ws.advance(NEWEST)
    return ws, city


def newest(ws: Workspace, name: str) -> float | None:
    found = ws.metrics.latest(MODEL, name, OF, before=NEWEST, within_s=3600)
    return found[1] if found else None


def test_an_estimate_needs_no_label_and_is_of_the_worse_target(
    made: tuple[Workspace, City],
) -> None:
    ws, city = made
    posted = estimates.post(ws, city, end=NEWEST)
    each = {
        (p.name, p.dimensions.get("Target")): p.value
        for p in posted
        if p.dimensions["EndpointName"] == OF["EndpointName"]
    }
    for name, worse in (("EstimatedBrier", max), ("EstimatedPR-AUC", min)):
        both = [each[name, target] for target in ("bikeout", "dockout")]
        assert newest(ws, name) == each[name, None] == worse(both)


def test_running_again_posts_nothing_twice(made: tuple[Workspace, City]) -> None:
    ws, city = made
    for _ in range(2):
        estimates.post(ws, city, end=NEWEST)
    window = Window(SPAN.start, SPAN.end)
    found = ws.metrics.series(
        MODEL, "EstimatedBrier", OF, window=window, statistic="SampleCount", period_s=600
    )
    assert [count for _, count in found] == [1]


def test_stand_ins_promise_nothing(tmp_path: Path) -> None:
    ws, city = tiny.workspace(tmp_path)
    tiny.predict(ws, SPAN, answer=lambda rows: rows.assign(source="fallback"))
    ws.advance(NEWEST)
    assert estimates.post(ws, city, end=NEWEST) == []


def test_of_two_variants_the_one_that_answered_most_speaks_for_the_endpoint(
    tmp_path: Path,
) -> None:
    ws, city = tiny.workspace(tmp_path)

    def few_by_another(rows: pd.DataFrame) -> pd.DataFrame:
        first = np.arange(len(rows)) % len(tiny.STATIONS) == 0
        return rows.assign(model_version=np.where(first, "2", "1"))

    tiny.predict(ws, SPAN, answer=few_by_another)
    ws.advance(NEWEST)
    versions = {p.dimensions.get("ModelVersion", "1") for p in estimates.post(ws, city, end=NEWEST)}
    assert versions == {"1"}


def test_the_table_keeps_the_promise_beside_the_truth(made: tuple[Workspace, City]) -> None:
    ws, city = made
    tiny.poll(ws, Window(SPAN.start, SPAN.end))
    quality_windows.judge_owed(ws, city, end=NEWEST, hours=24)
    rows = ws.lake.read(MONITORING_QUALITY, city="demo")
    full = rows[rows["samples"] > 50]
    assert len(full)
    assert np.all(np.abs(full["estimated_brier"] - full["brier"]) < 0.15)
    assert full["estimated_pr_auc"].between(0, 1).all()
