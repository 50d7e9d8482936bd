from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from mlops_bikeshare.domain.errors import GridError
from mlops_bikeshare.domain.label import Label
from mlops_bikeshare.domain.targets import TARGETS
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.features.grid import Grid
from mlops_bikeshare.features.labels import out_for_rows
from mlops_bikeshare.features.outcomes import Outcomes

Polls = Callable[..., pd.DataFrame]


@pytest.fixture
def grid(polls: Polls) -> Grid:
    frame = polls(5, slots=60, missed=0.2, absent=0.1)
    start = frame["slot"].min().to_pydatetime()
    window = Window(start, start + timedelta(hours=5))
    names = sorted(frame["station_id"].unique())
    return Grid.from_status(frame, stations=names, window=window, time_column="observed_at")


@pytest.mark.parametrize("label", [Label(), Label(threshold=5), Label(mode="within")], ids=str)
def test_labels_are_those_of_the_grid(grid: Grid, label: Label) -> None:
    rng = np.random.default_rng(0)
    slot, station = rng.integers(0, 60, 500), rng.integers(0, len(grid.stations), 500)
    horizon_min = rng.choice([0, 10, 60, 120], 500)
    outcomes = Outcomes.of(grid, label=label)
    for target in TARGETS:
        ours = outcomes.labels(
            target.name, at_s=grid.slot_ends[slot], station=station, horizon_min=horizon_min
        )
        theirs = out_for_rows(
            grid,
            target=target,
            slot=slot,
            station=station,
            horizon_min=horizon_min,
            label=label,
        )
        np.testing.assert_array_equal(ours, theirs)


def test_parts_join_to_the_whole(grid: Grid) -> None:
    whole = Outcomes.of(grid)
    halves = [
        replace(whole, values={n: v[:20] for n, v in whole.values.items()}),
        replace(
            whole,
            start_s=whole.start_s + 20 * 300,
            values={n: v[20:] for n, v in whole.values.items()},
        ),
    ]
    joined = Outcomes.joined(halves)
    assert joined.slots == whole.slots
    for name, values in whole.values.items():
        np.testing.assert_array_equal(joined.values[name], values)
    with pytest.raises(GridError, match="without a gap"):
        Outcomes.joined(halves[::-1])


def test_a_time_between_slots_or_before_the_first_is_refused(grid: Grid) -> None:
    outcomes = Outcomes.of(grid)
    for at_s in (outcomes.start_s - 300, outcomes.start_s + 1):
        with pytest.raises(GridError, match="before the first outcome"):
            outcomes.slot_of(np.array([at_s]))
