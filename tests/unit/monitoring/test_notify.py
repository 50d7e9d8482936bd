"""What is due to be told, and when quiet hours are."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from mlops_bikeshare.monitoring import notify
from mlops_bikeshare.monitoring.alarms import Seen, Severity, State

AT = datetime(2021, 7, 1, 3, tzinfo=UTC)  # 23:00 in Boston


def seen(name: str, state: State, severity: Severity = "critical") -> Seen:
    return Seen(
        name=name, severity=severity, state=state, value=None, relation="<", threshold=1,
        meaning="no batch", runbook="heartbeat",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("start", "end", "quiet"),
    [
        ("22:00", "07:00", True),
        ("23:00", "23:30", True),
        ("22:00", "23:00", False),
        ("00:00", "07:00", False),
        ("23:30", "07:00", False),
        (None, "07:00", False),
    ],
)
def test_quiet_hours_are_city_time_and_may_span_midnight(
    start: str | None, end: str | None, quiet: bool
) -> None:
    zone = ZoneInfo("America/New_York")
    assert notify.in_quiet_hours(AT, zone, start=start, end=end) == quiet


@pytest.mark.parametrize(
    ("state", "told", "kinds"),
    [
        ("ALARM", {}, ["alarm"]),
        ("ALARM", {"a": "then"}, []),
        ("OK", {"a": "then"}, ["recovered"]),
        ("OK", {}, []),
        ("INSUFFICIENT_DATA", {"a": "then"}, []),
        ("INSUFFICIENT_DATA", {}, []),
    ],
)
def test_what_is_due_goes_by_what_a_channel_was_told(
    state: State, told: dict[str, str], kinds: list[str]
) -> None:
    found = notify.due([seen("a", state)], told, quiet=True)

    assert [notice.kind for notice in found] == kinds
    assert ("a" in notify.after(told, found, at=AT)) == (
        state == "ALARM" or (state != "OK" and "a" in told)
    )


def test_a_message_begins_with_the_worst() -> None:
    found = notify.due([seen("w", "ALARM", "warn"), seen("c", "ALARM")], {}, quiet=False)
    said = notify.message(found, city="boston")

    assert (said.severity, said.title) == ("critical", "bikeshare boston: ALARM c and 1 more")
    assert said.body.splitlines()[0] == (
        "ALARM c: no batch (no data < 1); docs/runbook.md#heartbeat"
    )
