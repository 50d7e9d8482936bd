from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.targets import HORIZONS_MIN
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.training.candidate import Candidate, needed, train_candidate
from mlops_bikeshare.training.fit import FitParams
from mlops_bikeshare.training.split import Split
from mlops_bikeshare.training.table import Plan, TrainingTable

DAYS, STATIONS, CAPACITY = 7, 12, 20
SPLIT = Split(
    Window.parse("1970-01-01..1970-01-05", key="train"),
    Window.parse("1970-01-05..1970-01-06", key="calibrate"),
    Window.parse("1970-01-06..1970-01-08", key="test"),
)
PLAN = Plan(params=FitParams(rounds=60, leaves=15, threads=1))


def table() -> TrainingTable:
    """Stations drain at a rate that the model sees and persistence does not."""
    rng = np.random.default_rng(6)
    times = np.arange(0, DAYS * 86_400, 600, dtype=np.int64)
    dt, station = np.repeat(times, STATIONS), np.tile(np.arange(STATIONS), len(times))
    bikes = rng.integers(0, CAPACITY + 1, len(dt))
    flow = rng.normal(0, 6, len(dt))

    def labels(
        target: str, rows: NDArray[np.intp], horizon_min: NDArray[np.int16]
    ) -> NDArray[np.float32]:
        later = bikes[rows] + flow[rows] * horizon_min / 60
        out = later <= 2 if target == "bikeout" else later >= CAPACITY - 2
        return np.where(dt[rows] == 7200, np.nan, out).astype(np.float32)

    return TrainingTable(
        names=["bikes", "flow", "hour"],
        features=np.column_stack([bikes, flow, dt % 86_400 / 3600]).astype(np.float32),
        station_ids=[f"{i:02}" for i in range(STATIONS)],
        station=station,
        dt=dt,
        counts={"bikeout": bikes, "dockout": CAPACITY - bikes},
        labels=labels,
    )


@pytest.fixture(scope="module")
def candidate() -> Candidate:
    return train_candidate(table(), SPLIT, plan=PLAN, by_range=["hour"])


def texts(of: Candidate) -> dict[str, list[str]]:
    return {t: [part.text for part in trees.parts.values()] for t, trees in of.boosters.items()}


def test_every_target_is_scored_at_every_horizon(candidate: Candidate) -> None:
    found = [(q.target, q.horizon_min) for q in candidate.quality]
    assert found == [(t, h) for t in ("bikeout", "dockout") for h in HORIZONS_MIN]


def test_the_model_beats_persistence_by_what_it_alone_sees(candidate: Candidate) -> None:
    for quality in candidate.quality:
        if quality.horizon_min >= 30:
            assert quality.onset_brier_skill is not None
            assert quality.onset_brier_skill > 0.3


def test_the_promise_is_tested_on_every_row_of_the_test_window(candidate: Candidate) -> None:
    promised = [q for q in candidate.quality if q.horizon_min == 30]
    assert [q.model.rows for q in promised] == [2 * 144 * STATIONS] * 2


def test_what_happens_in_the_test_window_changes_no_model(candidate: Candidate) -> None:
    given = table()
    later = given.dt >= 5 * 86_400
    features = np.where(later[:, None], 7, given.features).astype(np.float32)
    counts = {t: np.where(later, 1, c) for t, c in given.counts.items()}
    other = train_candidate(
        replace(given, features=features, counts=counts), SPLIT, plan=PLAN, by_range=["hour"]
    )
    assert texts(other) == texts(candidate)
    assert other.calibrations == candidate.calibrations
    assert other.persistence == candidate.persistence
    assert other.reference == candidate.reference


def test_a_table_of_the_needed_rows_alone_gives_the_same_candidate() -> None:
    given = table()
    plan = replace(PLAN, max_rows=2000, max_stop_rows=500, max_calibrate_rows=900)
    plan = replace(plan, max_reference_rows=300)
    mask = needed(given.station_ids, given.station, given.dt, split=SPLIT, plan=plan)
    used = 2000 + 500 + 900 + 2 * 144 * STATIONS
    assert used <= mask.sum() <= used + 300
    place = np.flatnonzero(mask)
    part = replace(
        given,
        features=given.features[mask],
        station=given.station[mask],
        dt=given.dt[mask],
        counts={t: c[mask] for t, c in given.counts.items()},
        labels=lambda t, rows, h: given.labels(t, place[rows], h),
    )
    whole, less = (train_candidate(t, SPLIT, plan=plan) for t in (given, part))
    assert replace(less, boosters={}) == replace(whole, boosters={})
    assert texts(less) == texts(whole)


def test_without_a_test_window_there_are_no_scores(candidate: Candidate) -> None:
    made = train_candidate(table(), replace(SPLIT, test=None), plan=PLAN)
    assert made.quality == ()
    assert texts(made) == texts(candidate)


def test_days_that_are_held_out_are_in_no_reference() -> None:
    held = Window.parse("1970-01-02..1970-01-04", key="held out")
    rows = table()
    inside = (rows.dt >= 86_400) & (rows.dt < 3 * 86_400)
    odd = replace(rows, features=np.where(inside[:, None], 99.0, rows.features).astype(np.float32))

    of = replace(SPLIT, held_out=held)
    one, other = (train_candidate(t, of, plan=PLAN, by_range=["hour"]) for t in (rows, odd))

    assert one.reference == other.reference


def test_rows_are_counted_by_slice(candidate: Candidate) -> None:
    labelled = 3 * 144 * STATIONS - 13 * STATIONS - STATIONS
    assert candidate.rows["fit"] == labelled
    assert candidate.rows["early_stop"] == candidate.rows["calibrate"] == (144 - 13) * STATIONS


def test_a_city_that_never_runs_out_is_refused() -> None:
    given = table()
    never = replace(given, labels=lambda _t, rows, _h: np.zeros(len(rows), dtype=np.float32))
    with pytest.raises(InputError, match=r"bikeout: of .* 0 of those are out"):
        train_candidate(never, SPLIT, plan=PLAN)
