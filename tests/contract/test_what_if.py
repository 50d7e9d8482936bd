"""What if, asked of a real host: answers, what is kept, and that no prediction is made of it."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.errors import EndpointError, InputError
from mlops_bikeshare.domain.tables import INFERENCE, WHATIF_REQUESTS
from mlops_bikeshare.domain.targets import HORIZONS_MIN
from mlops_bikeshare.features.definition import FEATURE_NAMES
from mlops_bikeshare.flows import what_if
from mlops_bikeshare.flows.supposing.basis import Basis, features_of
from mlops_bikeshare.flows.supposing.changes import Changes
from tests.contract.models import create_endpoint, put_model, variant
from tests.unit.flows import lived, tiny

# Few bikes or docks expected in two hours are a risk, and evenings are worse.
SENSIBLE = """
import numpy as np
import pandas as pd

class Scorer:
    @classmethod
    def load(cls, folder):
        return cls()

    def predict(self, frame):
        late = 0.001 * frame["local_minute"].to_numpy(float)
        answer = {}
        for target, count in (("bikeout", "bikes"), ("dockout", "docks")):
            left = frame[f"{count}_expected_120"].to_numpy(float)
            for h in range(10, 121, 10):
                answer[f"p_{target}_{h}"] = 1 / (1 + np.exp(left - 4 - late - 0.001 * h))
        return pd.DataFrame(answer)
