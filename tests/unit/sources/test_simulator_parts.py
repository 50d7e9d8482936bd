"""The parts of the simulator: engine, demand, events, operations, feed."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from mlops_bikeshare.domain.windows import DAY_S
from mlops_bikeshare.sources.simulator.city import City, lay_out
from mlops_bikeshare.sources.simulator.demand import Demand
from mlops_bikeshare.sources.simulator.engine import Engine
from mlops_bikeshare.sources.simulator.events import event_on
from mlops_bikeshare.sources.simulator.feed import Span, draw_gaps, station_status
from mlops_bikeshare.sources.simulator.ledger import Change, pack, unpack
from mlops_bikeshare.sources.simulator.operations import VAN_CAPACITY, Van, bikes_to_move

DAY = 20_000
MONDAY = 4  # 1970-01-05
BINS_S = 300 * np.arange(288)


@pytest.fixture(scope="module")
def city() -> City:
    return lay_out(50, np.random.default_rng(1))


def engines(city: City, days: int) -> Iterator[Engine]:
    demand, engine = Demand.of(city, seed=1), Engine.of(city, seed=1, start_s=DAY * DAY_S)
    for day in range(DAY, DAY + days):
        trips = demand.day(day, local_s=day * DAY_S + BINS_S, comfort=np.ones(288))
        engine.run_day(day, trips, utc_offset_s=0, seed=1)
        yield engine


def test_bikes_are_neither_made_nor_lost(city: City) -> None:
    fleets = {engine.fleet for engine in engines(city, 15)}
    assert len(fleets) == 1


def test_riders_who_find_nothing_leave_but_most_ride(city: City) -> None:
    *_, engine = engines(city, 5)
    _, _, change = unpack(np.frombuffer(engine.ledger, dtype=np.int64))
    rides = np.count_nonzero(change == Change.RETURN)
    assert 0 < engine.lost < 0.4 * rides


def test_van_loads_stay_within_the_van(city: City) -> None:
    for engine in engines(city, 5):
        assert all(0 <= van.load <= VAN_CAPACITY for van in engine.vans)


def test_ledger_entries_unpack_to_what_was_packed() -> None:
    entry = np.array([pack(2999, 4_000_000_000, Change.COLLECT)])
    assert [int(part[0]) for part in unpack(entry)] == [2999, 4_000_000_000, Change.COLLECT]


def test_a_van_fills_an_empty_station_and_empties_a_full_one() -> None:
    van = Van(station=0, load=10)
    assert bikes_to_move(van, bikes=0, free_docks=20) > 0
    assert bikes_to_move(van, bikes=20, free_docks=0) < 0
    assert bikes_to_move(Van(station=0), bikes=0, free_docks=20) == 0


def hourly(city: City, day: int, comfort: float = 1.0) -> NDArray[np.intp]:
    demand = Demand.of(city, seed=1)
    trips = demand.day(day, local_s=day * DAY_S + BINS_S, comfort=np.full(288, comfort))
    return np.bincount(trips.depart_s % DAY_S // 3600, minlength=24)


def test_a_weekday_has_two_peaks_and_a_weekend_none_in_the_morning(city: City) -> None:
    weekday = np.mean([hourly(city, MONDAY + i) for i in range(5)], axis=0)
    weekend = np.mean([hourly(city, MONDAY + i) for i in (5, 6)], axis=0)
    assert weekday[8] > 1.5 * weekday[10]
    assert weekday[17] > 1.3 * weekday[14]
    assert weekday[8] > 2 * weekend[8]


def test_rain_keeps_riders_at_home(city: City) -> None:
    assert hourly(city, MONDAY, comfort=0.4).sum() < 0.7 * hourly(city, MONDAY).sum()


def test_trips_take_longer_over_longer_distances(city: City) -> None:
    trips = Demand.of(city, seed=1).day(DAY, local_s=DAY * DAY_S + BINS_S, comfort=np.ones(288))
    away = city.distances_km()[trips.origin, trips.destination]
    near, far = (away > 0) & (away < 1), away > 2.5
    assert trips.ride_s[far].mean() > 1.5 * trips.ride_s[near].mean()
    assert (trips.ride_s > 0).all()
    assert (np.diff(trips.depart_s) >= 0).all()


def test_an_events_crowd_leaves_after_it_came(city: City) -> None:
    found = (event_on(day, city=city, trips_a_day=1000, seed=1) for day in range(30))
    event = next(event for event in found if event is not None)
    clock = int(event.start_s) // DAY_S * DAY_S + 300 * np.arange(3 * 288)
    assert event.coming(clock).argmax() < event.leaving(clock).argmax()
    assert event.coming(clock).sum() == pytest.approx(event.leaving(clock).sum(), rel=0.01)


def test_gaps_are_apart_and_within_the_span() -> None:
    span = Span(DAY * DAY_S, (DAY + 60) * DAY_S)
    gaps = draw_gaps(span, np.random.default_rng(1))
    assert len(gaps) > 1
    assert (gaps[:, 1] - gaps[:, 0] >= 3600).all()
    assert (gaps[1:, 0] > gaps[:-1, 1]).all()
    assert gaps.min() >= span.start_s
    assert gaps.max() < span.end_s


def test_the_log_shows_the_state_after_the_last_change_of_five_minutes(city: City) -> None:
    at = DAY * DAY_S + 7200
    changes = [(at + 10, Change.TAKE), (at + 20, Change.TAKE), (at + 200, Change.BREAK)]
    ledger = np.array([pack(3, when, what) for when, what in changes], dtype=np.int64)
    log = station_status(
        city,
        ledger,
        bikes_at_first=np.full(city.size, 8),
        span=Span(DAY * DAY_S, (DAY + 1) * DAY_S),
        rng=np.random.default_rng(2),
    )
    rows = log[(log["station_id"] == "0004") & (log["num_bikes_available"] != 8)]
    assert rows["num_bikes_available"].tolist()[0] == 5
    assert rows["num_bikes_disabled"].tolist()[0] == 1
