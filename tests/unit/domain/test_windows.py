from datetime import UTC, date, datetime

import pytest

from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.windows import Window, floor_time, parse_hours, parse_time, stamp


def test_a_window_is_half_open() -> None:
    day = Window.day(date(2021, 9, 1))

    assert day.start in day
    assert day.end not in day
    assert len(list(day.steps())) == 144


def test_steps_begin_on_the_first_multiple_inside_the_window() -> None:
    window = Window(datetime(2021, 9, 1, 0, 3, tzinfo=UTC), datetime(2021, 9, 1, 0, 30, tzinfo=UTC))

    assert [f"{at:%H:%M}" for at in window.steps()] == ["00:10", "00:20"]


def test_a_window_before_a_time_ends_on_a_decision_time() -> None:
    window = Window.before(datetime(2021, 9, 2, 0, 7, 31, tzinfo=UTC))

    assert str(window) == "2021-09-01..2021-09-02"


def test_a_range_reads_back_as_it_is_written() -> None:
    text = "2021-06-01..2021-08-25T06:30"

    assert str(Window.parse(text, key="--train")) == text


@pytest.mark.parametrize("text", ["2021-06-01", "yesterday..2021-06-01", "2021-06-02..2021-06-01"])
def test_a_bad_range_is_refused_with_what_was_expected(text: str) -> None:
    with pytest.raises(InputError, match=r"expected|must lie before"):
        Window.parse(text, key="--train")


def test_the_days_of_a_window_leave_out_its_end() -> None:
    assert Window.parse("2021-06-01..2021-06-03", key="x").days() == [
        date(2021, 6, 1),
        date(2021, 6, 2),
    ]


def test_a_time_with_an_offset_is_turned_to_utc() -> None:
    assert parse_time("2021-06-01T02:00+02:00", key="x") == datetime(2021, 6, 1, tzinfo=UTC)


def test_times_are_floored_and_stamped() -> None:
    at = datetime(2021, 9, 1, 10, 9, 59, tzinfo=UTC)

    assert stamp(floor_time(at)) == "20210901T100000Z"


def test_hours_are_read_and_anything_else_is_named() -> None:
    assert [parse_hours(text, key="--window") for text in ("1h", "24h", "168h")] == [1, 24, 168]
    for text in ("0h", "24", "169h", "-1h", "1.5h", "2d"):
        with pytest.raises(InputError, match="--window: expected hours such as 24h"):
            parse_hours(text, key="--window")


def test_a_widened_window_has_whole_steps_and_holds_the_old_one() -> None:
    window = Window.parse("2021-09-01T00:20..2021-09-01T01:10", key="w")
    assert str(window.widened(step_s=3600)) == "2021-09-01..2021-09-01T02:00"
    whole = Window.day(date(2021, 9, 1))
    assert whole.widened(step_s=3600) == whole
