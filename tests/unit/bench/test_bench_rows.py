"""The bench's own logic: what a row means, and that a missed goal cannot be overlooked."""

import os
import sys
from pathlib import Path

import pytest

from tests.bench.measure import BenchError, Row, child, compare, table, tree_kb


def row(**changes: object) -> Row:
    values = {"name": "lake.read", "unit": "s", "against": "limit", "ours": 2.0, "peer": 6.0}
    return Row(**{**values, **changes})  # type: ignore[arg-type]


def test_a_ratio_above_one_means_that_ours_costs_less() -> None:
    assert row().ratio == 3.0
    assert row(ours=12.0).ratio == 0.5


@pytest.mark.parametrize(("goal", "met"), [(3.0, True), (3.01, False), (1.0, True)])
def test_a_goal_is_met_from_its_own_value_on(goal: float, met: bool) -> None:
    assert row(goal=goal).met is met


@pytest.mark.parametrize("missing", ["ours", "peer"])
def test_a_row_without_both_figures_is_neither_met_nor_missed(missing: str) -> None:
    skipped = row(**{missing: None})
    assert (skipped.ratio, skipped.met) == (None, None)
    assert "skipped" in table([skipped])


def test_json_has_every_field_of_the_format() -> None:
    assert row(goal=5.0).to_json() == {
        "name": "lake.read",
        "ours": 2.0,
        "peer": 6.0,
        "unit": "s",
        "ratio": 3.0,
        "goal": 5.0,
        "met": False,
        "against": "limit",
    }


def test_a_missed_goal_stands_out_in_an_aligned_table() -> None:
    lines = table([row(), row(name="features.offline", goal=5.0, ours=12_345.6)]).splitlines()
    assert lines[0].split() == ["name", "ours", "peer", "unit", "ratio", "goal", "met", "against"]
    assert "MISSED" in lines[2]
    assert "12,346" in lines[2]
    assert len({line.index("limit") for line in lines[1:]}) == 1


def test_the_median_of_turns_is_reported_and_every_work_has_its_own() -> None:
    called: list[str] = []
    costs = compare(lambda: called.append("a"), lambda: called.append("b"), repeats=3)
    assert called == ["a", "b"] * 3
    assert len(costs) == 2
    assert all(cost.wall_s >= 0 for cost in costs)


def test_the_memory_of_a_tree_counts_descendants_and_nobody_else() -> None:
    listing = "  1 0 1000\n 10 1 100\n 11 10 20\n 12 11 3\n 20 1 5000\n"
    assert tree_kb(listing, 10) == 123
    assert tree_kb(listing, 99) == 0


def test_a_child_that_fails_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('no such city')"]
    with pytest.raises(BenchError, match="ended with 1: no such city"):
        child(command, cwd=tmp_path, env=os.environ)


def test_a_child_that_may_fail_is_measured_all_the_same(tmp_path: Path) -> None:
    usage = child([sys.executable, "-c", "exit(1)"], cwd=tmp_path, env=os.environ, allowed=(0, 1))
    assert usage.wall_s > 0
    assert usage.cpu_s > 0
