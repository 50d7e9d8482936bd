from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_bikeshare.backends import open_workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.targets import TARGETS
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.features.definition import FEATURE_NAMES
from mlops_bikeshare.features.labels import out_for_rows
from mlops_bikeshare.flows import features, ingest
from mlops_bikeshare.flows.backtesting import recorded_days
from mlops_bikeshare.flows.backtesting.recorded_days import Cells, RecordedCity
from mlops_bikeshare.flows.judging.labels import truth
from mlops_bikeshare.flows.process.progress import silent
from mlops_bikeshare.settings import Settings
from mlops_bikeshare.sources.recorded import open_recording
from mlops_bikeshare.sources.simulator.simulate import simulate

CITY = City(name="nowhere", timezone="America/Toronto", country="CA")
LEARN = Window.parse("2025-06-02..2025-06-05", key="learn")
TEST = Window.parse("2025-06-05..2025-06-06", key="test")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    made = simulate(stations=10, days=5, seed=3, start=date(2025, 6, 2), timezone=CITY.timezone)
    made.write(folder)
    return folder


@pytest.fixture(scope="module")
def where(folder: Path) -> RecordedCity:
    return RecordedCity(open_recording(folder), CITY, 10)


def in_order(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.sort_values(["dt", "station_id"], ignore_index=True)


def test_rows_and_labels_are_those_that_production_stores(
    where: RecordedCity, folder: Path, tmp_path: Path
) -> None:
    ws = open_workspace(Settings(root=tmp_path, cities={CITY.name: CITY}), simulated=True)
    ingest.import_recording(ws, CITY, folder)
    features.build(ws, CITY)

    surveyed = recorded_days.survey(where, learn=LEARN, until=date(2025, 6, 6), track=silent)
    every = np.ones(len(surveyed.dt), dtype=np.bool_)
    learned, profiles = recorded_days.chosen_features(
        where, surveyed, every, learn=LEARN, track=silent
    )
    (day,) = recorded_days.test_days(where, test=TEST, state=profiles, track=silent)

    names = list(FEATURE_NAMES)
    for window, ours in ((LEARN, learned), (TEST, day.features.values)):
        stored = in_order(ws.lake.read(features.OFFLINE, city=CITY.name, window=window))
        np.testing.assert_array_equal(ours, stored[names].to_numpy(dtype=np.float32))
    ids = np.array(surveyed.outcomes.stations)[surveyed.station]
    stored = in_order(ws.lake.read(features.OFFLINE, city=CITY.name, window=LEARN))
    assert ids.tolist() == stored["station_id"].tolist()

    grid = truth(
        ws, CITY, stations=surveyed.outcomes.stations, window=Window(LEARN.start, TEST.end)
    )
    for target in TARGETS:
        ahead = np.full(len(every), 60, dtype=np.int16)
        theirs = out_for_rows(
            grid,
            target=target,
            slot=grid.index_of(surveyed.dt),
            station=surveyed.station,
            horizon_min=ahead,
        )
        ours = surveyed.outcomes.labels(
            target.name, at_s=surveyed.dt, station=surveyed.station, horizon_min=ahead
        )
        np.testing.assert_array_equal(ours, theirs)


def test_a_sparser_cadence_gives_a_part_of_the_rows(where: RecordedCity) -> None:
    sparse = RecordedCity(where.recording, CITY, 60)
    dense, thin = (
        recorded_days.survey(w, learn=LEARN, until=date(2025, 6, 5), track=silent)
        for w in (where, sparse)
    )
    chosen = dense.dt % 3600 == 0
    np.testing.assert_array_equal(thin.dt, dense.dt[chosen])
    np.testing.assert_array_equal(thin.station, dense.station[chosen])


def test_a_cell_is_the_kind_of_day_and_the_half_hour_of_local_time(where: RecordedCity) -> None:
    surveyed = recorded_days.survey(where, learn=LEARN, until=date(2025, 6, 5), track=silent)
    cells = Cells(surveyed.outcomes, CITY)
    noon = Window.parse("2025-06-03T16:10..2025-06-03T17:00", key="t").start  # 12:10 in Toronto
    assert cells.at(np.array([int(noon.timestamp())])).tolist() == [24]


def test_a_range_outside_the_recording_is_refused(where: RecordedCity) -> None:
    where.check("train", LEARN)
    with pytest.raises(InputError, match=r"covers 2025-06-02\.\.2025-06-07; choose a range"):
        where.check("test", Window.parse("2025-06-05..2025-06-09", key="test"))
