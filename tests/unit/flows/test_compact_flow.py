"""`compact` on a workspace: days that are over, and how long polls are kept."""

import shutil
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.tables import INFERENCE, QUARANTINED_ROWS, STATION_STATUS
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows.compact import compact, recent, summary
from mlops_bikeshare.flows.judging.judged import predictions
from mlops_bikeshare.lake.quarantine import FOLDER, keep_document
from mlops_bikeshare.monitoring.metrics import MODEL, point
from mlops_bikeshare.settings import load
from tests.unit.flows.tiny import ENDPOINTS, ROOT, START, poll, predict, workspace

DAY = Window(START, START + timedelta(days=1))


@pytest.fixture
def lived(tmp_path: Path) -> tuple[Workspace, City]:
    """A day and an hour of polls and batches, an object an hour; it is half past midnight."""
    ws, city = workspace(tmp_path)
    for hour in range(25):
        begin = START + timedelta(hours=hour)
        poll(ws, Window(begin, begin + timedelta(hours=1)))
        predict(ws, Window(begin, begin + timedelta(hours=1)))
    ws.advance(DAY.end + timedelta(minutes=30))
    return ws, city


def in_order(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.sort_values(["dt", "station_id"], ignore_index=True)


def test_days_that_are_over_become_one_object_per_table_and_today_is_left(
    lived: tuple[Workspace, City],
) -> None:
    ws, city = lived
    before = [predictions(ws, city, name, DAY) for name in ENDPOINTS]
    seen = ws.query.run("SELECT * FROM v_predictions ORDER BY 1, 2, 3, 4")

    done = compact(ws, city)

    assert (done.days, done.objects, done.deleted) == (2, 24 + 48, 24 + 48)
    assert "72 objects became 2" in summary(done)
    for table in (STATION_STATUS, INFERENCE):
        assert len(ws.lake.keys(table, city=city.name, day=START.date())) == 1
    assert len(ws.lake.keys(INFERENCE, city=city.name, day=DAY.end.date())) == 2
    for name, rows in zip(ENDPOINTS, before, strict=True):
        after = predictions(ws, city, name, DAY)
        pd.testing.assert_frame_equal(in_order(after), in_order(rows))
    pd.testing.assert_frame_equal(
        ws.query.run("SELECT * FROM v_predictions ORDER BY 1, 2, 3, 4"), seen
    )
    assert compact(ws, city).days == 0


def test_a_window_limits_the_days_and_the_daily_run_looks_at_the_last_week(
    lived: tuple[Workspace, City],
) -> None:
    ws, city = lived

    assert recent(ws) == Window(DAY.end - timedelta(days=7), DAY.end)
    assert compact(ws, city, window=Window(START - timedelta(days=2), START)).days == 0
    assert compact(ws, city, window=recent(ws)).days == 2


def test_polls_and_quarantine_older_than_the_settings_keep_are_removed_and_nothing_else(
    lived: tuple[Workspace, City],
) -> None:
    ws, city = lived
    refused = pd.DataFrame(
        {
            "feed": "station_status",
            "position": pd.Series([0], dtype="int32"),
            "station_id": "7",
            "reason": "expected a number",
            "row": "{}",
            "fetched_at": pd.Timestamp(START).as_unit("ms"),
        }
    )
    ws.lake.write(QUARANTINED_ROWS, refused, city=city.name, name="first")
    keep_document(ws.lake.store, b"<html>", city=city.name, at=START, name="first")
    settings = load(ws.settings.root, {}, {"lake.keep_raw_days": 2}).with_workspace("demo")
    ws = open_workspace(settings)

    ws.advance(START + timedelta(days=2))
    assert compact(ws, city).removed == 0
    ws.advance(START + timedelta(days=3))
    assert compact(ws, city).removed == 2
    assert ws.lake.days(QUARANTINED_ROWS, city=city.name) == []
    assert ws.lake.store.keys(FOLDER) == []
    assert len(ws.lake.days(STATION_STATUS, city=city.name)) == 2


@pytest.mark.parametrize(("window_h", "left"), [(24, 1), (24 * 60, 2)])
def test_old_metrics_are_forgotten_but_never_what_the_gate_looks_back_to(
    tmp_path: Path, window_h: int, left: int
) -> None:
    shutil.copy(ROOT / "bikeshare.toml", tmp_path)
    told = {"monitoring.keep_metrics_days": 30, "gate.window_h": window_h}
    ws = open_workspace(load(tmp_path, {}, told), simulated=True)
    ws.advance(DAY.end)
    of = {"EndpointName": "bikeshare-prod", "City": "demo"}
    days = (40, 20)
    ws.metrics.put([point("PSI", 0.1, at=DAY.end - timedelta(days=d), dimensions=of) for d in days])

    done = compact(ws, ws.settings.city("boston"))

    assert done.forgotten == 2 - left
    whole = Window(DAY.end - timedelta(days=50), DAY.end)
    found = ws.metrics.series(
        MODEL, "PSI", of, window=whole, statistic="SampleCount", period_s=86_400
    )
    assert len(found) == left
