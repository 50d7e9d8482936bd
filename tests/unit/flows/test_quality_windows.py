"""Quality of every window: on time or late, once, and with the labels that there are."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.label import Label
from mlops_bikeshare.domain.tables import MONITORING_QUALITY
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows import monitor
from mlops_bikeshare.flows.judging import judged, quality_record, quality_windows
from mlops_bikeshare.monitoring.metrics import MODEL
from tests.unit.flows import tiny

HOURS = timedelta(hours=1)
SPAN = Window(tiny.START, tiny.START + 3 * HOURS)
END = SPAN.end
LAST = Window(END - timedelta(hours=1), END + timedelta(seconds=1))
ENDS = 18  # the first batch is at the start; a window ends at every decision time after it
JUDGED = ENDS - 3  # of the first three no label has matured
STAGING = "bikeshare-staging"


@pytest.fixture
def made(tmp_path: Path) -> tuple[Workspace, City]:
    ws, city = tiny.workspace(tmp_path)
    tiny.predict(ws, SPAN)
    return ws, city


def judge(ws: Workspace, city: City, *, at: datetime | None = None, **more: object) -> int:
    end = END if at is None else at
    ws.advance(end)
    found = quality_windows.judge_owed(ws, city, end=end, hours=24, **more)  # type: ignore[arg-type]
    return len(found)


def table(ws: Workspace) -> pd.DataFrame:
    rows = ws.lake.read(MONITORING_QUALITY, city="demo")
    return rows.sort_values([*MONITORING_QUALITY.key]).reset_index(drop=True)


def posted(ws: Workspace, name: str = "QualitySamples-24h") -> list[float]:
    """How many values each window has."""
    of = {"EndpointName": STAGING, "City": "demo", "ModelVersion": "1", "Target": "bikeout"}
    window = Window(SPAN.start, END + HOURS)
    found = ws.metrics.series(MODEL, name, of, window=window, statistic="SampleCount", period_s=600)
    return [count for _, count in found]


def test_a_batch_of_which_nobody_knows_who_answered_stops_no_judgement(
    made: tuple[Workspace, City],
) -> None:
    ws, city = made
    tiny.poll(ws, Window(SPAN.start, END + HOURS))
    unknown = Window(END, END + timedelta(minutes=10))
    tiny.predict(ws, unknown, answer=lambda rows: rows.assign(model_version=None))
    seen = END + timedelta(minutes=40)
    judge(ws, city, at=seen)
    assert table(ws)["window_end"].max() == seen
    assert set(table(ws)["model_version"]) == {"1"}


def test_catching_up_after_an_outage_gives_what_being_on_time_would_have_given(
    made: tuple[Workspace, City], tmp_path: Path
) -> None:
    ws, city = made
    tiny.poll(ws, SPAN)
    late = tmp_path / "late"
    late.mkdir()
    other, _ = tiny.workspace(late)
    tiny.predict(other, SPAN)
    tiny.poll(other, SPAN)
    for at in Window(SPAN.start, LAST.end).steps():
        judge(ws, city, at=at)

    assert judge(other, city) == 2 * JUDGED

    pd.testing.assert_frame_equal(table(ws), table(other))
    assert posted(ws) == posted(other) == [1] * JUDGED


def test_judging_again_writes_and_posts_nothing(made: tuple[Workspace, City]) -> None:
    ws, city = made
    tiny.poll(ws, SPAN)
    assert judge(ws, city) == 2 * JUDGED
    before = table(ws)

    assert judge(ws, city) == 0

    pd.testing.assert_frame_equal(table(ws), before)
    assert set(posted(ws)) == {1}


def test_labels_that_come_late_make_a_new_revision_and_leave_the_metrics_alone(
    made: tuple[Workspace, City],
) -> None:
    ws, city = made
    gap = Window(END - 2 * HOURS, END - HOURS)
    tiny.poll(ws, Window(SPAN.start, gap.start))
    tiny.poll(ws, Window(gap.end, END))
    judge(ws, city)
    first = table(ws)
    assert set(first["revision"]) == {1}
    newest = first[first["window_end"] == pd.Timestamp(END)]
    assert (newest["feed_down"] == 6).all(), "six label slots of that hour"
    assert (newest["censored"] > 0).all()

    tiny.poll(ws, gap)
    assert judge(ws, city) > 0

    rows = quality_record.read(ws, city, STAGING, LAST)
    highest = quality_record.highest(rows)
    assert set(highest["revision"]) == {2}
    assert (highest["feed_down"] == 0).all()
    assert (highest["censored"] == 0).all()
    assert (quality_record.first(rows)["censored"] > 0).all(), "the first revision stays"
    assert set(posted(ws)) == {1}
    seen = ws.query.run("SELECT window_end, target, endpoint, revision FROM v_quality")
    last = seen[seen["window_end"] == pd.Timestamp(END)]
    assert last["revision"].tolist() == [2] * 4
    assert judge(ws, city) == 0


def test_labels_later_than_that_are_found_when_asked_for(made: tuple[Workspace, City]) -> None:
    ws, city = made
    gap = Window(SPAN.start + HOURS, SPAN.start + 2 * HOURS)
    tiny.poll(ws, Window(SPAN.start, gap.start))
    tiny.poll(ws, Window(gap.end, END))
    judge(ws, city)
    tiny.poll(ws, gap)
    rules = replace(ws.settings.monitoring, revise_h=0)
    forgetful = replace(ws, settings=replace(ws.settings, monitoring=rules))
    seen = quality_windows.judge_owed(forgetful, city, end=END, hours=24)
    assert {report.window.end for report in seen} == {END}

    asked = quality_windows.judge_owed(forgetful, city, end=END, hours=24, since=SPAN.start)

    again = {report.window.end for report in asked if report.revision == 2}
    assert min(again) == gap.start + timedelta(minutes=10)
    assert max(again) == END - timedelta(minutes=10), "that of the end was judged again before"


def test_a_run_killed_between_metrics_and_table_is_made_up_for_and_posts_once(
    made: tuple[Workspace, City], monkeypatch: pytest.MonkeyPatch
) -> None:
    ws, city = made
    tiny.poll(ws, SPAN)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(quality_record, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            judge(ws, city)
    assert table(ws).empty
    assert posted(ws) == [1]

    judge(ws, city)

    assert len(table(ws)) == 2 * 2 * JUDGED
    assert posted(ws) == [1] * JUDGED


def test_what_nobody_saw_is_censored_not_negative_and_the_summary_says_so(
    made: tuple[Workspace, City],
) -> None:
    ws, city = made
    tiny.poll(ws, Window(SPAN.start, END - HOURS))
    ws.advance(END)
    seen = monitor.monitor(ws, city, at=END)
    rows = table(ws)
    last = rows[(rows["window_end"] == pd.Timestamp(END)) & (rows["endpoint"] == STAGING)]

    assert (last["samples"] + last["censored"] == JUDGED * len(tiny.STATIONS)).all()
    assert (last["feed_down"] == 6).all(), "labels of the last hour up to ten minutes ago"
    assert "the feed was down for 6 decision times" in monitor.summary(seen)
    assert seen.caught_up == 2 * (JUDGED - 1)


def test_a_model_that_answers_nan_does_not_hide_the_other_endpoints_quality(
    tmp_path: Path,
) -> None:
    ws, city = tiny.workspace(tmp_path)

    def nothing(rows: pd.DataFrame) -> pd.DataFrame:
        return rows.assign(p_bikeout=rows["p_bikeout"].where(rows["station_id"] > "01"))

    tiny.poll(ws, SPAN)
    tiny.predict(ws, SPAN, endpoints=["bikeshare-prod"])
    tiny.predict(ws, SPAN, endpoints=[STAGING], answer=nothing)
    judge(ws, city)
    last = table(ws)[lambda rows: rows["window_end"] == pd.Timestamp(END)]
    of = last.set_index(["endpoint", "target"])["unanswered"].to_dict()
    assert of == {
        (STAGING, "bikeout"): 2 * JUDGED,
        (STAGING, "dockout"): 0,
        ("bikeshare-prod", "bikeout"): 0,
        ("bikeshare-prod", "dockout"): 0,
    }


def test_each_version_is_judged_by_the_label_that_it_was_trained_with(tmp_path: Path) -> None:
    ws, city = tiny.workspace(tmp_path)
    tiny.write_version(ws, city, "2", label=Label(threshold=4, mode="within"))
    tiny.poll(ws, SPAN)
    half = SPAN.start + HOURS
    tiny.predict(ws, Window(SPAN.start, half), endpoints=[STAGING])
    tiny.predict(ws, Window(half, END), endpoints=[STAGING], version="2")
    judge(ws, city)
    rows = table(ws)
    rows = rows[(rows["window_end"] == pd.Timestamp(END)) & (rows["target"] == "bikeout")]
    found = rows.set_index("model_version")["base_rate"]

    def share(window: Window, label: Label) -> float:
        """Of the matured decision times of `window`, counted by hand."""
        steps = [at for at in window.steps() if at <= END - timedelta(minutes=40)]
        minutes = range(5, 31, 5) if label.mode == "within" else (30,)
        way = [[tiny.bikes(at + timedelta(minutes=m)) for m in minutes] for at in steps]
        return float((np.min(way, axis=1) <= label.threshold).mean())

    assert found["1"] == pytest.approx(share(Window(SPAN.start, half), Label()))
    assert found["2"] == pytest.approx(share(Window(half, END), Label(threshold=4, mode="within")))


def test_days_without_a_batch_are_not_read_again_at_every_look(
    made: tuple[Workspace, City], monkeypatch: pytest.MonkeyPatch
) -> None:
    ws, city = made
    tiny.poll(ws, SPAN)
    judge(ws, city)
    read: list[Window] = []
    honest = judged.predictions

    def counted(ws: Workspace, city: City, endpoint: str, window: Window) -> pd.DataFrame:
        read.append(window)
        return honest(ws, city, endpoint, window)

    monkeypatch.setattr(judged, "predictions", counted)
    judge(ws, city, at=END + timedelta(days=20))

    assert len(read) == 4, "of two days, of two endpoints"
