"""Neighbourhoods: the one that surely pays is found, and equal ones raise no alarm."""

import numpy as np
import pytest

from mlops_bikeshare.domain.reports import SliceComparison
from mlops_bikeshare.evaluation import neighbourhoods

CELLS, HOURS, PER_HOUR = 60, 24, 18
NAMES = [f"cell {i}" for i in range(CELLS)]


def judged(
    *, seed: int, worse_in: int | None = None, least_rows: int = 400, hours: int = HOURS
) -> SliceComparison:
    """A day of two models of equal skill; one may be coarse in one cell."""
    rng = np.random.default_rng(seed)
    rows = CELLS * hours * PER_HOUR
    cell = np.repeat(np.arange(CELLS), hours * PER_HOUR)
    at_s = np.tile(np.repeat(np.arange(hours) * 3600, PER_HOUR), CELLS)
    p = rng.beta(0.5, 2, rows)
    y = (rng.random(rows) < p).astype(float)
    y[rng.random(rows) < 0.05] = np.nan
    model, other = (np.clip(p + rng.normal(0, 0.05, rows), 0, 1) for _ in range(2))
    if worse_in is not None:
        model = np.where(cell == worse_in, 0.5, model)
    return neighbourhoods.worst(
        "bikeout", y, model, other, cell=cell, names=NAMES, at_s=at_s, least_rows=least_rows
    )


def test_of_equal_models_hardly_any_day_has_a_neighbourhood_that_is_worse() -> None:
    lows = [judged(seed=seed).low for seed in range(20)]
    assert sum(low is not None and low > 0 for low in lows) <= 2


def test_a_model_that_is_coarse_in_one_neighbourhood_is_found_there() -> None:
    found = judged(seed=1, worse_in=17)
    assert found.cell == "cell 17"
    assert found.low is not None
    assert found.difference is not None
    assert 0.02 < found.low < found.difference
    assert (found.cells, found.thin) == (CELLS, 0)


def test_cells_with_few_rows_are_counted_and_not_judged() -> None:
    found = judged(seed=1, least_rows=10_000)
    assert found == SliceComparison(target="bikeout", cells=0, thin=CELLS)
    short = judged(seed=1, hours=3, least_rows=10)
    assert (short.cells, short.low) == (0, None), "two stretches are no day"


def test_a_cell_is_a_square_kilometre_and_has_its_middle_as_name() -> None:
    lat = np.array([49.1, 49.1, 49.1 + 1.5 / 111.195, np.nan])
    lon = np.array([-84.6, -84.6 + 1.5 / 111.195 / np.cos(np.radians(49.1)), -84.6, -84.6])
    codes, names = neighbourhoods.cells(lat, lon, km=1)
    assert codes[3] == -1
    assert len(set(codes[:3].tolist())) == 3
    assert len(names) == 3
    middle = np.array([[float(x) for x in names[code].split(",")] for code in codes[:3]])
    assert np.abs(middle[:, 0] - lat[:3]).max() <= 0.5 / 111.195 + 1e-4
    assert neighbourhoods.cells(lat, lon, km=50)[0].tolist()[:3] in ([0, 0, 0], [0, 1, 0])


def test_a_city_without_positions_has_no_cells() -> None:
    codes, names = neighbourhoods.cells(np.array([np.nan]), np.array([np.nan]), km=1)
    assert (codes.tolist(), names) == ([-1], [])
    nothing = neighbourhoods.worst(
        "bikeout", np.ones(1), np.ones(1), np.ones(1),
        cell=codes, names=names, at_s=np.zeros(1), least_rows=1,
    )  # fmt: skip
    assert nothing.cells == 0


@pytest.mark.parametrize("seed", [0, 1])
def test_the_interval_holds_the_mean(seed: int) -> None:
    found = judged(seed=seed)
    assert found.low is not None
    assert found.high is not None
    assert found.difference is not None
    assert found.low < found.difference < found.high
