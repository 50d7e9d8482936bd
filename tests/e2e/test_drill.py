"""A drill holds: what should happen under each fault does; a week of them in `make test-all`."""

import json
from collections.abc import Callable

import pytest

from tests.e2e.conftest import Home

SMALL = {"threads = 2": "threads = 1", "max_rows = 800000": "max_rows = 100000"}


def drilled(new_home: Callable[..., Home], *options: str) -> dict[str, bool]:
    """Fault → whether it held."""
    home = new_home(SMALL)
    done = home.run("drill", "--json", *options, timeout_s=3000)
    report = json.loads(done.out)
    assert (home.path / "var" / "drill" / "drill.html").is_file()
    assert done.code == (0 if report["held"] else 1)
    unmet = [q for f in report["findings"] for q, was in f["happened"].items() if not was]
    assert unmet == []
    return {finding["fault"]: finding["held"] for finding in report["findings"]}


def test_a_day_of_faults_holds(new_home: Callable[..., Home]) -> None:
    found = drilled(new_home, "--days", "1", "--stations", "80")
    assert len(found) == 4


@pytest.mark.long
def test_a_week_of_faults_holds_and_ends_with_a_good_challenger_in_production(
    new_home: Callable[..., Home],
) -> None:
    found = drilled(new_home)
    assert len(found) == 9
    assert found["none: a good challenger"]