"""
Asked = tuple[Workspace, Basis]


@pytest.fixture(scope="module")
def asked(
    tmp_path_factory: pytest.TempPathFactory, models: Any, module_host: Callable[..., Any]
) -> Asked:
    ws, city = lived.workspace(tmp_path_factory.mktemp("home"))
    host = module_host(root=ws.path)
    folder = models(scorer=SENSIBLE, columns=FEATURE_NAMES)
    put_model(host.clients, "sensible", folder, version="7")
    create_endpoint(host.clients, lived.PROD, variant("AllTraffic", "sensible"))
    return ws, what_if.prepare(ws, city)


def test_fewer_bikes_are_a_higher_chance_of_no_bikes_and_the_reverse_for_docks(
    asked: Asked,
) -> None:
    ws, basis = asked
    station = tiny.STATIONS[int(np.argmax(tiny.bikes(lived.DT)))]
    told = what_if.ask(ws, basis, Changes(bikes=0), station_id=station)
    rows = told.rows
    assert rows["horizon_min"].tolist() == list(HORIZONS_MIN)
    assert (rows["p_bikeout"] > rows["p_bikeout_now"] + 0.3).all()
    assert (rows["p_dockout"] < rows["p_dockout_now"]).all()
    assert (told.model_version, told.variant) == ("7", "AllTraffic")
    assert f"{station}: bikeout" in what_if.summary(told)


def test_nothing_changed_is_answered_as_it_is(asked: Asked) -> None:
    ws, basis = asked
    rows = what_if.ask(ws, basis, Changes(), station_id="02").rows
    assert (rows["p_bikeout"] == rows["p_bikeout_now"]).all()
    assert (rows["p_dockout"] == rows["p_dockout_now"]).all()


def test_the_whole_city_an_hour_later_with_three_bikes_less_everywhere(asked: Asked) -> None:
    ws, basis = asked
    told = what_if.ask(ws, basis, Changes(bikes_more=-3, hour=23))
    rows = told.at(30)
    assert rows.index.tolist() == list(tiny.STATIONS)
    assert (rows["p_bikeout"] > rows["p_bikeout_now"]).all()
    text = what_if.summary(told)
    assert "if bikes_more = -3, hour = 23" in text
    assert "stations expected of 8" in text


def test_what_the_model_does_not_know_is_said_to_have_no_influence(asked: Asked) -> None:
    ws, basis = asked
    changes = Changes(temperature_c=30, humidity_pct=80, precipitation_mm=4, month=12, hour=7)
    told = what_if.ask(ws, basis, changes, station_id="02")
    unknown = {"temperature_c", "humidity_pct", "precipitation_mm"} - set(FEATURE_NAMES)
    assert unknown | {"month"} == set(told.without_influence)
    assert "month has no influence" in what_if.summary(told)


def test_every_request_is_kept_and_none_becomes_a_prediction(asked: Asked) -> None:
    ws, basis = asked
    before = ws.lake.read(WHATIF_REQUESTS, city="demo")["request"].nunique()
    told = what_if.ask(ws, basis, Changes(bikes=4, humidity_pct=50), station_id="02")
    what_if.ask(ws, basis, Changes(weekday=6))
    kept = ws.lake.read(WHATIF_REQUESTS, city="demo")
    assert kept["request"].nunique() == before + 2
    mine = kept[kept["request"] == told.request].sort_values("horizon_min")
    assert mine["horizon_min"].tolist() == list(HORIZONS_MIN)
    assert mine["p_bikeout"].to_numpy() == pytest.approx(told.rows["p_bikeout"].to_numpy())
    first = mine.iloc[0]
    assert json.loads(first["inputs"]) == {"bikes": 4, "humidity_pct": 50}
    assert (first["endpoint"], first["model_version"], first["scope"]) == (
        lived.PROD,
        "7",
        "station",
    )
    assert (first["asked_at"], first["dt"]) == (lived.DT, lived.DT)
    assert ws.lake.read(INFERENCE, city="demo").empty
    counted = ws.query.run("SELECT COUNT(DISTINCT request) AS n FROM whatif_requests")
    assert counted["n"].iloc[0] == before + 2


@pytest.mark.parametrize(
    ("changes", "station", "told"),
    [
        ({"bikes": 99}, "02", "holds 12"),
        ({"bikes": 3}, None, "about one station"),
        ({"bikes_more": 3}, "02", "about the whole city"),
        ({"hour": 24}, "02", "--hour 24: expected 0 to 23"),
        ({"bikes": 3}, "zz", "not a station of demo"),
    ],
)
def test_what_cannot_be_is_refused(
    asked: Asked, changes: dict[str, int], station: str | None, told: str
) -> None:
    ws, basis = asked
    with pytest.raises(InputError, match=told):
        what_if.ask(ws, basis, Changes(**changes), station_id=station)


def test_the_supposed_time_is_the_nearest_such_day_at_that_local_hour(asked: Asked) -> None:
    _, basis = asked
    minute, weekday = (FEATURE_NAMES.index(n) for n in ("local_minute", "weekday"))
    local = lived.DT.astimezone(basis.city.zone)
    features = features_of(basis, Changes(hour=17, weekday=2, month=1), np.arange(8))
    assert (features[:, minute] == 17 * 60 + local.minute).all()
    assert (features[:, weekday] == 2).all()


def test_a_basis_without_a_known_station_is_refused(asked: Asked) -> None:
    ws, basis = asked
    with pytest.raises(InputError, match="no station of demo is known"):
        what_if.prepare(ws, basis.city, at=lived.DT - timedelta(days=9))


def test_an_endpoint_that_is_not_there_is_named(asked: Asked) -> None:
    ws, basis = asked
    with pytest.raises(EndpointError, match="there is no endpoint nowhere"):
        what_if.prepare(ws, basis.city, endpoint="nowhere")


def test_where_variants_share_the_traffic_one_of_them_is_asked(asked: Asked, models: Any) -> None:
    ws, basis = asked
    other = SENSIBLE.replace("left - 4", "left - 9")
    put_model(ws.clients, "other", models(scorer=other, columns=FEATURE_NAMES), version="8")
    split = (variant("Baseline", "sensible", 0.4), variant("Candidate", "other", 0.6))
    create_endpoint(ws.clients, "shared", *split)

    shared = what_if.prepare(ws, basis.city, endpoint="shared")
    told = [what_if.ask(ws, shared, Changes(), station_id=place) for place in tiny.STATIONS]

    assert {(one.variant, one.model_version) for one in told} == {("Candidate", "8")}
    assert all((one.rows["p_bikeout"] == one.rows["p_bikeout_now"]).all() for one in told)
