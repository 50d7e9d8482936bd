import itertools
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.windows import Window, to_seconds
from mlops_bikeshare.training.split import GAP_S, Split, days_before


def window(text: str) -> Window:
    return Window.parse(text, key="train")


def split(train: str, calibrate: str, test: str | None = None) -> Split:
    return Split(window(train), window(calibrate), None if test is None else window(test))


BOSTON = split("2021-06-01..2021-08-25", "2021-08-25..2021-09-01", "2021-09-01..2021-10-01")


@given(train=st.integers(2, 40), calibrate=st.integers(1, 9), rest=st.integers(0, 3))
def test_no_label_reaches_into_a_later_slice(train: int, calibrate: int, rest: int) -> None:
    days = np.cumsum([1, train, rest, calibrate, rest, 2])
    at = np.datetime64("2021-05-01") + days
    made = split(f"{at[0]}..{at[1]}", f"{at[2]}..{at[3]}", f"{at[4]}..{at[5]}")
    dt = np.arange(to_seconds(made.train.start), to_seconds(window(f"{at[4]}..{at[5]}").end), 600)
    masks = made.masks(dt.astype(np.int64))
    assert masks.test is not None
    parts = [dt[m] for m in (masks.fit, masks.early_stop, masks.calibrate, masks.test)]
    for earlier, later in itertools.pairwise(parts):
        assert earlier.size
        assert earlier.max() + GAP_S <= later.min()


def test_the_last_slice_needs_no_gap_after_it() -> None:
    dt = np.array([to_seconds(window("2021-09-30..2021-10-01").end) - 600])
    masks = BOSTON.masks(dt)
    assert masks.test is not None
    assert masks.test.all()


def test_without_a_test_window_calibration_is_the_last_slice() -> None:
    made = split("2021-06-01..2021-06-05", "2021-06-05..2021-06-06")
    masks = made.masks(np.array([to_seconds(made.calibrate.end) - 600]))
    assert masks.test is None
    assert masks.calibrate.all()


def test_a_tenth_of_train_but_at_least_a_day_decides_when_to_stop() -> None:
    assert str(BOSTON.early_stop) == "2021-08-17..2021-08-25"
    assert str(split("2021-06-01..2021-06-03", "2021-06-03..2021-06-04").early_stop) == (
        "2021-06-02..2021-06-03"
    )


@given(since=st.integers(-12, 45), days=st.integers(1, 7))
def test_nothing_is_learned_from_days_held_out_and_each_slice_has_its_days_all_the_same(
    since: int, days: int
) -> None:
    last, day = window("2021-07-20..2021-07-30"), timedelta(days=1)
    held = Window(last.start - since * day, last.start - (since - 7) * day)
    calibrate = Window(days_before(last.start, days, held_out=held), last.start)
    train = Window(window("2021-05-01..2021-05-02").start, calibrate.start)
    made = Split(train, calibrate, last, held_out=held)
    dt = np.arange(to_seconds(train.start), to_seconds(last.end), 600, dtype=np.int64)
    masks = made.masks(dt)
    start, end = to_seconds(held.start), to_seconds(held.end)
    for mask in (masks.fit, masks.early_stop, masks.calibrate):
        assert not np.any(mask & (dt + GAP_S > start) & (dt < end))
    least = days * 144 - 2 * GAP_S // 600  # a gap before what is held out, and one at the end
    assert np.count_nonzero(masks.calibrate) >= least
    assert np.count_nonzero(masks.early_stop) >= 144 - 2 * GAP_S // 600


@pytest.mark.parametrize(
    ("train", "calibrate", "test", "message"),
    [
        ("2021-06-01..2021-06-02", "2021-06-02..2021-06-04", None, "at least 2 days, got 24 h"),
        ("2021-06-01..2021-06-04", "2021-06-04..2021-06-04T12:00", None, "at least 1 day, got 12"),
        ("2021-06-01..2021-06-09", "2021-06-08..2021-06-12", None, "calibrate=.* starts before"),
        ("2021-06-10..2021-06-13", "2021-06-01..2021-06-04", None, "calibrate=.* starts before"),
        (
            "2021-06-01..2021-06-09",
            "2021-06-09..2021-06-12",
            "2021-06-11..2021-06-14",
            "test=.* starts before calibrate=",
        ),
    ],
)
def test_windows_that_cannot_be_learned_from_are_refused(
    train: str, calibrate: str, test: str | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        split(train, calibrate, test)
