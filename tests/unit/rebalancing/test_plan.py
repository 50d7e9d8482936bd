"""A plan of moves: what it may never do, whatever the city, and what it does in plain cases."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.rebalancing import curve, flow
from mlops_bikeshare.rebalancing.curve import Stations
from mlops_bikeshare.rebalancing.fleet import MOVES_PER_VAN, Fleet, Plan, distance_km
from mlops_bikeshare.rebalancing.rule import highest_risk_first
from tests.unit.rebalancing.made import OUT, city

cities = st.builds(
    city,
    st.integers(2, 40),
    seed=st.integers(0, 10_000),
    rides=st.floats(0.1, 20),
)
fleets = st.builds(Fleet, vans=st.integers(1, 4), capacity=st.integers(1, 25))
planners = pytest.mark.parametrize("planner", [flow.plan, highest_risk_first])
Planner = Callable[[Stations, Fleet], Plan]


def changes(stations: Stations, plan: Plan) -> np.ndarray:
    """Bikes that each station gets (> 0) or gives."""
    net = np.zeros(len(stations), dtype=np.int64)
    for move in plan.moves:
        net[stations.ids.index(move.giver)] -= move.bikes
        net[stations.ids.index(move.taker)] += move.bikes
    return net


@planners
@settings(max_examples=25, deadline=None)
@given(stations=cities, fleet=fleets)
def test_bikes_are_there_fit_in_and_are_conserved(
    planner: Planner, stations: Stations, fleet: Fleet
) -> None:
    plan = planner(stations, fleet)
    net = changes(stations, plan)
    assert net.sum() == 0
    assert (stations.bikes + net >= 0).all()
    assert (stations.docks - net >= 0).all()
    loads, moves = Counter[int](), Counter[int]()
    for move in plan.moves:
        assert move.bikes >= 1
        assert 1 <= move.van <= fleet.vans
        loads[move.van] += move.bikes
        moves[move.van] += 1
    assert max(loads.values(), default=0) <= fleet.capacity
    assert max(moves.values(), default=0) <= MOVES_PER_VAN
    givers, takers = {m.giver for m in plan.moves}, {m.taker for m in plan.moves}
    assert not givers & takers


@settings(max_examples=25, deadline=None)
@given(stations=cities, fleet=fleets)
def test_every_move_saves_more_than_it_costs_and_no_giver_is_left_short(
    stations: Stations, fleet: Fleet
) -> None:
    plan = flow.plan(stations, fleet)
    for move in plan.moves:
        assert move.minutes_saved > move.bikes * flow.MINUTES_PER_BIKE
    net = changes(stations, plan)
    given_ = net < 0
    assert (stations.bikes + net)[given_].min(initial=99) > OUT
    most = fleet.capacity
    minutes = curve.minutes(stations, np.arange(-most, most + 1))
    after = minutes[np.arange(len(stations)), most + net]
    assert (after <= minutes[:, most] + flow.SPARE_MIN).all()
    assert plan.minutes_saved == pytest.approx((minutes[:, most] - after).sum(), abs=1e-6)


@settings(max_examples=10, deadline=None)
@given(stations=cities, fleet=fleets)
def test_the_same_input_gives_the_same_plan(stations: Stations, fleet: Fleet) -> None:
    assert flow.plan(stations, fleet) == flow.plan(stations, fleet)


@planners
def test_nothing_at_risk_moves_nothing(planner: Planner) -> None:
    calm = city(30, fill=(0.45, 0.55), rides=0.2)
    plan = planner(calm, Fleet(vans=3, capacity=20))
    assert plan.moves == ()
    assert plan.minutes_saved == 0


def test_an_empty_station_is_filled_from_the_near_full_one_not_from_the_far_one() -> None:
    stations = city(3, fill=(0.5, 0.5), rides=2)
    stations = replace(
        stations,
        bikes=np.array([0, 20, 20]),
        docks=np.array([20, 0, 0]),
        lat=np.array([42.0, 42.005, 42.2]),
        lon=np.full(3, -71.0),
        p_bikeout=np.array([[0.95] * 12, [0.0] * 12, [0.0] * 12]),
        p_dockout=np.array([[0.0] * 12, [0.95] * 12, [0.95] * 12]),
    )
    plan = flow.plan(stations, Fleet(vans=1, capacity=8))
    assert [(move.giver, move.taker) for move in plan.moves] == [("0001", "0000")]
    assert plan.moves[0].km == pytest.approx(0.556, abs=0.001)


def test_stations_without_a_position_or_a_prediction_take_no_part() -> None:
    stations = city(20, seed=3)
    lat, p = stations.lat.copy(), stations.p_bikeout.copy()
    lat[:5], p[5:10] = np.nan, np.nan
    unknown = set(stations.ids[:10])
    for planner in (flow.plan, highest_risk_first):
        plan = planner(replace(stations, lat=lat, p_bikeout=p), Fleet(vans=2, capacity=10))
        assert plan.moves
        moved = {place for move in plan.moves for place in (move.giver, move.taker)}
        assert not moved & (unknown if planner is flow.plan else set(stations.ids[:5]))


def test_the_flow_saves_more_than_highest_risk_first_by_its_own_measure() -> None:
    stations, fleet = city(200, seed=1), Fleet(vans=3, capacity=15)
    best, rule = flow.plan(stations, fleet), highest_risk_first(stations, fleet)
    assert best.minutes_saved / best.bikes > rule.minutes_saved / rule.bikes


def test_the_flow_is_as_good_as_trying_everything_in_a_small_city() -> None:
    """Two givers, two takers, five bikes: every way to move them, by the same curve and cost."""
    stations, fleet = city(4, seed=8), Fleet(vans=5, capacity=5)
    worth = flow.Worth.of(stations, most=fleet.capacity)
    pairs = [(g, t) for g in range(4) for t in range(4) if g != t]
    km = distance_km(stations.lat, stations.lon, *np.array(pairs).T)

    def value(amounts: tuple[int, ...]) -> float:
        net = np.zeros(4, dtype=np.int64)
        cost = 0.0
        for (g, t), far, bikes in zip(pairs, km, amounts, strict=True):
            net[g] -= bikes
            net[t] += bikes
            cost += bikes * (flow.MINUTES_PER_BIKE + flow.MINUTES_PER_KM * far)
        if (-net > worth.most_given).any() or (net > worth.most_taken).any():
            return -np.inf
        return sum(worth.saved(place, int(bikes))[0] for place, bikes in enumerate(net)) - cost

    plan = flow.plan(stations, fleet)
    found = dict.fromkeys(pairs, 0)
    for move in plan.moves:
        found[stations.ids.index(move.giver), stations.ids.index(move.taker)] += move.bikes
    best = max(
        value(tuple(a if p == one else b if p == two else 0 for p in pairs))
        for one in pairs
        for two in pairs
        if one != two
        for a in range(fleet.capacity + 1)
        for b in range(fleet.capacity + 1)
    )
    assert best > 0
    assert value(tuple(found.values())) >= best - 1e-6


def test_a_fleet_that_can_carry_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="at least 1"):
        Fleet(vans=0, capacity=20)
