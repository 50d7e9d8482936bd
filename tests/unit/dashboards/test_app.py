"""The page without a browser: what it says in every state (the map itself is in tests/browser)."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboards.launch import APP
from dashboards.screens import wanted_rows
from mlops_bikeshare.domain.tables import (
    INFERENCE,
    STATION_FEEDBACK,
    STATION_INFORMATION_RAW,
    STATION_STATUS,
)
from mlops_bikeshare.lake.lake import Lake
from mlops_bikeshare.lake.local import LocalStore

Write = Callable[..., None]
Build = Callable[..., pd.DataFrame]
LATER = pd.Timestamp("2021-09-01T15:10", tz="UTC")


@pytest.fixture
def page(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], AppTest]]:
    monkeypatch.setenv("BIKESHARE_HOME", str(home))
    monkeypatch.setattr(sys, "argv", [str(APP)])
    st.cache_resource.clear()
    yield lambda: AppTest.from_file(str(APP), default_timeout=20).run()
    st.cache_resource.clear()


def words(app: AppTest) -> str:
    assert not app.exception
    kinds = (app.title, app.markdown, app.caption, app.info, app.warning, app.error, app.code)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def test_settings_that_cannot_be_read_are_a_message(
    home: Path, page: Callable[[], AppTest]
) -> None:
    (home / "bikeshare.toml").write_text("wrong = ")
    assert "not valid TOML" in page().error[0].value


def test_no_workspace_says_make_demo(page: Callable[[], AppTest]) -> None:
    app = page()
    assert "no workspace 'main'" in words(app)
    assert app.code[0].value == "make demo"


def test_no_predictions_says_which_command(
    write: Write, information: Build, page: Callable[[], AppTest]
) -> None:
    write(STATION_INFORMATION_RAW, information())
    assert page().code[0].value == "bikeshare --workspace main infer --city boston"


@pytest.mark.usefixtures("full")
def test_a_fresh_batch_is_summed_up_without_a_warning(page: Callable[[], AppTest]) -> None:
    app = page()
    said = words(app)
    assert "Likely in 30 min (60% or more): **1** out of bikes and **1** out of docks" in said
    assert "of 4 stations. 1 have no position" in said
    assert "model version 3" in said
    assert not app.warning


@pytest.mark.usefixtures("full")
def test_old_predictions_are_called_stale_with_what_to_type(
    workspace: Path, page: Callable[[], AppTest]
) -> None:
    state = {"clock": "simulated", "now": LATER.isoformat()}
    (workspace / "workspace.json").write_text(json.dumps(state))
    said = words(page())
    assert "**Stale:** the newest predictions are 3 h old" in said
    assert "bikeshare --workspace main infer --city boston" in said


def test_answers_of_the_fallback_are_said_to_be_so(
    write: Write, full: None, batch: Build, page: Callable[[], AppTest]
) -> None:
    _ = full
    newer = pd.Timestamp("2021-09-01T12:20", tz="UTC").as_unit("ms")
    write(INFERENCE, batch(newer, source="fallback"))
    assert "100% of these answers are the fallback's" in words(page())


@pytest.mark.usefixtures("full")
def test_a_station_from_the_list_shows_its_counts_and_chances(
    page: Callable[[], AppTest],
) -> None:
    app = page()
    app.text_input[0].set_value("mill").run()
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown == {
        "Bikes": "4",
        "Docks free": "unknown",
        "Capacity": "15",
        "Out of bikes in 30 min": "20%",
        "Out of docks in 30 min": "70%",
    }
    assert "counted 12 min ago" in words(app)
    assert "**takes no bikes back**" in words(app)


@pytest.mark.usefixtures("full")
def test_a_station_without_a_prediction_says_so_and_makes_none_up(
    page: Callable[[], AppTest],
) -> None:
    app = page()
    app.text_input[0].set_value("004").run()
    assert "made no prediction for this station" in words(app)
    assert [metric.value for metric in app.metric] == ["unknown", "unknown", "19"]


@pytest.mark.usefixtures("full")
def test_a_station_that_is_closed_says_so_where_every_station_reports(
    write: Write, status: Build, page: Callable[[], AppTest]
) -> None:
    others = status().assign(station_id=["003", "004"], is_returning=True, is_renting=False)
    write(STATION_STATUS, others.assign(num_docks_available=pd.array([5, 5], dtype="Int16")))
    app = page()
    app.text_input[0].set_value("004").run()
    assert "**rents no bikes**" in words(app)


@pytest.mark.usefixtures("full")
def test_a_station_is_marked_on_the_map_and_everyone_sees_that_it_was_handled(
    workspace: Path, page: Callable[[], AppTest]
) -> None:
    app = page()
    app.text_input[0].set_value("mill").run()
    next(b for b in app.button if b.label == "Mark as handled").click().run()
    assert "Station 002: handled, Wed 1 Sep 2021, 08:20 EDT (12:20 UTC), by" in app.success[0].value
    kept = Lake(LocalStore(workspace / "lake")).read(STATION_FEEDBACK, city="boston")
    assert kept[["station_id", "what"]].to_numpy().tolist() == [["002", "handled"]]
    st.cache_resource.clear()
    other = page()
    other.text_input[0].set_value("mill").run()
    assert "Handled less than a minute ago; not judged until Wed 1 Sep" in other.info[0].value


@pytest.mark.usefixtures("full")
def test_a_mark_that_cannot_be_kept_says_why(workspace: Path, page: Callable[[], AppTest]) -> None:
    app = page()
    app.text_input[0].set_value("mill").run()
    (workspace / "lake" / "feedback").write_text("no folder")
    next(b for b in app.button if b.label == "Prediction is wrong").click().run()
    assert not app.success
    assert "cannot write to" in app.error[0].value


@pytest.mark.usefixtures("full")
def test_what_a_feed_calls_a_station_draws_nothing(
    write: Write, information: Build, page: Callable[[], AppTest]
) -> None:
    named = information().assign(
        name=["[Quay](http://elsewhere)", ":red[Mill]", "1. Gate", ""],
        fetched_at=pd.Timestamp("2021-09-01T12:00", tz="UTC"),
    )
    write(STATION_INFORMATION_RAW, named)
    app = page()
    assert app.button[0].label.startswith(r"\[Quay\](http\://elsewhere): out of bikes")
    app.text_input[0].set_value("mill").run()
    assert app.header[0].value == r"\:red\[Mill\]"


def top_page() -> None:
    import os
    from pathlib import Path

    from dashboards.readings import choose
    from dashboards.screens import top

    top.show(choose(Path.cwd(), os.environ, workspace="main"))


@pytest.mark.usefixtures("full", "page")
def test_a_ranking_of_old_predictions_is_called_stale(workspace: Path) -> None:
    assert not AppTest.from_function(top_page, default_timeout=20).run().warning
    st.cache_resource.clear()
    state = {"clock": "simulated", "now": LATER.isoformat()}
    (workspace / "workspace.json").write_text(json.dumps(state))
    told = AppTest.from_function(top_page, default_timeout=20).run().warning[0].value
    assert "**Stale:** the newest predictions are 3 h old" in told


def test_the_summary_counts_only_the_stockout_that_was_asked_for() -> None:
    rows = pd.DataFrame({"p_bikeout": [0.9, 0.1], "p_dockout": [0.0, 0.7], "lat": 1, "lon": 1})
    assert "**1** out of bikes and **1** out of docks, of 2" in wanted_rows.summary(rows, 30, of=2)
    only = wanted_rows.summary(rows.iloc[1:], 30, of=2, which="dockout")
    assert "**1** out of docks, of 1 shown of 2." in only
    assert "bikes" not in only


@pytest.mark.usefixtures("full")
def test_the_riskiest_stations_are_one_press_away(page: Callable[[], AppTest]) -> None:
    app = page()
    assert [button.label for button in app.button] == [
        "Quay: out of bikes 90%, out of docks 0%",
        "Mill & Co: out of bikes 20%, out of docks 70%",
    ]
    app.button[0].click().run()
    assert app.header[0].value == "Quay"


@pytest.mark.usefixtures("full")
def test_a_name_that_several_bear_lists_them_and_one_that_nobody_bears_says_so(
    page: Callable[[], AppTest],
) -> None:
    app = page()
    app.text_input[0].set_value("i").run()  # of Mill & Co and of Station 003
    assert [button.label.partition(":")[0] for button in app.button] == ["Mill & Co", "Station 003"]
    app.text_input[0].set_value("nowhere").run()
    assert "No station is called so." in words(app)
