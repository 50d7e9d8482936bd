from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from mlops_bikeshare.domain.errors import LakeError
from mlops_bikeshare.domain.tables import (
    INFERENCE,
    STATION_INFORMATION_RAW,
    STATION_STATUS_RAW,
    Table,
)
from mlops_bikeshare.lake import duckdb
from mlops_bikeshare.lake.duckdb import DuckDbQuery
from mlops_bikeshare.lake.lake import Lake
from mlops_bikeshare.lake.local import LocalStore
from mlops_bikeshare.lake.query import VIEWS


def batch(endpoint: str, dt: str, p: float) -> pd.DataFrame:
    rows = {
        "endpoint": endpoint,
        "model_version": "1",
        "variant": "AllTraffic",
        "station_id": ["007"] * 12,
        "dt": pd.Timestamp(dt, tz="UTC").as_unit("ms"),
        "horizon_min": pd.array(range(10, 121, 10), dtype="int16"),
        "p_bikeout": p,
        "p_dockout": 0.1,
        "source": "model",
    }
    return pd.DataFrame(rows)


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_answers_on_an_empty_lake(tmp_path: Path, view: str) -> None:
    assert DuckDbQuery(tmp_path).run(f"SELECT * FROM {view}").empty


def test_predictions_are_the_newest_batch_of_each_endpoint(tmp_path: Path) -> None:
    lake = Lake(LocalStore(tmp_path))
    for endpoint, dt, p in (
        ("prod", "2021-09-01T00:00", 0.2),
        ("prod", "2021-09-01T00:10", 0.3),
        ("staging", "2021-09-01T00:00", 0.4),
    ):
        lake.write(INFERENCE, batch(endpoint, dt, p), city="boston", name=f"{endpoint}_{dt}")

    rows = DuckDbQuery(tmp_path).run("SELECT * FROM v_predictions ORDER BY endpoint, horizon_min")

    assert set(rows[["endpoint", "p_bikeout"]].itertuples(index=False, name=None)) == {
        ("prod", 0.3),
        ("staging", 0.4),
    }
    assert rows["horizon_min"].tolist() == list(range(10, 121, 10)) * 2
    assert rows["station_id"].unique().tolist() == ["007"]
    assert rows["dt"].max() == datetime(2021, 9, 1, 0, 10, tzinfo=UTC)


def test_station_information_is_the_newest_row_of_each_station(tmp_path: Path) -> None:
    lake = Lake(LocalStore(tmp_path))
    for day, name in (("2021-09-01", "Old Square"), ("2021-09-02", "New Square")):
        at = pd.Timestamp(day, tz="UTC").as_unit("ms")
        rows = pd.DataFrame({"station_id": ["007"], "name": name, "lat": 1.0, "lon": 2.0})
        rows = rows.assign(capacity=pd.array([11], dtype="Int16"), region_id="8", fetched_at=at)
        lake.write(STATION_INFORMATION_RAW, rows, city="boston", name=day)

    rows = DuckDbQuery(tmp_path).run("SELECT * FROM v_station_information")

    assert rows.to_dict("records") == [
        {
            "city": "boston",
            "station_id": "007",
            "name": "New Square",
            "capacity": 11,
            "lat": 1.0,
            "lon": 2.0,
        }
    ]


def test_lists_from_before_there_were_regions_are_read_beside_those_that_have_them(
    tmp_path: Path,
) -> None:
    lake = Lake(LocalStore(tmp_path))
    for day, station in (("2021-09-01", "old"), ("2021-09-02", "new")):
        at = pd.Timestamp(day, tz="UTC").as_unit("ms")
        rows = pd.DataFrame({"station_id": [station], "name": "Square", "lat": 1.0, "lon": 2.0})
        rows = rows.assign(capacity=pd.array([11], dtype="Int16"), region_id="8", fetched_at=at)
        lake.write(STATION_INFORMATION_RAW, rows, city="boston", name=day)
    first = tmp_path / lake.all_keys(STATION_INFORMATION_RAW)[0]
    pq.write_table(pq.read_table(first).drop_columns(["region_id"]), first)

    query = DuckDbQuery(tmp_path)

    listed = query.run("SELECT station_id FROM v_station_information ORDER BY station_id")
    assert listed["station_id"].tolist() == ["new", "old"]
    assert query.run("SELECT * FROM v_predictions").empty
    said = query.run("SELECT region_id FROM station_information_raw ORDER BY fetched_at")
    assert said["region_id"].fillna("none").tolist() == ["none", "8"]


@pytest.mark.parametrize("other", ["boston", "amiens"])
def test_polls_from_before_electric_bikes_were_counted_are_read_beside_those_that_count_them(
    tmp_path: Path, other: str
) -> None:
    lake, added = Lake(LocalStore(tmp_path)), "num_ebikes_available"
    for day, city in (("2021-09-01", "boston"), ("2021-09-02", other)):
        at = pd.Timestamp(day, tz="UTC").as_unit("ms")
        columns = STATION_STATUS_RAW.columns
        row = {
            c.name: at if c.kind == "timestamp" else True if c.kind == "bool" else 3
            for c in columns
        }
        rows = pd.DataFrame([{**row, "station_id": day}])
        kinds = {c.name: "Int16" for c in columns if c.kind == "int16"}
        lake.write(STATION_STATUS_RAW, rows.astype(kinds), city=city, name=day)
    (first,) = [tmp_path / key for key in lake.all_keys(STATION_STATUS_RAW) if "09-01" in key]
    pq.write_table(pq.read_table(first).drop_columns([added]), first)

    counted = DuckDbQuery(tmp_path).run(
        f"SELECT {added} FROM station_status_raw ORDER BY fetched_at"
    )

    assert counted[added].fillna(-1).tolist() == [-1, 3]


def test_a_statement_looks_at_no_other_table_and_at_an_oldest_object_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake(LocalStore(tmp_path))
    lake.write(INFERENCE, batch("prod", "2021-09-01T00:00", 0.2), city="boston", name="a")
    query, seen = DuckDbQuery(tmp_path), list[str]()

    def look(lake: Lake, table: Table, real: Any = Lake.all_keys) -> Any:
        seen.append(table.name)
        return real(lake, table)

    def read(path: Path, key: str, real: Any = duckdb.columns_of) -> Any:
        seen.append("footer")
        return real(path, key)

    monkeypatch.setattr(Lake, "all_keys", look)
    monkeypatch.setattr(duckdb, "columns_of", read)
    for _ in range(2):
        sql = "WITH newest AS (SELECT * FROM V_Predictions) SELECT COUNT(*) AS n FROM newest"
        assert query.run(sql)["n"].tolist() == [12]

    assert seen == ["inference", "footer", "inference"]


def test_a_statement_that_fails_is_quoted_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="SELECT nonsense FROM nowhere"):
        DuckDbQuery(tmp_path).run("SELECT nonsense FROM nowhere")


def test_an_object_that_is_no_parquet_is_an_error_of_the_lake_with_its_name(tmp_path: Path) -> None:
    at = "2021-09-01T12:00Z"
    (key,) = Lake(LocalStore(tmp_path)).write(INFERENCE, batch("e", at, 0.5), city="here", name="a")
    (tmp_path / key).write_bytes(b"no parquet at all" * 99)
    with pytest.raises(LakeError, match=r"a\.parquet"):
        DuckDbQuery(tmp_path).run("SELECT count(*) FROM inference")
