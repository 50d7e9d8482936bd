"""Which bikes to move where: a minimum-cost flow from stations that can give to those that need.

Input    `Stations` and a `Fleet`.
Output   `plan`: a `Plan`, the same for the same input. Empty when nothing is at risk that a move
         would mend.
Raises   GridError when the solver finds no flow.
Method   each station has one role. Its cost is the convex minorant of its stockout minutes
         (`curve.hull`), cut into pieces of one slope; a move costs stockout minutes a bike and a
         kilometre, or it is not worth a van. Pieces, pairs and the fleet's load are the edges of a
         network, so the linear programme has whole vertices (Ahuja, Magnanti & Orlin 1993, ch. 11;
         dual simplex ends at a vertex). Then the vans are loaded, and a move that the curve itself
         does not find worth its cost is dropped, until all are.
Growth   stations × NEAREST pairs at most, of which those that can gain are kept.

A station never gives bikes that it needs: it keeps more than are counted as a stockout, and its
own expected minutes rise by at most `SPARE_MIN`; for docks, a taker likewise.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import GridError
from mlops_bikeshare.rebalancing import curve
from mlops_bikeshare.rebalancing.curve import Floats, Stations, Whole
from mlops_bikeshare.rebalancing.fleet import Fleet, Move, Pair, Plan, distance_km, loaded

NEAREST = 12
# What a move must save: to lift a bike twice, and to drive a kilometre.
MINUTES_PER_BIKE = 2.0
MINUTES_PER_KM = 1.0
# Of two hours; below it a station counts as having nothing to gain, and nothing to lose.
SPARE_MIN = 2.0
Places = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Worth:
    """What moves do to each station: expected minutes and rides lost by bikes moved.

    Column `middle` is no move; `most_given` and `most_taken` are bikes that a station can spare
    and has room for.
    """

    minutes: Floats
    rides: Floats
    middle: int
    most_given: Whole
    most_taken: Whole

    @classmethod
    def of(cls, stations: Stations, *, most: int, arrive_min: int = curve.ARRIVE_MIN) -> "Worth":
        """Up to `most` bikes brought or taken; a station with unknowns takes no part."""
        moved = np.arange(-most, most + 1)
        minutes = curve.minutes(stations, moved, arrive_min=arrive_min)
        rides = curve.lost_rides(stations, moved, arrive_min=arrive_min)
        bearable = minutes <= minutes[:, [most]] + SPARE_MIN
        keep = stations.out_at_or_below + 1
        known = np.isfinite(minutes).all(axis=1) & np.isfinite(stations.lat + stations.lon)
        given = _run(bearable[:, :most][:, ::-1])
        taken = _run(bearable[:, most + 1 :])
        return cls(
            minutes,
            rides,
            most,
            np.where(known, np.minimum(given, np.maximum(stations.bikes - keep, 0)), 0),
            np.where(known, np.minimum(taken, np.maximum(stations.docks - keep, 0)), 0),
        )

    def giving(self, place: int) -> Floats:
        """Minutes of a station after it gave 0, 1, … bikes."""
        last = self.middle - int(self.most_given[place])
        return self.minutes[place, last : self.middle + 1][::-1]

    def taking(self, place: int) -> Floats:
        """Minutes of a station after it got 0, 1, … bikes."""
        last = self.middle + int(self.most_taken[place])
        return self.minutes[place, self.middle : last + 1]

    def saved(self, place: int, bikes: int) -> tuple[float, float]:
        """Minutes and rides that `bikes` brought (< 0: taken) save a station."""
        at = self.middle + bikes
        return (
            float(self.minutes[place, self.middle] - self.minutes[place, at]),
            float(self.rides[place, self.middle] - self.rides[place, at]),
        )


def plan(stations: Stations, fleet: Fleet, *, arrive_min: int = curve.ARRIVE_MIN) -> Plan:
    """The round of moves that saves most."""
    worth = Worth.of(stations, most=fleet.capacity, arrive_min=arrive_min)
    pairs = _pruned(worth, _flow(stations, worth, fleet))
    given = loaded(pairs, [minutes for minutes, _ in _shares(worth, pairs)], fleet)
    kept = _pruned(worth, [pair for _, pair in given])
    return told(stations, worth, [(van, pair) for van, pair in given if pair in kept])


def told(stations: Stations, worth: Worth, given: Sequence[tuple[int, Pair]]) -> Plan:
    """Pairs in their vans as a plan with ids, and what each is expected to save."""
    shares = _shares(worth, [pair for _, pair in given])
    moves = [
        Move(
            van=van,
            giver=stations.ids[pair.giver],
            taker=stations.ids[pair.taker],
            bikes=pair.bikes,
            km=pair.km,
            minutes_saved=minutes,
            rides_saved=rides,
        )
        for (van, pair), (minutes, rides) in zip(given, shares, strict=True)
    ]
    moves.sort(key=lambda move: (-move.minutes_saved, move.giver, move.taker))
    return Plan(
        moves=tuple(moves),
        at_risk_min=float(np.nansum(worth.minutes[:, worth.middle])),
        rides_lost=float(np.nansum(worth.rides[:, worth.middle])),
        stations=len(stations),
    )


def _run(bearable: NDArray[np.bool_]) -> Whole:
    """How many columns are bearable before the first that is not."""
    run: Whole = np.cumprod(bearable, axis=1, dtype=np.int64).sum(axis=1)
    return run


def _roles(stations: Stations, worth: Worth) -> tuple[Places, Places, NDArray[np.bool_]]:
    """Places that may give, that may take, and which of all have something to gain."""
    n = len(stations)
    gain = np.zeros((2, n))
    for i in range(n):
        gain[:, i] = [side(i)[0] - side(i).min() for side in (worth.giving, worth.taking)]
    wants = gain.max(axis=0) > SPARE_MIN
    # A station with nothing to gain helps on the side that it has more to spare of.
    gives = np.where(wants, gain[0] > gain[1], stations.bikes >= stations.docks)
    can_give, can_take = gives & (worth.most_given > 0), ~gives & (worth.most_taken > 0)
    return np.flatnonzero(can_give), np.flatnonzero(can_take), wants


def _pairs(stations: Stations, worth: Worth) -> tuple[Places, Places, Floats]:
    """Giver, taker and kilometres of every pair of which one has something to gain."""
    givers, takers, wants = _roles(stations, worth)
    if not (len(givers) and len(takers)):
        none = np.empty(0, dtype=np.intp)
        return none, none, np.empty(0)
    need, surplus = takers[wants[takers]], givers[wants[givers]]
    to_need = _nearest(stations, need, givers)
    to_any = _nearest(stations, surplus, takers)
    both = np.concatenate([to_need[:, ::-1], to_any]).reshape(-1, 2)
    giver, taker = np.unique(both, axis=0).T
    return giver, taker, distance_km(stations.lat, stations.lon, giver, taker)


def _nearest(stations: Stations, of: Places, among: Places) -> Places:
    """Pairs (one of `of`, one of its nearest in `among`), intp (pairs, 2)."""
    from scipy.spatial import KDTree

    if not len(of):
        return np.empty((0, 2), dtype=np.intp)
    # Degrees of longitude shrink towards the poles; within a city one factor will do.
    shrink = np.cos(np.radians(stations.lat[among].mean()))
    at = np.column_stack([stations.lat, stations.lon * shrink])
    count = min(NEAREST, len(among))
    _, near = KDTree(at[among]).query(at[of], k=range(1, count + 1))
    return np.column_stack([np.repeat(of, count), among[near].ravel()])


def _flow(stations: Stations, worth: Worth, fleet: Fleet) -> list[Pair]:
    """The cheapest flow over the network of pairs."""
    giver, taker, km = _pairs(stations, worth)
    if not len(giver):
        return []
    givers, takers = np.unique(giver), np.unique(taker)
    pieces = [
        *_pieces(givers, worth.giving, sign=-1),
        *_pieces(takers, worth.taking, sign=1),
    ]
    cost = np.concatenate([MINUTES_PER_BIKE + MINUTES_PER_KM * km, [p.slope for p in pieces]])
    most = np.concatenate([np.full(len(km), fleet.capacity), [p.bikes for p in pieces]])
    flow = _solved(cost, most, (giver, taker), pieces, budget=fleet.bikes)
    whole = np.rint(flow[: len(km)]).astype(np.int64)
    return [
        Pair(giver=int(giver[a]), taker=int(taker[a]), bikes=int(whole[a]), km=float(km[a]))
        for a in np.flatnonzero(whole)
    ]


@dataclass(frozen=True, slots=True)
class _Piece:
    """Bikes of a station that change its minutes at one slope."""

    place: int
    sign: int
    slope: float
    bikes: int


def _pieces(places: Places, side: Callable[[int], Floats], *, sign: int) -> list[_Piece]:
    found = []
    for place in places.tolist():
        slopes, counts = np.unique(curve.hull(side(place)), return_counts=True)
        found += [
            _Piece(place, sign, float(slope), int(bikes))
            for slope, bikes in zip(slopes, counts, strict=True)
        ]
    return found


def _solved(
    cost: Floats,
    most: Floats,
    pairs: tuple[Places, Places],
    pieces: Sequence[_Piece],
    *,
    budget: int,
) -> Floats:
    """Flow on every pair and piece; a station's pieces carry what its pairs do."""
    from scipy.optimize import linprog
    from scipy.sparse import coo_matrix

    giver, taker = pairs
    arcs, total = len(giver), len(cost)
    # A station has one role, so its place alone names its row.
    rows = np.concatenate([giver, taker, [p.place for p in pieces]])
    columns = np.concatenate([np.arange(arcs), np.arange(arcs), np.arange(arcs, total)])
    signs = np.concatenate([np.ones(2 * arcs), -np.ones(len(pieces))])
    used, row = np.unique(rows, return_inverse=True)
    balance = coo_matrix((signs, (row, columns)), shape=(len(used), total))
    load = coo_matrix((np.ones(arcs), (np.zeros(arcs, int), np.arange(arcs))), shape=(1, total))
    found = linprog(
        cost,
        A_ub=load.tocsr(),
        b_ub=[budget],
        A_eq=balance.tocsr(),
        b_eq=np.zeros(len(used)),
        bounds=np.column_stack([np.zeros(total), most]),
        method="highs-ds",
    )
    if found.x is None:
        raise GridError(f"no plan of moves was found: {found.message}")
    flow: Floats = found.x
    return flow


