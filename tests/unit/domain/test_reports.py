from datetime import UTC, datetime

from mlops_bikeshare.domain.reports import GateCheck, to_json
from mlops_bikeshare.domain.windows import Window


def test_a_check_says_in_json_whether_it_passed() -> None:
    check = GateCheck(name="PSI", value=0.1, relation="<", threshold=0.2, verdict="pass")

    assert to_json([check])[0]["passed"] is True


def test_what_is_unknown_is_null_never_a_number() -> None:
    assert to_json({"a": float("nan"), "b": None}) == {"a": None, "b": None}


def test_times_and_windows_are_readable_text() -> None:
    at = datetime(2021, 9, 1, tzinfo=UTC)

    assert to_json({"at": at, "window": Window.before(at)}) == {
        "at": "2021-09-01T00:00:00Z",
        "window": "2021-08-31..2021-09-01",
    }
