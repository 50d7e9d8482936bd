from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_bikeshare.domain.errors import GridError
from mlops_bikeshare.features.track import Track

SLOTS, LATE = 60, np.arange(24, 60)
Reduce = Callable[[npt.NDArray[np.float64]], float]


def counts_of(seed: int, *, missing: float = 0.2) -> npt.NDArray[np.int16]:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 30, (SLOTS, 3)).astype(np.int16)
    counts[rng.random(counts.shape) < missing] = -1
    return counts


def by_hand(counts: npt.NDArray[np.int16], slots: int, reduce: Reduce) -> npt.NDArray[np.float64]:
    values = np.where(counts < 0, np.nan, counts)
    out = np.full((len(LATE), counts.shape[1]), np.nan)
    for i, at in enumerate(LATE):
        for station in range(counts.shape[1]):
            window = values[at - slots + 1 : at + 1, station]
            if not np.isnan(window).all():
                out[i, station] = reduce(window)
    return out


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), slots=st.sampled_from([6, 12, 24]))
@pytest.mark.parametrize(
    ("method", "reduce"),
    [("mean", np.nanmean), ("std", np.nanstd), ("low", np.nanmin), ("high", np.nanmax)],
)
def test_rolling_statistics_are_those_of_the_window_by_hand(
    method: str, reduce: Reduce, seed: int, slots: int
) -> None:
    counts = counts_of(seed, missing=0.6)
    found = getattr(Track(counts, at=LATE), method)(slots)
    np.testing.assert_allclose(found, by_hand(counts, slots, reduce), atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_flows_are_the_rises_and_falls_between_neighbouring_slots(seed: int) -> None:
    counts = counts_of(seed)
    change = pd.DataFrame(np.where(counts < 0, np.nan, counts)).diff()
    rises, falls = change.clip(lower=0), (-change).clip(lower=0)
    track = Track(counts, at=LATE)
    for found, flow in ((track.gained(6), rises), (track.lost(6), falls)):
        expected = flow.rolling(6, min_periods=1).sum().to_numpy()[LATE]
        np.testing.assert_array_equal(found, expected)


def test_a_lag_or_change_from_a_missing_count_is_missing() -> None:
    counts = np.full((SLOTS, 1), 5, dtype=np.int16)
    counts[30] = -1
    track = Track(counts, at=np.array([31, 32]))
    assert np.isnan(track.lag(1)[:, 0]).tolist() == [True, False]
    assert np.isnan(track.delta(2)[:, 0]).tolist() == [False, True]


def test_statistics_do_not_depend_on_where_the_block_starts() -> None:
    counts = counts_of(7)
    whole, late = Track(counts, at=np.array([55])), Track(counts[20:], at=np.array([35]))
    for method in ("mean", "std", "low", "high", "gained", "lost"):
        first, second = (getattr(track, method)(24) for track in (whole, late))
        assert first.tobytes() == second.tobytes()


def test_decision_times_at_any_distance_of_each_other_read_the_same_values() -> None:
    counts = counts_of(8)
    every = Track(counts, at=LATE)
    for some in (np.array([0, 2, 4, 6]), np.array([0, 1, 5]), np.array([7, 7]), np.array([9, 3])):
        track = Track(counts, at=LATE[some])
        for method in ("lag", "delta", "mean", "std", "low", "high", "gained", "lost", "net"):
            found, whole = (getattr(each, method)(12) for each in (track, every))
            assert found.tobytes() == whole[some].tobytes()


def test_a_grid_that_starts_less_than_two_hours_before_dt_is_an_error() -> None:
    with pytest.raises(GridError, match="start the grid LOOKBACK before"):
        Track(counts_of(0), at=np.array([23]))
