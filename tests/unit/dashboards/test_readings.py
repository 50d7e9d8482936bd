import json
import math
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from dashboards.readings import Chosen, CityReading, Empty, choose, read
from mlops_bikeshare.domain.errors import SettingsError
from mlops_bikeshare.domain.tables import INFERENCE, STATION_INFORMATION_RAW, STATION_STATUS

Write = Callable[..., None]
Build = Callable[..., pd.DataFrame]
DT = pd.Timestamp("2021-09-01T12:10", tz="UTC")


def reading(home: Path, environ: dict[str, str] | None = None) -> CityReading:
    found = read(choose(home, environ or {}, workspace=None))
    assert isinstance(found, CityReading)
    return found


def nothing(home: Path, environ: dict[str, str] | None = None) -> Empty:
    found = read(choose(home, environ or {}, workspace=None))
    assert isinstance(found, Empty)
    return found


def secrets(home: Path, text: str) -> None:
    (home / ".streamlit").mkdir()
    (home / ".streamlit" / "secrets.toml").write_text(text)


def set_now(workspace: Path, now: pd.Timestamp) -> None:
    state = {"clock": "simulated", "now": now.isoformat()}
    (workspace / "workspace.json").write_text(json.dumps(state))


def test_the_workspace_is_the_flag_then_the_environment_then_the_setting_else_the_demo(
    home: Path,
) -> None:
    named = {"BIKESHARE_WORKSPACE": "mine"}
    assert choose(home, {}, workspace=None).workspace == Chosen("main", "bikeshare.toml")
    (home / "var" / "demo").mkdir(parents=True)
    (home / "var" / "demo" / "workspace.json").write_text("{}")
    demo = choose(home, {}, workspace=None).workspace
    assert (demo.value, "no workspace 'main' yet" in demo.origin) == ("demo", True)
    assert choose(home, named, workspace=None).workspace.value == "mine"
    assert choose(home, named, workspace="flag").workspace == Chosen("flag", "--workspace")


def test_the_endpoint_is_the_environment_then_the_secret_then_the_default(home: Path) -> None:
    environ = {"BIKESHARE_SM_ENDPOINT": "from-environment"}
    assert choose(home, {}, workspace=None).endpoint == Chosen("bikeshare-staging", "the default")
    secrets(home, 'sm_endpoint = "from-secrets"\nstreet_tiles = true')
    assert choose(home, environ, workspace=None).endpoint.value == "from-environment"
    choice = choose(home, {}, workspace=None)
    assert choice.endpoint == Chosen("from-secrets", ".streamlit/secrets.toml")
    assert choice.streets


def test_the_endpoint_is_what_the_last_promotion_chose_unless_a_setting_says_otherwise(
    home: Path,
) -> None:
    (home / "var" / "main").mkdir(parents=True, exist_ok=True)
    state = {"clock": "simulated", "now": DT.isoformat(), "sm_endpoint": "bikeshare-prod"}
    (home / "var" / "main" / "workspace.json").write_text(json.dumps(state))
    found = choose(home, {}, workspace=None).endpoint
    assert found == Chosen("bikeshare-prod", "the last promotion")
    settings = home / "bikeshare.toml"
    settings.write_text('sm_endpoint = "mine"\n' + settings.read_text())
    assert choose(home, {}, workspace=None).endpoint == Chosen("mine", "bikeshare.toml")
    environ = {"BIKESHARE_SM_ENDPOINT": "theirs"}
    assert choose(home, environ, workspace=None).endpoint.value == "theirs"


@pytest.mark.parametrize("text", ["sm_endpoint = 3", "sm_endpoint = ''", "sm_endpoint = "])
def test_a_secret_that_is_not_text_names_the_file(home: Path, text: str) -> None:
    secrets(home, text)
    with pytest.raises(SettingsError, match=r"secrets\.toml"):
        choose(home, {}, workspace=None)


def test_reading_a_workspace_that_is_not_there_makes_none(home: Path) -> None:
    found = nothing(home)
    assert "no workspace 'main'" in found.what
    assert found.command == "make demo"
    assert not (home / "var").exists()


@pytest.mark.usefixtures("workspace")
def test_a_workspace_without_stations_says_how_to_read_some(home: Path) -> None:
    found = nothing(home)
    assert "no stations" in found.what
    assert found.command.startswith("bikeshare --workspace main ingest")


