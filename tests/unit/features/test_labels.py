import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_bikeshare.domain.errors import GridError
from mlops_bikeshare.domain.label import Label
from mlops_bikeshare.domain.targets import BIKEOUT, DOCKOUT, TARGETS, Target
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.features.grid import Grid
from mlops_bikeshare.features.labels import already_out, out_at, out_for_rows

START = datetime(2021, 7, 2, 20, tzinfo=UTC)
SLOTS = 60
Polls = Callable[..., pd.DataFrame]


def truth(frame: pd.DataFrame) -> Grid:
    window = Window(START, START + timedelta(minutes=5 * SLOTS))
    names = ["000", "001", "002", "003"]
    return Grid.from_status(frame, stations=names, window=window, time_column="observed_at")


@pytest.fixture
def grid(polls: Polls) -> Grid:
    return truth(polls(3, slots=SLOTS).assign(is_renting=True))


@pytest.mark.parametrize("horizon_min", [10, 30, 120])
def test_a_label_is_the_count_at_dt_plus_horizon(grid: Grid, horizon_min: int) -> None:
    ahead = horizon_min // 5
    bikeout = out_at(grid, target=BIKEOUT, horizon_min=horizon_min)
    np.testing.assert_array_equal(bikeout[:-ahead], grid.bikes[ahead:] <= 2)
    assert np.isnan(bikeout[-ahead:]).all()
    assert bikeout.dtype == np.float32


def test_a_horizon_beyond_the_grid_has_no_labels(grid: Grid) -> None:
    assert np.isnan(out_at(grid, target=BIKEOUT, horizon_min=5 * SLOTS)).all()


def test_bikes_and_docks_mirror_each_other(polls: Polls) -> None:
    frame = polls(3, slots=SLOTS)
    swapped = frame.rename(
        columns={
            "num_bikes_available": "num_docks_available",
            "num_docks_available": "num_bikes_available",
            "is_renting": "is_returning",
            "is_returning": "is_renting",
        }
    )
    np.testing.assert_array_equal(
        out_at(truth(frame), target=BIKEOUT, horizon_min=30),
        out_at(truth(swapped), target=DOCKOUT, horizon_min=30),
    )


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_future_that_was_not_observed_has_no_label_even_if_carried(
    polls: Polls, target: Target
) -> None:
    frame = polls(3, slots=SLOTS).assign(is_renting=True)
    missed = frame["slot"] == pd.Timestamp(START + timedelta(minutes=50))
    gap = truth(frame[~missed])
    for grid in (gap, gap.carried()):
        labels = out_at(grid, target=target, horizon_min=30)
        assert np.isnan(labels[4]).all()
        assert not np.isnan(labels[[3, 5]]).any()


@pytest.mark.parametrize(("target", "flag"), [(BIKEOUT, "is_renting"), (DOCKOUT, "is_returning")])
def test_a_station_out_of_service_at_the_horizon_has_no_label(
    polls: Polls, target: Target, flag: str
) -> None:
    frame = polls(3, slots=SLOTS).assign(is_renting=True)
    frame.loc[frame["station_id"] == "001", flag] = False
    labels = out_at(truth(frame), target=target, horizon_min=10)
    assert np.isnan(labels[:, 1]).all()
    assert not np.isnan(labels[:-2, [0, 2, 3]]).any()


def test_sampled_rows_get_the_labels_of_the_full_array(grid: Grid) -> None:
    rng, few = np.random.default_rng(0), Label(threshold=4)
    slot, station = rng.integers(0, SLOTS, 500), rng.integers(0, 4, 500)
    horizons = rng.choice(np.arange(10, 121, 10), 500)
    found = out_for_rows(
        grid, target=DOCKOUT, slot=slot, station=station, horizon_min=horizons, label=few
    )
    for h in np.unique(horizons):
        whole = out_at(grid, target=DOCKOUT, horizon_min=int(h), label=few)
        rows = horizons == h
        np.testing.assert_array_equal(found[rows], whole[slot[rows], station[rows]])


def test_a_station_whose_count_is_missing_is_not_known_to_be_out(polls: Polls) -> None:
    grid = truth(polls(3, slots=SLOTS, absent=0.3))
    out = already_out(grid, target=BIKEOUT)
    np.testing.assert_array_equal(out, (grid.bikes >= 0) & (grid.bikes <= 2))
    assert out.any()


@pytest.mark.parametrize("horizon_min", [7, -10])
def test_a_horizon_between_slots_or_in_the_past_is_an_error(grid: Grid, horizon_min: int) -> None:
    with pytest.raises(GridError, match=rf"{horizon_min}.*multiples of 5 minutes"):
        out_at(grid, target=BIKEOUT, horizon_min=horizon_min)


@given(
    outcomes=st.lists(st.sampled_from((0, 1, None)), min_size=12, max_size=12),
    slot=st.integers(0, 11),
    steps=st.integers(1, 14),
)
def test_within_is_out_where_any_slot_of_the_way_is_and_missing_where_one_is_not_known(
    outcomes: list[int | None], slot: int, steps: int
) -> None:
    way = [outcomes[i] if i < 12 else None for i in range(slot + 1, slot + steps + 1)]
    expected = 1.0 if 1 in way else math.nan if None in way else 0.0
    bikes = np.array([[-1 if o is None else 2 if o else 9] for o in outcomes], dtype=np.int16)
    yes = np.ones((12, 1), dtype=bool)
    grid = Grid(("a",), 0, bikes, bikes, yes, yes, np.zeros((12, 1), np.int64), bikes >= 0)
    at = {"station": np.array([0]), "horizon_min": np.array([5 * steps])}
    found = out_for_rows(
        grid, target=BIKEOUT, slot=np.array([slot]), **at, label=Label(mode="within")
    )
    np.testing.assert_array_equal(found, [expected])


def test_within_says_out_wherever_at_does(polls: Polls) -> None:
    grid = truth(polls(3, slots=SLOTS, missed=0.1).assign(is_renting=True))
    slot, station = (a.ravel() for a in np.indices((SLOTS, 4)))
    rows = {"slot": slot, "station": station, "horizon_min": np.full(len(slot), 30)}
    at, within = (
        out_for_rows(grid, target=BIKEOUT, **rows, label=Label(mode=mode))
        for mode in ("at", "within")
    )
    assert (within[at == 1] == 1).all()
    assert np.nansum(within) > np.nansum(at)
    assert np.isnan(within[np.isnan(at) & (within != 1)]).all()
