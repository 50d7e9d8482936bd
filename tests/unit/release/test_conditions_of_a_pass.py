"""What a pass of the gate is still good for."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from mlops_bikeshare.domain.errors import Refused
from mlops_bikeshare.domain.reports import GateReport, to_json
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.release.conditions import check_compared, check_not_taken_back

NOW = datetime(2021, 9, 2, tzinfo=UTC)
PASS = GateReport(
    verdict="pass",
    city="boston",
    endpoint="bikeshare-staging",
    model_version="2",
    artefact_digest="a" * 64,
    window=Window.before(NOW),
    judged_at=NOW,
    checks=(),
    pinned={"champion_version": "1"},
)
GATE: dict[str, Any] = {"kind": "gate", "at": "2021-09-02", "facts": to_json(PASS)}
BACK = {"kind": "rollback", "at": "2021-09-02", "facts": {"endpoint": "bikeshare-prod"}}


def test_a_pass_holds_for_the_champion_it_compared_with() -> None:
    check_compared(PASS, "1")
    with pytest.raises(Refused, match="compared with champion 1, which is now 3"):
        check_compared(PASS, "3")
    with pytest.raises(Refused, match="champion unknown"):
        check_compared(replace(PASS, pinned={}), "1")


def test_a_pass_without_a_champion_is_no_way_past_one() -> None:
    first = replace(PASS, initial=True, pinned={})
    check_compared(first, None)
    with pytest.raises(Refused, match="without --initial"):
        check_compared(first, "1")


@pytest.mark.parametrize("kind", ["rollback", "promotion failed", "rollback failed"])
def test_what_was_taken_back_needs_a_new_pass_even_on_a_clock_that_stands_still(kind: str) -> None:
    back = {**BACK, "kind": kind}
    check_not_taken_back([back, GATE], PASS, "bikeshare-prod")
    check_not_taken_back([GATE, back], PASS, "bikeshare-elsewhere-prod")
    with pytest.raises(Refused, match=f"taken back .{kind}"):
        check_not_taken_back([GATE, back], PASS, "bikeshare-prod")
