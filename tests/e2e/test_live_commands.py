"""`bikeshare live` beside `bikeshare replay-feed`, as two processes that know only an address."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from mlops_bikeshare.backends import open_workspace
from mlops_bikeshare.domain.tables import STATION_STATUS
from mlops_bikeshare.settings import load
from mlops_bikeshare.sources.gbfs.faults import KINDS
from tests.e2e.conftest import Home
from tests.served import small_city

LINE = "poll_s = 300                # 60 to 300"
HURRIED = {LINE: f"{LINE}\ntimeout_s = 1.0\nattempts = 2\nfirst_pause_s = 0.01"}


@pytest.fixture
def home(new_home: Callable[..., Home]) -> Home:
    return new_home(HURRIED)


@pytest.fixture
def feed(home: Home, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Two hours of a recording at 180 times its speed, which begins with every fault there is."""
    wanted = [word for kind in KINDS for word in ("--fault", kind)]
    wanted += ["--fault-share", "0.2", "--seed", "5", "--speed", "180", "--at", "2021-09-01T12:00"]
    recorded = str(small_city(tmp_path / "city", hours=6).folder)
    process = subprocess.Popen(
        [sys.executable, "-m", "mlops_bikeshare", "replay-feed", "--recording", recorded, *wanted],
        cwd=home.path,
        env=home.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield process
        process.terminate()


@pytest.mark.long
def test_live_follows_a_replayed_feed_through_every_fault_and_tells_what_was_lost(
    home: Home, feed: "subprocess.Popen[str]"
) -> None:
    assert feed.stdout is not None
    url = feed.stdout.readline().split()[0]

    address = ("--url", url, "--replay-clock", "--until", "2021-09-01T14:00")
    done = home.run("--workspace", "rehearsal", "live", "--city", "boston", *address, "--json")

    assert done.code == 0, done.err
    (told,) = json.loads(done.out)
    lost = sum(told["lost"].values())
    assert told["polls"] >= len(KINDS)
    assert 0 < lost < told["polls"]
    delivered = httpx.get(url.replace("gbfs.json", "control/delivered")).json()
    assert 0 < len(delivered) <= told["polls"] - lost
    settings = load(home.path, {"BIKESHARE_HOME": str(home.path)}, {"workspace": "rehearsal"})
    rows = open_workspace(settings).lake.read(STATION_STATUS, city="boston")
    assert rows["fetched_at"].nunique() == told["polls"] - lost
    assert len(rows) == told["rows"]
    feed.terminate()
    assert f"{len(delivered)} documents of station_status delivered" in feed.stdout.read()
