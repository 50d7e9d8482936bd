from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest

from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.contract import to_arrow
from mlops_bikeshare.domain.tables import STATION_INFORMATION_RAW
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows import features, infer, ingest
from mlops_bikeshare.settings import Settings
from mlops_bikeshare.sources.feed import Reading
from mlops_bikeshare.sources.simulator.simulate import simulate

CITY = City(name="nowhere", timezone="America/Toronto", country="CA")
LAST = date(2025, 6, 4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    made = simulate(stations=10, days=3, seed=3, start=date(2025, 6, 2), timezone=CITY.timezone)
    made.write(folder)
    return folder


def imported(folder: Path, root: Path) -> Workspace:
    ws = open_workspace(Settings(root=root, cities={CITY.name: CITY}), simulated=True)
    ingest.import_recording(ws, CITY, folder)
    return ws


def test_a_list_read_during_a_day_counts_from_the_next_day_on(folder: Path, tmp_path: Path) -> None:
    quiet, noisy = (imported(folder, tmp_path / name) for name in ("quiet", "noisy"))
    noon = Window.day(LAST).start + timedelta(hours=12)
    known = features.station_list(noisy, CITY)
    turned = known.assign(
        fetched_at=pd.Timestamp(noon).as_unit("ms"),
        capacity=known["capacity"] + 1,
        lat=known["lat"].to_numpy()[::-1],
    )
    ingest.keep_information(
        noisy, CITY, Reading(fetched_at=noon, rows=to_arrow(STATION_INFORMATION_RAW, turned)), noon
    )
    for ws in (quiet, noisy):
        features.build(ws, CITY)
    one, other = (ws.lake.read(features.OFFLINE, city=CITY.name) for ws in (quiet, noisy))
    assert len(one) > 0
    pd.testing.assert_frame_equal(one, other)

    dt = noon + timedelta(hours=1)
    stored = one[one["dt"] == pd.Timestamp(dt)].reset_index(drop=True)
    pd.testing.assert_frame_equal(infer.online_features(noisy, CITY, dt), stored)
    tomorrow = features.station_list(noisy, CITY, day=LAST + timedelta(days=1))
    assert tomorrow["capacity"].tolist() == turned["capacity"].tolist()
