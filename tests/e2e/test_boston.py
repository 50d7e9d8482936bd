"""The whole loop on a real city's recording, where there is one."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.e2e.canary import through_a_canary
from tests.e2e.conftest import Ended, Home

pytestmark = pytest.mark.recordings

# Tests share the machine, so that latency says nothing about the host.
SHARED = {
    "latency_p95_ms = 200.0": "latency_p95_ms = 2000.0",
    "latency_p95_ms = 300.0": "latency_p95_ms = 30000.0",
    "threads = 2": "threads = 1",
}


@pytest.fixture(scope="module")
def ten_days(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Boston from 22 August to 1 September 2021, and the day after, left for a canary."""
    folder = tmp_path_factory.mktemp("boston")
    status = pd.read_parquet(recordings / "boston" / "station_status.parquet")
    at = status["observed_at"]
    status[(at >= "2021-08-22") & (at < "2021-09-03")].to_parquet(folder / "station_status.parquet")
    stations = pd.read_parquet(recordings / "boston" / "station_information.parquet")
    stations.to_parquet(folder / "station_information.parquet")
    return folder


def check(report: dict[str, object], ended: int) -> None:
    """Promoted and rolled back, and better than persistence where it matters."""
    gate, quality = report["gate"], report["quality"]
    assert isinstance(gate, dict)
    assert isinstance(quality, dict)
    assert (ended, gate["verdict"]) == (0, "pass"), gate["checks"]
    assert report["promotion"]
    assert report["rollback"]
    for scores in quality.values():
        assert scores["onset_pr_auc"] > 1.5 * scores["persistence"]["onset_pr_auc"]
        assert scores["brier_skill"] > 0.05


@pytest.fixture(scope="module")
def home(new_home: Callable[..., Home]) -> Home:
    less = {"max_rows = 800000": "max_rows = 150000", "rounds = 400": "rounds = 120"}
    return new_home({**SHARED, **less})


@pytest.fixture(scope="module")
def demo(home: Home, ten_days: Path) -> Ended:
    wanted = ("--recording", str(ten_days), "--city", "boston", "--day", "2021-09-01")
    return home.run("demo", *wanted)


def test_ten_days_of_boston_end_with_a_promotion_and_a_rollback(home: Home, demo: Ended) -> None:
    check(home.report(), demo.code)


@pytest.mark.long
def test_a_day_of_boston_through_a_canary_shows_which_version_answered_what(
    home: Home, demo: Ended, ten_days: Path, tmp_path: Path
) -> None:
    assert demo.code == 0, demo.err
    through_a_canary(home, tmp_path / "home", name="boston", hours=24, recording=ten_days)


@pytest.mark.long
def test_all_of_boston_ends_with_a_promotion_and_a_rollback(
    recordings: Path, new_home: Callable[..., Home]
) -> None:
    home = new_home(SHARED)

    done = home.run("demo", "--recording", str(recordings / "boston"), "--city", "boston")

    check(home.report(), done.code)


@pytest.mark.long
def test_a_demo_can_be_run_twice(recordings: Path, new_home: Callable[..., Home]) -> None:
    home = new_home(SHARED)
    folder = str(recordings / "boston")

    for _ in range(2):
        done = home.run("demo", "--recording", folder, "--city", "boston", "--day", "2021-06-20")
        assert done.code in {0, 1}, done.err
        assert home.report()["replay"]["batches"] == 144
