"""Live mode on feeds that do everything wrong: real recordings, real HTTP, a served model.

Boston is served by a host and Taipei, whose days are moved to Boston's, is collected beside it.
Both feeds go wrong at every third request, in every way there is.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import pandas as pd
import pytest

from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.domain.clock import SimulatedClock
from mlops_bikeshare.domain.tables import (
    INFERENCE,
    MONITORING_DRIFT,
    MONITORING_QUALITY,
    STATION_STATUS_RAW,
)
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows import deploy, features, ingest, live_feed, serve, train
from mlops_bikeshare.flows.live import live
from mlops_bikeshare.flows.process.lived import Lived, summary
from mlops_bikeshare.flows.process.pace import Lockstep
from mlops_bikeshare.settings import load
from mlops_bikeshare.sources.gbfs.client import FeedClient
from mlops_bikeshare.sources.gbfs.faults import KINDS, Faults
from mlops_bikeshare.sources.gbfs.server import ReplayedCity, serving
from mlops_bikeshare.sources.recorded import Recording, open_recording
from tests.served import HURRIED

pytestmark = pytest.mark.recordings

ROOT = Path(__file__).resolve().parents[2]
FIRST_DAY, BEGIN = datetime(2021, 8, 27, tzinfo=UTC), datetime(2021, 9, 1, tzinfo=UTC)
LATER = timedelta(days=996)  # Taipei's 2024-05-19 becomes Boston's 2021-08-27
STATIONS = 40
FLAGS = {
    "workspace": "live",
    "default_city": "boston",
    "serving.port": 0,
    "training.max_rows": 15_000,
    "training.rounds": 20,
    "training.threads": 1,
    # A small model: what is tried here is the loop.
    "gate.pr_auc_24h": 0.1,
    "gate.f1_24h": 0.1,
    "gate.onset_brier_skill": -1.0,
    "monitoring.drift_rows": 100,
}


@dataclass
class Served:
    """The workspace whose endpoint runs, and the recordings behind both feeds."""

    ws: Workspace
    cities: dict[str, Recording]


def cut(source: Path, folder: Path, span: Window, *, back: timedelta = timedelta(0)) -> Recording:
    """Some stations and days of a recording, moved back in time."""
    folder.mkdir()
    rows = pd.read_parquet(source / "station_status.parquet")
    ids = sorted(rows["station_id"].unique())[:STATIONS]
    rows = rows[rows["station_id"].isin(ids)].assign(observed_at=lambda r: r["observed_at"] - back)
    utc = pd.to_datetime(rows["observed_at"], utc=True)
    rows = rows[(utc >= span.start) & (utc < span.end)]
    rows.to_parquet(folder / "station_status.parquet")
    stations = pd.read_parquet(source / "station_information.parquet")
    stations[stations["station_id"].isin(ids)].to_parquet(folder / "station_information.parquet")
    return open_recording(folder)


@pytest.fixture(scope="module")
def served(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("live")
    shutil.copy(ROOT / "bikeshare.toml", home)
    days = Window(FIRST_DAY, datetime(2021, 9, 11, tzinfo=UTC))
    cities = {
        "boston": cut(recordings / "boston", home / "boston", days),
        "taipei": cut(recordings / "taipei", home / "taipei", days, back=LATER),
    }
    ws = open_workspace(load(home, {}, FLAGS), simulated=True)
    city = ws.settings.city("boston")
    before = Window(FIRST_DAY, BEGIN)
    ingest.import_recording(ws, city, home / "boston", window=before)
    features.build(ws, city, window=before)
    split = train.by_shares(Window(FIRST_DAY + timedelta(days=1), before.end))
    version = train.train(ws, city, split).version
    with serve.hosting(ws):
        deploy.deploy(ws, city, version=version, initial=True)
        yield Served(ws, cities)


def lived(
    served: Served,
    *,
    begin: datetime,
    hours: float,
    names: tuple[str, ...] = ("boston", "taipei"),
    share: float = 0.33,
    pace: type[Lockstep] = Lockstep,
) -> tuple[list[Lived], dict[str, set[pd.Timestamp]]]:
    """Live mode for some hours; what became of each city, and what its feed delivered."""
    ws = served.ws
    ws.advance(begin)
    assert isinstance(ws.clock, SimulatedClock)
    fed = {
        name: ReplayedCity(
            served.cities[name],
            ws.clock,
            hold_s=2,
            name=name,
            faults=Faults(share=share, seed=len(name)),
        )
        for name in names
    }
    for city in fed.values():
        for kind in KINDS:
            city.faults.plan(kind, feed="station_status")
    with ExitStack() as stack:
        client = stack.enter_context(FeedClient(patience=HURRIED))
        cities = [ws.settings.city(name) for name in fed]
        feeds = {
            city.name: live_feed.feed_of(
                ws.settings,
                city,
                client=client,
                clock=ws.clock,
                url=stack.enter_context(serving(fed[city.name])),
            )
            for city in cities
        }
        until = begin + timedelta(hours=hours, minutes=1)
        done = live(ws, cities, feeds, pace(ws.clock, until=until), poll_s=300)
    return done, {name: {pd.Timestamp(at) for at in city.delivered} for name, city in fed.items()}


def check_nothing_was_lost(
    served: Served, done: list[Lived], delivered: dict[str, set[pd.Timestamp]], begin: datetime
) -> None:
    """Every delivered document is stored once; the report names what did not arrive."""
    for city in done:
        window = Window(begin, served.ws.now + timedelta(seconds=1))
        rows = served.ws.lake.read(STATION_STATUS_RAW, city=city.city, window=window)
        lost = sum(city.lost.values())
        assert set(rows["fetched_at"]) >= delivered[city.city]
        assert rows["fetched_at"].nunique() == city.polls - lost
        assert not rows.duplicated(["station_id", "fetched_at"]).any()
        assert len(rows) == city.rows
        assert 0 < lost < city.polls
        assert f"{lost} polls lost" in summary([city])
        assert city.skipped == 0


def check_judged(served: Served, boston: Lived, begin: datetime, hours: int) -> None:
    """A batch every ten minutes, and what it said was judged."""
    window = Window(begin + timedelta(seconds=1), served.ws.now + timedelta(seconds=1))
    said = served.ws.lake.read(INFERENCE, city="boston", window=window)
    assert boston.batches == said["dt"].nunique()
    # A batch fails, and is counted, only while the feed has been down for too long.
    assert boston.batches + boston.failed_jobs == hours * 6
    assert boston.failed_jobs <= hours // 12
    assert set(said["source"]) <= {"model", "fallback"}
    assert len(served.ws.lake.read(MONITORING_QUALITY, city="boston", window=window))
    assert len(served.ws.lake.read(MONITORING_DRIFT, city="boston", window=window))


def test_two_cities_live_an_hour_of_every_fault_and_lose_nothing_delivered(served: Served) -> None:
    done, delivered = lived(served, begin=BEGIN, hours=1)

    assert [(city.city, city.polls, city.only_collected) for city in done] == [
        ("boston", 12, False),
        ("taipei", 12, True),
    ]
    check_nothing_was_lost(served, done, delivered, BEGIN)
    check_judged(served, done[0], BEGIN, 1)


@pytest.mark.long
def test_two_cities_live_a_day_of_every_fault_and_lose_nothing_delivered(served: Served) -> None:
    begin = BEGIN + timedelta(hours=1)
    done, delivered = lived(served, begin=begin, hours=24)

    assert [city.polls for city in done] == [288, 288]
    check_nothing_was_lost(served, done, delivered, begin)
    check_judged(served, done[0], begin, 24)
    # Midnight has passed: the day before has features, and is one object per table.
    day, ws = BEGIN.date(), served.ws
    assert day in ws.lake.days(features.OFFLINE, city="boston")
    for city in done:
        assert len(ws.lake.keys(STATION_STATUS_RAW, city=city.city, day=day)) == 1


class Weighing(Lockstep):
    """Looks every noon at how much memory this process, the host and its worker hold."""

    host: ClassVar[Path]
    noons: ClassVar[list[dict[str, float]]] = []

    def wait_until(self, at: datetime) -> bool:
        """Set the clock."""
        if (at.hour, at.minute, at.second) == (12, 0, 0):
            pid = json.loads(self.host.read_text())["pid"]
            workers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            each = {"live": os.getpid(), "host": pid, "worker": workers[0]}
            self.noons.append({name: resident_mb(process) for name, process in each.items()})
        return super().wait_until(at)


def resident_mb(pid: object) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


@pytest.mark.long
def test_a_week_of_live_mode_takes_no_more_memory_than_its_first_whole_day(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    if not Path("/proc/self/task").is_dir():
        pytest.skip("memory is read from /proc, which this system has not")
    begin, Weighing.host = BEGIN + timedelta(days=2), served.ws.path / "host.json"

    done, _ = lived(served, begin=begin, hours=7 * 24, names=("boston",), share=0.02, pace=Weighing)

    with capsys.disabled():
        for day, noon in enumerate(Weighing.noons, start=1):
            told = ", ".join(f"{name} {mb:.0f} MB" for name, mb in noon.items())
            sys.stdout.write(f"\nnoon of day {day}: {told}")
    assert (done[0].polls, done[0].skipped) == (7 * 288, 0)
    assert len(Weighing.noons) == 7
    # From the second noon on there is a whole day to look back on, and one that was merged.
    first, last = Weighing.noons[1], Weighing.noons[-1]
    assert {name: last[name] - first[name] < 30 for name in first} == dict.fromkeys(first, True)
