"""Predict: the version that is told is the one that answered."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.flows import predict as flow
from mlops_bikeshare.serving.endpoints import EndpointState, EndpointVariant
from mlops_bikeshare.serving.predict import Answers
from mlops_bikeshare.settings import Settings

CITY = City(name="boston", timezone="America/New_York", country="US")


def version_of(_ws: Workspace, _city: City, version: str) -> flow.Version:
    return flow.Version(
        version=version,
        artefact_digest=f"digest {version}",
        trained_at=datetime(2025, 6, 1, tzinfo=UTC),
        features=("bikes",),
        horizons_min=(30,),
    )


def serving(version: str, digest: str) -> EndpointState:
    variant = EndpointVariant(
        name="AllTraffic",
        model="m",
        weight=1.0,
        model_data_url="",
        tags={"version": version, "digest": digest},
    )
    return EndpointState(
        name="bikeshare-prod",
        status="InService",
        config=version,
        variants=(variant,),
        failure_reason=None,
    )


@pytest.fixture
def ws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setattr(flow, "version_of", version_of)
    return open_workspace(Settings(root=tmp_path), simulated=True)


def test_the_same_number_of_another_city_is_refused(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "_endpoint", lambda *_: serving("3", "of another city"))

    with pytest.raises(InputError, match="does not serve version 3 of boston"):
        flow.predict(ws, CITY, [{"bikes": 1.0}])


def test_a_version_that_came_while_it_was_asked_is_the_one_that_is_told(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def moved(*_: Any) -> tuple[EndpointState, Answers]:
        frame = pd.DataFrame({"p_bikeout_30": [0.25], "p_dockout_30": [0.5]})
        variants = np.array(["AllTraffic"], dtype=object)
        return serving("2", "digest 2"), Answers(frame=frame, variants=variants, chunks=())

    monkeypatch.setattr(flow, "_endpoint", lambda *_: serving("1", "digest 1"))
    monkeypatch.setattr(flow, "answers_of", moved)

    told = flow.predict(ws, CITY, [{"bikes": 1.0}])

    assert (told.model.version, told.predictions[0].model_version) == ("2", "2")
