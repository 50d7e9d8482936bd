"""History: at every time exactly one answer to what was in production."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mlops_bikeshare.release import history

T0 = datetime(2021, 9, 1, tzinfo=UTC)
PROD = "bikeshare-prod"


def entry(kind: str, hour: float, version: str | None, **facts: Any) -> dict[str, Any]:
    at = (T0 + timedelta(hours=hour)).isoformat().replace("+00:00", "Z")
    said = {"endpoint": PROD, "version": version, "endpoint_config": f"c{version}", **facts}
    return {"kind": kind, "at": at, "who": "ada", "why": "so", "facts": said, "digest": f"d{hour}"}


TOLD = [
    entry("deploy", 0, "1", initial=True),
    entry("deploy", 1, "2", endpoint="bikeshare-staging"),
    entry("gate", 2, None),
    entry("canary", 3, "2", shares={"1": 0.9, "2": 0.1}, from_version="1"),
    entry("promotion", 5, "2", from_version="1"),
    entry("alarms", 5, "2"),
    entry("promotion", 6, "3", from_version="2"),
    entry("rollback", 8, "2", from_version="3"),
]


def test_every_move_of_the_endpoint_and_nothing_else_starts_a_reign() -> None:
    found = history.reigns(TOLD, PROD)
    assert [(r.kind, r.version) for r in found] == [
        ("deploy", "1"), ("canary", "2"), ("promotion", "2"), ("promotion", "3"), ("rollback", "2"),
    ]  # fmt: skip
    assert found[-1].until is None
    assert found[1].shares == {"1": 0.9, "2": 0.1}


def test_a_failed_canary_gives_production_back_to_the_version_before() -> None:
    told = [*TOLD[:4], entry("promotion failed", 4, "1", endpoint_config="c1")]
    last = history.reigns(told, PROD)[-1]
    assert (last.version, last.shares, last.endpoint_config) == ("1", {"1": 1.0}, "c1")


def test_a_time_before_the_first_deploy_has_no_answer() -> None:
    assert history.at(history.reigns(TOLD, PROD), T0 - timedelta(seconds=1)) is None
    assert history.at(history.reigns([], PROD), T0) is None


@given(
    st.lists(st.floats(0, 24), min_size=1, max_size=12),
    st.floats(0, 30),
)
def test_every_time_after_the_first_deploy_has_one_answer_even_if_clocks_went_back(
    hours: list[float], ask: float
) -> None:
    told = [entry("promotion", hour, str(i)) for i, hour in enumerate(hours)]
    found = history.reigns(told, PROD)
    when = T0 + timedelta(hours=ask)
    serving = [r for r in found if r.since <= when and (r.until is None or when < r.until)]
    assert len(serving) == (when >= found[0].since)
    assert history.at(found, when) == (serving[0] if serving else None)


def test_the_way_back_is_found_in_the_newest_entry_of_a_version() -> None:
    facts = history.last_settled(TOLD, PROD, "2")
    assert facts is not None
    assert facts["from_version"] == "3"
    assert history.came_before(TOLD, PROD, "2") == "1"
    assert history.came_before(TOLD, PROD, "1") is None
    assert history.last_settled(TOLD, PROD, "9") is None
