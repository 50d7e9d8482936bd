from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.targets import HORIZONS_MIN
from mlops_bikeshare.domain.windows import DAY_S, Window, from_seconds
from mlops_bikeshare.training.fit import FitParams
from mlops_bikeshare.training.pooled import Lesson, Pooled, train_pooled
from mlops_bikeshare.training.split import Split
from mlops_bikeshare.training.table import Plan, TrainingTable

CAPACITY = 20
PLAN = Plan(params=FitParams(rounds=40, leaves=15, threads=1), max_rows=8000)


def lesson(city: str, *, stations: int, start_day: int, seed: int) -> Lesson:
    """Five days of stations that drain at a rate the model sees and persistence does not."""
    rng = np.random.default_rng(seed)
    times = DAY_S * start_day + np.arange(0, 5 * DAY_S, 600, dtype=np.int64)
    dt, station = np.repeat(times, stations), np.tile(np.arange(stations), len(times))
    bikes = rng.integers(0, CAPACITY + 1, len(dt))
    flow = rng.normal(0, 6, len(dt))

    def labels(
        target: str, rows: NDArray[np.intp], horizon_min: NDArray[np.int16]
    ) -> NDArray[np.float32]:
        later = bikes[rows] + flow[rows] * horizon_min / 60
        out = later <= 2 if target == "bikeout" else later >= CAPACITY - 2
        return out.astype(np.float32)

    table = TrainingTable(
        names=["bikes", "flow"],
        features=np.column_stack([bikes, flow]).astype(np.float32),
        station_ids=[f"{i:03}" for i in range(stations)],
        station=station,
        dt=dt,
        counts={"bikeout": bikes, "dockout": CAPACITY - bikes},
        labels=labels,
    )
    start, middle, end = (from_seconds(DAY_S * (start_day + d)) for d in (0, 3, 5))
    return Lesson(city=city, table=table, split=Split(Window(start, middle), Window(middle, end)))


SMALL = lesson("small", stations=20, start_day=1000, seed=1)
LARGE = lesson("large", stations=200, start_day=3000, seed=2)


@pytest.fixture(scope="module")
def pooled() -> Pooled:
    return train_pooled([SMALL, LARGE], plan=PLAN)


def test_a_large_city_years_later_teaches_no_more_than_a_small_one(pooled: Pooled) -> None:
    assert dict(pooled.rows) == {"small": PLAN.max_rows // 2, "large": PLAN.max_rows // 2}


def test_a_third_city_is_answered_better_than_by_pooled_persistence(pooled: Pooled) -> None:
    new = lesson("new", stations=10, start_day=5000, seed=3).table
    ahead = np.full(len(new.dt), 30, dtype=np.int16)
    for target, counts in new.counts.items():
        y = new.labels(target, np.arange(len(new.dt)), ahead)
        said = pooled.predict(target, new.features, ahead, threads=1)
        now = pooled.persistence[target].predict(counts, horizon_min=30)
        assert np.mean((said - y) ** 2) < 0.5 * np.mean((now - y) ** 2)


def test_what_holds_in_one_city_alone_grows_no_trees() -> None:
    def local(part: Lesson, sign: int) -> Lesson:
        """Nothing but a hint of what comes, which means the contrary in another city."""
        rows = np.arange(len(part.table.dt))
        y = part.table.labels("bikeout", rows, np.full(len(rows), 30, dtype=np.int16))
        hint = sign * (2 * y - 1) + np.random.default_rng(4).normal(0, 1, len(rows))
        told = hint[:, None].astype(np.float32)
        return replace(part, table=replace(part.table, names=["hint"], features=told))

    opposed = train_pooled([local(SMALL, 1), local(LARGE, -1)], plan=PLAN)
    assert opposed.boosters["bikeout"].best_iteration == 1


def test_one_city_alone_can_teach() -> None:
    assert dict(train_pooled([SMALL], plan=PLAN).rows) == {"small": 5500}


def test_no_row_to_answer_is_no_error(pooled: Pooled) -> None:
    nothing = np.empty((0, 2), dtype=np.float32)
    said = pooled.predict("bikeout", nothing, np.empty(0, dtype=np.int16), threads=1)
    assert said.shape == (0,)


def test_persistence_knows_every_horizon_and_both_thresholds_are_set(pooled: Pooled) -> None:
    assert set(pooled.boosters) == {"bikeout", "dockout"}
    for target in pooled.boosters:
        assert tuple(pooled.persistence[target].rates) == HORIZONS_MIN
        assert all(0 < (t or 0) < 1 for t in pooled.thresholds[target].values())


def test_cities_that_repeat_or_differ_or_are_too_short_are_refused() -> None:
    with pytest.raises(InputError, match="at least one"):
        train_pooled([], plan=PLAN)
    with pytest.raises(InputError, match="repeat: small, small"):
        train_pooled([SMALL, SMALL], plan=PLAN)
    other = replace(LARGE, table=replace(LARGE.table, names=["bikes", "rain"]))
    with pytest.raises(InputError, match="large has other features than small"):
        train_pooled([SMALL, other], plan=PLAN)
    with pytest.raises(InputError, match="large: no labelled row in its fit slice"):
        train_pooled([SMALL, replace(LARGE, split=SMALL.split)], plan=PLAN)
