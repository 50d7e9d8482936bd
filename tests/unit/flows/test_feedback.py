"""What people say of a station: kept once, and what was handled is not judged for an hour."""

import io
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.tables import MONITORING_QUALITY, STATION_FEEDBACK
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows import feedback, monitor
from mlops_bikeshare.flows.judging import handled, quality_windows
from mlops_bikeshare.lake import parquet
from tests.unit.flows import tiny

HOUR = timedelta(hours=1)
SPAN = Window(tiny.START, tiny.START + 3 * HOUR)
MARKED = tiny.START + HOUR
Opened = tuple[Workspace, City]


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    ws, city = tiny.workspace(tmp_path)
    ws.advance(MARKED)
    return ws, city


def test_what_was_said_is_one_row_and_the_same_second_is_kept_once(opened: Opened) -> None:
    ws, city = opened
    said = feedback.say(ws, city, station_id="03", what="wrong", note="ten bikes there")
    again = feedback.say(ws, city, station_id="03", what="handled")
    rows = ws.lake.read(STATION_FEEDBACK, city="demo")
    assert rows[["station_id", "what", "note"]].to_numpy().tolist() == [
        ["03", "wrong", "ten bikes there"]
    ]
    assert (said.new, again.new) == (True, False)
    assert "that one counts" in feedback.summary(again)
    asked = ws.query.run("SELECT station_id, said_at FROM station_feedback")
    assert asked["said_at"].iloc[0].to_pydatetime() == MARKED


@pytest.mark.parametrize(
    ("station_id", "what", "note", "told"),
    [
        ("99", "handled", None, "not a station of demo"),
        ("03", "gone", None, "one of handled, wrong"),
        ("03", "wrong", "x" * 501, "501 characters"),
    ],
)
def test_what_cannot_be_kept_is_refused(
    opened: Opened, station_id: str, what: str, note: str | None, told: str
) -> None:
    with pytest.raises(InputError, match=told):
        feedback.say(*opened, station_id=station_id, what=what, note=note)


def rows_of(station: str, *labels_at: datetime) -> pd.DataFrame:
    """Predictions half an hour before their labels."""
    dt = pd.DatetimeIndex([at - timedelta(minutes=30) for at in labels_at]).as_unit("ms")
    labels = dict.fromkeys(("label_bikeout", "label_dockout"), 1.0)
    return pd.DataFrame({"station_id": station, "dt": dt, "horizon_min": 30, **labels})


def test_labels_of_the_hour_after_are_censored_and_no_others(opened: Opened) -> None:
    feedback.say(*opened, station_id="03", what="handled")
    minutes = [-10, 0, 30, 60, 70]
    times = [MARKED + timedelta(minutes=m) for m in minutes]
    marked = handled.censored(*opened, rows_of("03", *times))
    assert marked["handled"].tolist() == [False, True, True, True, False]
    assert (marked["label_bikeout"].isna() == marked["handled"]).all()
    assert (marked["label_dockout"].isna() == marked["handled"]).all()
    assert not handled.censored(*opened, rows_of("04", *times))["handled"].any()


def test_a_wrong_prediction_is_still_judged(opened: Opened) -> None:
    feedback.say(*opened, station_id="03", what="wrong")
    rows = rows_of("03", MARKED + timedelta(minutes=30))
    assert not handled.censored(*opened, rows)["handled"].any()


def test_monitor_says_how_many_rows_were_not_judged(opened: Opened) -> None:
    ws, city = opened
    tiny.predict(ws, SPAN, endpoints=["bikeshare-staging"])
    tiny.poll(ws, Window(SPAN.start, SPAN.end + HOUR))
    feedback.say(ws, city, station_id="03", what="handled")
    ws.advance(SPAN.end)
    found = quality_windows.judge_owed(ws, city, end=SPAN.end, hours=24)
    seen = monitor.Monitored(at=SPAN.end, quality=(found[-1],), drift=())
    assert "7 rows not judged, their stations were handled" in monitor.summary(seen)


def judged(ws: Workspace, city: City) -> pd.DataFrame:
    """The newest window's rows of staging."""
    ws.advance(SPAN.end)
    quality_windows.judge_owed(ws, city, end=SPAN.end, hours=24)
    rows = ws.lake.read(MONITORING_QUALITY, city="demo")
    newest = rows["window_end"] == rows["window_end"].max()
    of_staging: pd.DataFrame = rows[newest & (rows["endpoint"] == "bikeshare-staging")]
    return of_staging.set_index("target")


def test_the_window_counts_handled_rows_as_censored_and_says_so(
    opened: Opened, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    alone = tiny.workspace(other)
    for ws, _ in (opened, alone):
        tiny.predict(ws, SPAN)
        tiny.poll(ws, Window(SPAN.start, SPAN.end + HOUR))
    feedback.say(*opened, station_id="03", what="handled")
    with_mark, without = judged(*opened), judged(*alone)
    # Labels at 01:00, 01:10, …, 02:00.
    assert with_mark["handled"].tolist() == [7, 7]
    assert without["handled"].tolist() == [0, 0]
    assert (with_mark["censored"] == without["censored"] + 7).all()
    assert (with_mark["samples"] == without["samples"] - 7).all()


def test_a_window_judged_before_the_column_was_there_reads_as_unknown(opened: Opened) -> None:
    ws, city = opened
    tiny.predict(ws, SPAN)
    tiny.poll(ws, Window(SPAN.start, SPAN.end + HOUR))
    judged(ws, city)
    key = ws.lake.all_keys(MONITORING_QUALITY)[0]
    body = ws.lake.store.read(key)
    names = [name for name in MONITORING_QUALITY.names if name != "handled"]
    old = io.BytesIO()
    pq.write_table(pq.read_table(io.BytesIO(body), columns=names), old)
    rows = parquet.decode(old.getvalue(), MONITORING_QUALITY.names, table=MONITORING_QUALITY)
    assert rows["handled"].isna().all()
    assert rows["samples"].notna().all()
    ws.lake.store.delete(key)
    ws.lake.store.create(key, old.getvalue())
    asked = ws.query.run("SELECT handled, samples FROM monitoring_quality")
    assert asked["handled"].isna().any()
    assert asked["handled"].notna().any()
