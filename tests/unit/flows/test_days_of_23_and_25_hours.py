"""Paris on the days on which its clocks are changed: 23 and 25 hours of local time.

UTC runs on: partitions hold whole UTC days, every decision time has its row, and the local time of
day, a feature, jumps as the clocks on the wall do.
"""

import shutil
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.domain.clock import SimulatedClock
from mlops_bikeshare.domain.tables import STATION_STATUS_RAW
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows import features, ingest, live_feed
from mlops_bikeshare.flows.live import live
from mlops_bikeshare.flows.process.pace import Lockstep
from mlops_bikeshare.settings import load
from mlops_bikeshare.sources.gbfs.client import FeedClient
from mlops_bikeshare.sources.gbfs.server import ReplayedCity, serving
from mlops_bikeshare.sources.recorded import open_recording
from mlops_bikeshare.sources.simulator.simulate import simulate
from tests.served import HURRIED

ROOT = Path(__file__).resolve().parents[3]
DAY = timedelta(days=1)
SPRING, AUTUMN = date(2025, 3, 30), date(2025, 10, 26)


@pytest.fixture
def lived_through(tmp_path: Path) -> Callable[[date], Workspace]:
    """A workspace with the features of a day, of the day before and of the day after."""

    def make(day: date) -> Workspace:
        shutil.copy(ROOT / "bikeshare.toml", tmp_path)
        ws = open_workspace(load(tmp_path, {}, {"default_city": "paris"}), simulated=True)
        folder = tmp_path / "recording"
        made = simulate(
            stations=30, days=4, seed=5, start=day - timedelta(days=2), timezone="Europe/Paris"
        )
        made.write(folder)
        span = Window(Window.day(day - timedelta(days=2)).start, Window.day(day + DAY).end)
        ingest.import_recording(ws, ws.settings.city("paris"), folder, window=span)
        features.build(ws, ws.settings.city("paris"), window=span)
        return ws

    return make


def local_minutes(ws: Workspace, day: date) -> dict[pd.Timestamp, float]:
    rows = ws.lake.read(features.OFFLINE, city="paris", window=Window.day(day))
    times = rows[["dt", "local_minute"]].drop_duplicates()
    assert times["dt"].is_unique  # one local time for all stations
    return dict(zip(times["dt"], times["local_minute"], strict=True))


@pytest.mark.parametrize(("day", "two_oclock"), [(SPRING, 0), (AUTUMN, 12), (SPRING - DAY, 6)])
def test_local_time_jumps_as_the_clocks_do_and_no_decision_time_is_lost(
    lived_through: Callable[[date], Workspace], day: date, two_oclock: int
) -> None:
    ws = lived_through(max(day, SPRING))

    found = local_minutes(ws, day)

    zone = ws.settings.city("paris").zone
    local = {dt: dt.tz_convert(zone) for dt in found}
    assert found == {dt: at.hour * 60 + at.minute for dt, at in local.items()}
    # The simulated feed has a breakdown in the afternoon; the night is whole.
    night = Window(Window.day(day).start, Window.day(day).start + timedelta(hours=6))
    assert set(found) >= {pd.Timestamp(at) for at in night.steps(step_s=600)}
    # Between two and three in the night: never, twice, or once.
    assert sum(120 <= minute < 180 for minute in found.values()) == two_oclock
    assert {at.date() for at in ws.lake.read(STATION_STATUS_RAW, city="paris")["fetched_at"]} == {
        *ws.lake.days(STATION_STATUS_RAW, city="paris")
    }


def test_live_polls_run_through_the_hour_that_is_struck_twice(
    lived_through: Callable[[date], Workspace], tmp_path: Path
) -> None:
    ws = lived_through(AUTUMN - 2 * DAY)
    # 02:00 in Paris, for the first time.
    begin = datetime.fromisoformat("2025-10-26T00:00:00+00:00")
    ws.advance(begin)
    assert isinstance(ws.clock, SimulatedClock)
    city = ws.settings.city("paris")
    served = ReplayedCity(open_recording(tmp_path / "recording"), ws.clock)
    with FeedClient(patience=HURRIED) as client, serving(served) as url:
        feed = live_feed.feed_of(ws.settings, city, client=client, clock=ws.clock, url=url)
        until = begin + timedelta(hours=2)
        (done,) = live(ws, [city], {"paris": feed}, Lockstep(ws.clock, until=until), poll_s=300)

    rows = ws.lake.read(STATION_STATUS_RAW, city="paris", window=Window(begin, until))
    polls = sorted(set(rows["fetched_at"]))
    assert done.polls == 24
    assert len(polls) == 24 - sum(done.lost.values())
    assert not rows.duplicated(["station_id", "fetched_at"]).any()
    assert {str(day) for day in rows["fetched_at"].dt.date} == {"2025-10-26"}
