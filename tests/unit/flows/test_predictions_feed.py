"""The feed of predictions: what it says, that it keeps its schema, and when it is replaced."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import LakeError
from mlops_bikeshare.domain.tables import INFERENCE
from mlops_bikeshare.domain.targets import HORIZONS_MIN
from mlops_bikeshare.domain.windows import stamp
from mlops_bikeshare.flows import publish
from mlops_bikeshare.flows.process import remembered
from mlops_bikeshare.flows.publishing import predictions_feed
from mlops_bikeshare.lake.local import LocalStore
from tests.unit.flows import lived, tiny

At = tuple[Workspace, City]


@pytest.fixture
def at(tmp_path: Path) -> At:
    ws, city = tiny.workspace(tmp_path)
    ws.advance(lived.DT)
    lived.predict(ws)
    return ws, city


def feed(at: At) -> dict[str, Any]:
    body = publish.published(*at)
    assert body is not None
    found: dict[str, Any] = json.loads(body)
    Draft202012Validator(predictions_feed.schema()).validate(found)
    return found


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(predictions_feed.schema())


def test_the_feed_says_what_production_said(at: At) -> None:
    assert publish.published(*at) is None
    assert publish.publish(*at, lived.DT)

    told = feed(at)
    assert told["last_updated"] == "2025-06-02T04:00:00Z"
    assert (told["ttl"], told["version"]) == (600, "1.0")
    assert told["data"]["stockout"] == {"threshold": 2, "mode": "at"}
    rows = at[0].lake.read(INFERENCE, city="demo").set_index(["station_id", "horizon_min"])
    assert [one["station_id"] for one in told["data"]["predictions"]] == list(tiny.STATIONS)
    for one in told["data"]["predictions"]:
        assert (one["source"], one["model_version"]) == ("model", "1")
        mine = rows.loc[one["station_id"]].loc[list(HORIZONS_MIN)]
        assert one["p_bikeout"] == pytest.approx(mine["p_bikeout"].tolist(), abs=5e-5)
        assert one["p_dockout"] == pytest.approx(mine["p_dockout"].tolist(), abs=5e-5)


def test_what_is_not_known_is_null_and_a_fallback_has_no_version(at: At) -> None:
    ws, city = at
    dt = lived.DT + timedelta(minutes=10)
    rows = ws.lake.read(INFERENCE, city="demo").assign(dt=lambda t: t["dt"] + timedelta(minutes=10))
    stood_in = rows["station_id"] == "03"
    rows.loc[stood_in, ["source", "model_version", "variant"]] = ["fallback", None, None]
    rows.loc[stood_in & (rows["horizon_min"] == 20), "p_dockout"] = np.nan
    absent = (rows["station_id"] == "04") & (rows["horizon_min"] == 10)
    name = f"{lived.PROD}_{stamp(dt)}"
    ws.lake.write(INFERENCE, rows[~absent], city="demo", name=name)
    assert publish.publish(ws, city, dt)

    stations = {one["station_id"]: one for one in feed(at)["data"]["predictions"]}
    assert (stations["03"]["source"], stations["03"]["model_version"]) == ("fallback", None)
    assert stations["03"]["p_dockout"][1] is None
    assert None not in stations["03"]["p_bikeout"]
    assert stations["04"]["p_bikeout"][0] is stations["04"]["p_dockout"][0] is None


def test_the_same_batch_is_published_once_and_an_older_one_never_again(at: At) -> None:
    ws, city = at
    later = lived.DT + timedelta(minutes=10)
    lived.predict(ws, dt=later)
    publish.publish(ws, city, lived.DT)
    first = publish.published(ws, city)
    assert not publish.publish(ws, city, lived.DT)
    assert publish.publish(ws, city, later)
    second = publish.published(ws, city)
    assert first is not None
    assert second is not None
    assert predictions_feed.etag(first) != predictions_feed.etag(second)

    assert not publish.publish(ws, city, lived.DT)
    assert publish.published(ws, city) == second


def test_nothing_is_replaced_while_another_process_publishes(
    at: At, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws, city = at
    monkeypatch.setattr(remembered, "_TRIES", 1)
    with (
        ws.state.alone("publish-demo.lock"),
        pytest.raises(LakeError, match="are being published by another process"),
    ):
        publish.publish(ws, city, lived.DT)
    assert publish.published(ws, city) is None


def test_staging_alone_publishes_nothing(at: At) -> None:
    ws, city = at
    dt = lived.DT + timedelta(minutes=10)
    lived.predict(ws, dt=dt, endpoint="bikeshare-staging")
    assert not publish.publish(ws, city, dt)
    assert publish.published(ws, city) is None


def test_a_feed_that_cannot_be_written_is_told_and_fails_no_batch(
    at: At, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise LakeError("the disk is full")

    monkeypatch.setattr(LocalStore, "replace", full)
    publish.try_to_publish(*at, lived.DT)
    assert "were not published: the disk is full" in caplog.text


@pytest.mark.parametrize("spoiled", [b"", b"\xff", b"[]", b'{"last_updated": "soon"}'])
def test_a_document_that_somebody_spoiled_fails_no_batch_and_is_replaced(
    at: At, spoiled: bytes
) -> None:
    ws, city = at
    ws.lake.store.replace(publish.key_of(city), spoiled)

    publish.try_to_publish(ws, city, lived.DT)

    assert feed(at)["data"]["city"] == city.name