def test_stations_without_predictions_say_which_batch_to_run(
    home: Path, write: Write, information: Build
) -> None:
    write(STATION_INFORMATION_RAW, information())
    found = nothing(home)
    assert "'bikeshare-staging' (the default) has no predictions for boston" in found.what
    assert found.command == "bikeshare --workspace main infer --city boston"


@pytest.mark.usefixtures("full")
def test_an_endpoint_without_predictions_names_those_that_have_some(home: Path) -> None:
    found = nothing(home, {"BIKESHARE_SM_ENDPOINT": "bikeshare-prod"})
    assert "bikeshare-prod" in found.what
    assert "bikeshare-staging" in found.todo
    assert found.command == "BIKESHARE_SM_ENDPOINT=bikeshare-staging make dashboard"


@pytest.mark.usefixtures("full")
def test_a_quote_in_an_endpoint_is_a_name_and_not_sql(home: Path) -> None:
    assert "x' OR 'a'='a" in nothing(home, {"BIKESHARE_SM_ENDPOINT": "x' OR 'a'='a"}).what


@pytest.mark.usefixtures("full")
def test_risk_is_the_larger_chance_and_missing_where_there_is_no_prediction(home: Path) -> None:
    rows = reading(home).at(horizon_min=30)
    assert rows["risk"].to_dict() == pytest.approx(
        {"001": 0.9, "002": 0.7, "003": math.nan, "004": math.nan}, nan_ok=True
    )


@pytest.mark.usefixtures("full")
def test_a_trajectory_is_every_horizon_in_order_and_empty_for_an_unknown_station(
    home: Path,
) -> None:
    found = reading(home)
    assert found.horizons_min == [10, 30]
    assert found.trajectory("001")["p_bikeout"].to_dict() == {10: 0.5, 30: 0.9}
    assert found.trajectory("004").empty


@pytest.mark.usefixtures("full")
def test_unknown_counts_are_missing_and_never_zero(home: Path) -> None:
    stations = reading(home).stations
    assert stations.loc["001", "num_bikes_available"] == 4
    assert stations["num_docks_available"].isna()["002"]
    assert stations.loc[["003", "004"], "num_bikes_available"].isna().all()


def test_counts_are_the_newest_that_the_workspaces_clock_has_seen(
    home: Path, write: Write, full: None, status: Build
) -> None:
    _ = full
    write(STATION_STATUS, status(DT.as_unit("ms") - pd.Timedelta(minutes=5), bikes=9))
    write(STATION_STATUS, status(DT.as_unit("ms") + pd.Timedelta(minutes=30), bikes=0))
    assert reading(home).stations.loc["001", "num_bikes_available"] == 4


@pytest.mark.usefixtures("full")
def test_a_batch_is_stale_by_the_workspaces_clock_after_two_cadences(
    home: Path, workspace: Path
) -> None:
    assert not reading(home).stale
    set_now(workspace, DT + pd.Timedelta(minutes=20))
    assert not reading(home).stale
    set_now(workspace, DT + pd.Timedelta(minutes=21))
    assert reading(home).stale
    assert reading(home).age == timedelta(minutes=21)


def test_the_version_and_the_share_of_fallback_rows_are_told(
    home: Path, write: Write, full: None, batch: Build
) -> None:
    _ = full
    newer = batch(DT.as_unit("ms") + pd.Timedelta(minutes=10), source="fallback")
    write(INFERENCE, newer)
    found = reading(home)
    assert (found.model_versions, found.fallback_share) == (("3",), 1.0)


def test_with_several_cities_the_key_city_chooses_else_the_default(
    home: Path, write: Write, full: None, information: Build
) -> None:
    _ = full
    write(STATION_INFORMATION_RAW, information(), city="taipei")
    assert reading(home).city.name == "boston"
    assert "for taipei" in nothing(home, {"BIKESHARE_CITY": "taipei"}).what
    with pytest.raises(SettingsError, match="atlantis"):
        read(choose(home, {"BIKESHARE_CITY": "atlantis"}, workspace=None))


def test_the_only_city_in_the_data_is_taken_without_asking(
    home: Path, write: Write, information: Build
) -> None:
    write(STATION_INFORMATION_RAW, information(), city="taipei")
    assert "for taipei" in nothing(home).what
