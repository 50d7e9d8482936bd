from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.tables import PROFILES
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows import features, ingest
from mlops_bikeshare.settings import Settings
from mlops_bikeshare.sources.simulator.simulate import simulate

CITY = City(name="nowhere", timezone="America/Toronto", country="CA")
FIRST, SECOND, THIRD = "2025-06-02..2025-06-03", "2025-06-03..2025-06-04", "2025-06-04..2025-06-05"


@pytest.fixture
def imported(tmp_path: Path) -> Callable[..., Workspace]:
    """A workspace with the given days of a simulated recording."""
    folder = tmp_path / "recording"
    made = simulate(stations=10, days=3, seed=3, start=date(2025, 6, 2), timezone=CITY.timezone)
    made.write(folder)

    def days(*windows: str) -> Workspace:
        ws = open_workspace(Settings(root=tmp_path, cities={CITY.name: CITY}), simulated=True)
        for window in windows:
            parsed = Window.parse(window, key="--window")
            ingest.import_recording(ws, CITY, folder, window=parsed)
        return ws

    return days


def test_a_window_that_leaves_out_an_earlier_day_is_refused(
    imported: Callable[..., Workspace],
) -> None:
    ws = imported(FIRST, SECOND)

    with pytest.raises(InputError, match="features of 2025-06-02 are not built"):
        features.build(ws, CITY, window=Window.parse(SECOND, key="--window"))
    assert ws.lake.days(PROFILES, city=CITY.name) == []


def test_a_day_that_comes_after_its_later_days_were_built_is_refused(
    imported: Callable[..., Workspace],
) -> None:
    features.build(imported(SECOND, THIRD), CITY)

    with pytest.raises(InputError, match="2025-06-02 came into the lake after"):
        features.build(imported(FIRST), CITY)


def test_days_that_follow_are_added_to_what_is_there(imported: Callable[..., Workspace]) -> None:
    features.build(imported(FIRST, SECOND), CITY)

    done = features.build(imported(THIRD), CITY)

    assert (done.days_written, done.days_there) == (1, 2)
