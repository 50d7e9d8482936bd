"""Drift of every full hour: reports in the lake, owed hours made up for, a page without links."""

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.reports import DriftReport, FeedDrift
from mlops_bikeshare.domain.windows import Window, stamp
from mlops_bikeshare.flows import infer
from mlops_bikeshare.flows.judging import drift_windows
from mlops_bikeshare.flows.pages import drift_page
from mlops_bikeshare.monitoring.drift import DriftRules, Shift
from tests.unit.flows import tiny

HOUR = timedelta(hours=1)
SPAN = Window(tiny.START, tiny.START + 3 * HOUR)
NAME = "bikeshare-staging_1_{}.json"


@pytest.fixture
def made(tmp_path: Path) -> tuple[Workspace, City]:
    """Features of two hours; nothing is hosted, so the predictions say what served."""
    ws, city = tiny.workspace(tmp_path)
    tiny.poll(ws, SPAN)
    tiny.predict(ws, SPAN, endpoints=["bikeshare-staging"])
    for at in Window(SPAN.start + HOUR, SPAN.end).steps():
        infer.online_features(ws, city, at)
    ws.advance(SPAN.end)
    return ws, city


def reports(ws: Workspace) -> dict[str, Any]:
    keys = ws.lake.store.keys(drift_windows.REPORTS)
    return {key: json.loads(ws.lake.store.read(key)) for key in keys}


def test_an_hour_whose_newest_answers_are_nobodys_is_that_of_the_version_before(
    made: tuple[Workspace, City],
) -> None:
    ws, city = made
    after = Window(SPAN.end, SPAN.end + HOUR)
    tiny.predict(
        ws,
        after,
        endpoints=["bikeshare-staging"],
        answer=lambda rows: rows.assign(
            model_version=rows["model_version"].where(rows["dt"] < rows["dt"].max())
        ),
    )
    ws.advance(after.end + HOUR)
    found = drift_windows.judge_owed(ws, city, end=after.end + HOUR, hours=2)
    assert {report.model_version for report in found} == {"1"}


def test_each_owed_hour_leaves_a_report_once_also_when_there_is_not_enough(
    made: tuple[Workspace, City],
) -> None:
    ws, city = made
    first = drift_windows.judge_owed(ws, city, end=SPAN.start + HOUR, hours=1)
    assert [report.level for report in first] == ["not enough"]
    assert "rows of at least 100" in first[0].why
    rest = drift_windows.judge_owed(ws, city, end=SPAN.end + timedelta(minutes=10), hours=1)
    assert [report.window.end for report in rest] == [SPAN.start + 2 * HOUR, SPAN.end]
    assert drift_windows.judge_owed(ws, city, end=SPAN.end, hours=1) == []

    found = reports(ws)
    folder = f"{drift_windows.REPORTS}/date=2025-06-01"
    ends = [SPAN.start + i * HOUR for i in (1, 2, 3)]
    assert sorted(found) == [f"{folder}/{NAME.format(stamp(end))}" for end in ends]
    assert [report["level"] for report in found.values()] == ["not enough"] * 3
    assert {report["psi_max"] for report in found.values()} == {None}


def report() -> DriftReport:
    return DriftReport(
        endpoint="bikeshare-prod",
        city="demo",
        model_version="2",
        window=Window.before(tiny.START),
        rows=50_000,
        enough=True,
        psi={"bikes": 0.4, "docks": 0.25, "age_min": 0.01},
        psi_max=0.4,
        drift_share=2 / 3,
        out_of_range={"network_fill": 0.25, "weekday": 0.0},
        predictions={"bikeout": 0.1},
        feed=FeedDrift(known=300, appeared=("<b>",), vanished=("7", "8"), moved=(("9", 120.0),)),
        level="critical",
    )


def test_the_page_shows_the_worst_first_and_refers_to_nothing_outside() -> None:
    shifts = [
        Shift(name=name, psi=0.4, edges=(1.0,), then=(0.5, 0.5, 0.0), now=(0.9, 0.1, 0.0))
        for name in ("bikes", "bikeout")
    ]
    history = [(tiny.START - i * HOUR, 0.1 * i) for i in (3, 2, 1)]
    page = drift_page.page(report(), shifts, DriftRules(), history=history)
    assert "2 of 3 features drift; the largest PSI is 0.400 (bikes), over 50,000 rows" in page
    assert page.index(">bikes</td>") < page.index(">docks</td>") < page.index(">age_min</td>")
    assert page.count("<svg") == 4
    assert "network_fill in 25%" in page
    assert "weekday" not in page
    assert "New: &lt;b&gt;." in page
    assert "Gone: 7, 8." in page
    assert "9 by 120 m" in page
    assert re.findall(r"""src=["']?(?!data:)[^"'>\s]+|<link|<script""", page) == []
