"""A drill holds: what should happen under each fault does; a week of them in `make test-all`."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Home

ROOT = Path(__file__).parents[2]
# Tests share the machine: answers take longer, but not a second. The drill's own slowness does.
SMALL = {
    "threads = 2": "threads = 1",
    "max_rows = 800000": "max_rows = 100000",
    "latency_p95_ms = 200.0": "latency_p95_ms = 1500.0",
    "latency_p95_ms = 300.0": "latency_p95_ms = 2000.0",
}


def drilled(new_home: Callable[..., Home], *options: str) -> dict[str, Any]:
    """The report, whose faults all held."""
    home = new_home(SMALL)
    done = home.run("drill", "--json", *options, timeout_s=3000)
    assert done.out, done.err
    report: dict[str, Any] = json.loads(done.out)
    assert (home.path / "var" / "drill" / "drill.html").is_file()
    assert done.code == (0 if report["held"] else 1)
    unmet = [q for f in report["findings"] for q, was in f["happened"].items() if not was]
    assert unmet == []
    return report


def test_a_day_of_faults_holds(new_home: Callable[..., Home]) -> None:
    report = drilled(new_home, "--days", "1", "--stations", "80")
    assert len(report["findings"]) == 9
    told = {row["alarm"]: row["detected_min"] for row in report["alarms"]}
    assert told["bikeshare-prod-feed-age-warn"] <= 30
    assert told["bikeshare-prod-host-down-critical"] <= 20
    assert told["bikeshare-prod-success-rate-warn"] <= 20
    assert told["bikeshare-prod-training-failed-warn"] <= 10


@pytest.mark.long
def test_a_week_of_faults_holds_and_ends_with_a_good_challenger_in_production(
    new_home: Callable[..., Home],
) -> None:
    report = drilled(new_home)
    assert len(report["findings"]) == 15
    assert report["findings"][-1]["fault"] == "none: a good challenger"
    catalogue = tomllib.loads((ROOT / "ops" / "alarms.toml").read_text())["alarm"]
    ours = {
        f"bikeshare-prod-{a['name']}-{a['severity']}" for a in catalogue if "prod" in a["stages"]
    }
    assert ours - {row["alarm"] for row in report["alarms"]} == set(), "an alarm without a drill"
    held = list(report["memory_mb"].values())
    assert len(held) >= 6
    # The first day fills the caches, a training in between leaves some of its room.
    assert held[-1] < 1.25 * held[1] + 100, "memory grows with the days"
