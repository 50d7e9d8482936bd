"""The pages Moves and What if without a browser, on a real lake and a real endpoint."""

import math
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboards.screens import what_if
from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.tables import STATION_FEEDBACK, WHATIF_REQUESTS
from mlops_bikeshare.features.definition import FEATURE_NAMES
from tests.contract.models import create_endpoint, put_model, variant
from tests.contract.test_what_if import SENSIBLE
from tests.unit.flows import lived


@pytest.fixture(scope="module")
def ws(
    tmp_path_factory: pytest.TempPathFactory, models: Any, module_host: Callable[..., Any]
) -> Workspace:
    made, _ = lived.workspace(tmp_path_factory.mktemp("home"))
    lived.predict(made)
    host = module_host(root=made.path)
    put_model(host.clients, "sensible", models(scorer=SENSIBLE, columns=FEATURE_NAMES), version="7")
    create_endpoint(host.clients, lived.PROD, variant("AllTraffic", "sensible"))
    return made


@pytest.fixture
def environment(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    monkeypatch.setenv("BIKESHARE_HOME", str(ws.settings.root))
    monkeypatch.setenv("BIKESHARE_SM_ENDPOINT", lived.PROD)
    st.cache_resource.clear()
    st.cache_data.clear()
    yield monkeypatch
    st.cache_resource.clear()
    st.cache_data.clear()


def moves_page() -> None:
    import os
    from pathlib import Path

    from dashboards.readings import choose
    from dashboards.screens import moves_panel

    moves_panel.show(choose(Path.cwd(), os.environ, workspace="demo"))


def what_if_page() -> None:
    import os
    from pathlib import Path

    from dashboards.readings import choose
    from dashboards.screens import what_if

    what_if.show(choose(Path.cwd(), os.environ, workspace="demo"))


def run(page: Callable[[], None]) -> AppTest:
    app = AppTest.from_function(page, default_timeout=60).run()
    assert not app.exception
    return app


def requests(ws: Workspace) -> int:
    return int(ws.lake.read(WHATIF_REQUESTS, city="demo")["request"].nunique())


@pytest.mark.usefixtures("environment")
def test_the_plan_is_shown_and_a_larger_fleet_changes_it() -> None:
    app = run(moves_page)
    small = app.dataframe[0].value
    assert list(small.columns)[:4] == ["Van", "From", "To", "Bikes"]
    assert small["Bikes"].sum() > 0
    app.number_input[1].set_value(1).run()
    assert not app.exception
    assert app.dataframe[0].value["Bikes"].max() == 1
    assert app.metric[2].value == f"{app.dataframe[0].value['Bikes'].sum()} of 2"


@pytest.mark.usefixtures("environment")
def test_what_was_done_at_a_station_is_kept(ws: Workspace) -> None:
    app = run(moves_page)
    app.selectbox[0].set_value("03")
    app.text_input[0].set_value("four bikes brought")
    app.button[0].click().run()
    assert "Station 03: handled, " in app.success[0].value
    kept = ws.lake.read(STATION_FEEDBACK, city="demo")
    assert kept[["station_id", "what", "note"]].to_numpy().tolist() == [
        ["03", "handled", "four bikes brought"]
    ]


def test_an_endpoint_without_a_host_is_a_message_and_not_a_traceback(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("BIKESHARE_SM_ENDPOINT", "bikeshare-nowhere")
    app = run(moves_page)
    assert "'bikeshare-nowhere'" in app.info[0].value
    assert "has no predictions" in app.info[0].value


@pytest.mark.usefixtures("environment")
def test_fewer_bikes_move_both_probabilities_and_each_change_is_one_request(
    ws: Workspace,
) -> None:
    app = run(what_if_page)
    app.selectbox[0].set_value("02").run()
    assert "Move a slider" in app.caption[-1].value
    before = requests(ws)
    assert before == 0  # to open the page or to choose a station asks nobody
    bikes = app.slider[0]
    assert bikes.label == "Bikes now"
    bikes.set_value(0 if bikes.value else 12).run()
    assert not app.exception
    assert requests(ws) == before + 1
    assert {m.label for m in app.metric} == {"Out of bikes in 30 min", "Out of docks in 30 min"}
    assert all(m.delta != "+0 points" for m in app.metric)
    assert "Answered by bikeshare-prod, version 7" in app.caption[-1].value


@pytest.mark.usefixtures("environment")
def test_the_page_makes_up_no_weather_of_now_and_any_may_be_supposed(ws: Workspace) -> None:
    app = run(what_if_page)
    weather = [s for s in app.select_slider if s.label.split(",")[0] in {"Temperature", "Rain"}]
    assert [s.value for s in weather] == [None, None]
    weather[0].set_value("15").run()
    assert not app.exception
    asked = ws.lake.read(WHATIF_REQUESTS, city="demo").sort_values("asked_at")
    assert '{"temperature_c": 15}' in set(asked["inputs"])


def test_what_nobody_answered_is_unknown_and_no_certainty() -> None:
    rows = pd.DataFrame({"horizon_min": [30, 30], "p_bikeout": [math.nan, 0.5]})
    rows = rows.assign(p_bikeout_now=[0.25, 0.5], p_dockout=math.nan, p_dockout_now=0.25)
    of: Any = SimpleNamespace(rows=rows.iloc[:1])
    assert not what_if._path(of).notna().to_numpy().any()
    of.rows = rows.assign(p_dockout=0.125)
    assert what_if._path(of).to_numpy().tolist() == [[0.5, 0.5, 0.125, 0.25]]


@pytest.mark.usefixtures("environment")
def test_what_was_seen_is_kept_where_no_round_is_planned(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise InputError("too old to send a van")

    monkeypatch.setattr("mlops_bikeshare.flows.moves.suggest", refused)
    app = run(moves_page)
    assert "too old to send a van" in app.error[0].value
    app.selectbox[0].set_value("04")
    app.button[0].click().run()
    assert "04" in set(ws.lake.read(STATION_FEEDBACK, city="demo")["station_id"])


@pytest.mark.usefixtures("environment")
def test_the_page_says_what_the_model_does_not_know() -> None:
    app = run(what_if_page)
    rain = next(s for s in app.select_slider if s.label.startswith("Rain"))
    rain.set_value("9").run()
    if "precipitation_mm" not in FEATURE_NAMES:
        assert "this model has no feature of precipitation" in app.info[0].value
    assert {m.label for m in app.metric} == {
        "Stations out of bikes in 30 min",
        "Stations out of docks in 30 min",
    }