def _shares(worth: Worth, pairs: Sequence[Pair]) -> list[tuple[float, float]]:
    """Minutes and rides that each pair saves: its share, by bikes, in what both stations save."""
    net: dict[int, int] = {}
    for pair in pairs:
        net[pair.giver] = net.get(pair.giver, 0) - pair.bikes
        net[pair.taker] = net.get(pair.taker, 0) + pair.bikes
    saved = {place: worth.saved(place, bikes) for place, bikes in net.items()}
    shares = []
    for pair in pairs:
        parts = [
            np.multiply(saved[place], pair.bikes / abs(net[place])) if net[place] else np.zeros(2)
            for place in (pair.giver, pair.taker)
        ]
        minutes, rides = parts[0] + parts[1]
        shares.append((float(minutes), float(rides)))
    return shares


def _pruned(worth: Worth, pairs: Sequence[Pair]) -> list[Pair]:
    """Without the pairs that do not save more than they cost; the worst goes first."""
    kept = list(pairs)
    while kept:
        net = [
            minutes - pair.bikes * (MINUTES_PER_BIKE + MINUTES_PER_KM * pair.km)
            for pair, (minutes, _) in zip(kept, _shares(worth, kept), strict=True)
        ]
        worst = int(np.argmin(net))
        if net[worst] > 0:
            break
        del kept[worst]
    return kept
