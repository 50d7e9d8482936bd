"""DuckDB and Athena answer alike: the same lake, the same statements, on files and on the wire."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.domain.errors import LakeError, SettingsError
from mlops_bikeshare.domain.tables import INFERENCE, STATION_INFORMATION_RAW
from mlops_bikeshare.domain.windows import stamp
from mlops_bikeshare.flows import catalog
from mlops_bikeshare.lake import athena, glue, s3
from mlops_bikeshare.lake.compaction import compact_day
from mlops_bikeshare.lake.duckdb import DuckDbQuery
from mlops_bikeshare.lake.lake import Lake
from mlops_bikeshare.lake.local import LocalStore
from mlops_bikeshare.lake.query import VIEWS, Query
from mlops_bikeshare.settings import load
from tests.aws_wire import aws_on_the_wire
from tests.contract.athena_wire import Athena, athena_on_the_wire

TOML = '[cities.boston]\ntimezone = "America/New_York"\ncountry = "US"\n'
START = datetime(2025, 6, 1, tzinfo=UTC)
STATEMENTS = (
    "SELECT * FROM v_station_information ORDER BY station_id",
    "SELECT * FROM v_predictions ORDER BY endpoint, station_id, dt, horizon_min",
    "SELECT * FROM v_quality",
    "SELECT city, date, COUNT(*) AS n, MAX(dt) AS newest FROM inference GROUP BY 1, 2 ORDER BY 2",
    "SELECT COUNT(*) AS n FROM inference WHERE dt > TIMESTAMP '2025-06-01 00:00:00'",
    "SELECT station_id, variant, p_bikeout FROM inference ORDER BY dt, station_id",
)


@dataclass
class Cloud:
    """A workspace on the wire, and the same lake on files."""

    ws: Workspace
    files: Lake
    root: Path
    server: Athena


def fill(lake: Lake) -> None:
    stations = pd.DataFrame(
        {
            "station_id": ["007", "8"],
            "name": pd.Series(["Ångström", None], dtype="str"),
            "lat": [42.5, np.nan],
            "lon": -71.0,
            "capacity": pd.Series([15, None], dtype="Int16"),
            "region_id": pd.Series(["north", None], dtype="str"),
            "fetched_at": pd.Timestamp(START).as_unit("ms"),
        }
    )
    lake.write(STATION_INFORMATION_RAW, stations, city="boston", name="first")
    for minute in (0, 10, 1440):
        at = START + timedelta(minutes=minute)
        batch = pd.DataFrame(
            {
                "endpoint": "bikeshare-prod",
                "model_version": "1",
                "variant": pd.Series([None, "AllTraffic"], dtype="str"),
                "station_id": ["007", "8"],
                "dt": pd.Timestamp(at).as_unit("ms"),
                "horizon_min": np.int16(30),
                "p_bikeout": [0.25, 0.125],
                "p_dockout": 0.5,
                "source": "model",
            }
        )
        lake.write(INFERENCE, batch, city="boston", name=f"bikeshare-prod_{stamp(at)}")


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    (tmp_path / "bikeshare.toml").write_text(TOML)
    settings = load(tmp_path, {}, {"profile": "aws", "region": "us-east-1"})
    with aws_on_the_wire() as wire:
        store = s3.client("us-east-1", url=wire.url)
        store.create_bucket(Bucket=settings.lake.bucket)
        asked = glue.client("us-east-1", url=wire.url)
        with athena_on_the_wire(asked, store) as server:
            made: dict[str, Any] = {"url": server.url, "poll_s": 0.001}
            connect = athena.connect
            monkeypatch.setattr(s3, "client", lambda _, **__: store)
            monkeypatch.setattr(glue, "client", lambda _: asked)
            monkeypatch.setattr(athena, "connect", lambda region, **k: connect(region, **k, **made))
            ws = open_workspace(settings)
            fill(ws.lake)
            files = Lake(LocalStore(tmp_path / "files"))
            fill(files)
            yield Cloud(ws, files, tmp_path / "files", server)


def answers(query: Query) -> list[pd.DataFrame]:
    return [query.run(sql) for sql in STATEMENTS]


def same(ours: list[pd.DataFrame], theirs: list[pd.DataFrame]) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        assert list(mine.columns) == list(other.columns)
        pd.testing.assert_frame_equal(mine, other, check_dtype=False)


def test_athena_and_duckdb_answer_alike_before_and_after_compaction(cloud: Cloud) -> None:
    catalog.apply(cloud.ws)
    same(answers(cloud.ws.query), answers(DuckDbQuery(cloud.root)))
    times = cloud.ws.query.run("SELECT dt FROM inference")["dt"]
    assert str(times.dtype) == "datetime64[ms, UTC]"

    for lake in (cloud.ws.lake, cloud.files):
        compact_day(lake, INFERENCE, city="boston", day=START.date())
    same(answers(cloud.ws.query), answers(DuckDbQuery(cloud.root)))


def test_views_show_rows_once_while_parts_and_their_merged_object_lie_side_by_side(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.apply(cloud.ws)
    before = cloud.ws.query.run(STATEMENTS[1])
    late = START + timedelta(days=1)
    rows = cloud.ws.lake.read(INFERENCE, city="boston", name_prefix=f"bikeshare-prod_{stamp(late)}")
    sooner = rows.assign(horizon_min=np.int16(20))
    cloud.ws.lake.write(INFERENCE, sooner, city="boston", name="bikeshare-prod_sooner")
    whole = cloud.ws.query.run(STATEMENTS[1])
    assert len(whole) == 2 * len(before)
    monkeypatch.setattr(s3.S3Store, "delete", lambda *_: None)

    compact_day(cloud.ws.lake, INFERENCE, city="boston", day=late.date())

    side_by_side = cloud.ws.query.run("SELECT dt FROM inference WHERE horizon_min = 20")
    assert len(side_by_side) == 2 * len(sooner)
    same([cloud.ws.query.run(STATEMENTS[1])], [whole])


def test_the_catalogue_is_applied_once_and_again_changes_nothing(cloud: Cloud) -> None:
    first = catalog.apply(cloud.ws).steps
    again = catalog.apply(cloud.ws).steps

    assert set(first.values()) == {"created", "defined"}
    assert set(again.values()) == {"unchanged", "defined"}
    assert set(cloud.server.views) == set(VIEWS)
    assert {f"view {name}" for name in VIEWS} < set(again)


def test_a_new_city_changes_the_tables_and_athena_finds_its_rows(cloud: Cloud) -> None:
    catalog.apply(cloud.ws)
    rows = cloud.files.read(INFERENCE, city="boston")
    cloud.ws.lake.write(INFERENCE, rows, city="lyon", name="first")
    count = "SELECT COUNT(*) AS n FROM inference WHERE city = 'lyon'"
    assert cloud.ws.query.run(count)["n"][0] == 0

    lyon = '[cities.lyon]\ntimezone = "Europe/Paris"\ncountry = "FR"\n'
    (cloud.ws.settings.root / "bikeshare.toml").write_text(TOML + lyon)
    flags = {"profile": "aws", "region": "us-east-1"}
    ws = open_workspace(load(cloud.ws.settings.root, {}, flags))

    assert catalog.apply(ws).steps["table inference"] == "changed"
    assert ws.query.run(count)["n"][0] == 6


def test_a_statement_that_fails_says_athenas_reason_and_where_it_was_asked(cloud: Cloud) -> None:
    catalog.apply(cloud.ws)
    with pytest.raises(LakeError, match=r"(?s)nowhere.*\(region .*, workgroup \w+\)"):
        cloud.ws.query.run("SELECT nonsense FROM nowhere")


def test_the_local_profile_needs_no_catalogue(tmp_path: Path) -> None:
    (tmp_path / "bikeshare.toml").write_text(TOML)
    with pytest.raises(SettingsError, match="--profile aws"):
        catalog.apply(open_workspace(load(tmp_path, {}, {})))
