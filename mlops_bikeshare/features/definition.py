"""THE features, in one place; offline and online run the same functions.

Input    a `Block`.
Output   float32 (features, rows) of the dts and stations asked for, NaN where unknown, in the order
         of FEATURES.
Raises   GridError when the block starts later than the longest window needs.

A new feature is one function of the block and one line in FEATURES. Its scope says how drift is
judged: `station` features vary between stations (PSI), `city` and `calendar` are scalars of a
decision time (range check). Change VERSION whenever a formula changes under an old name: it is in
the digest by which a model refuses features it was not trained on.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mlops_bikeshare.domain.label import USUAL, Label
from mlops_bikeshare.domain.tables import PROFILE_MEASURES
from mlops_bikeshare.domain.windows import SLOT_S
from mlops_bikeshare.features import balance, network
from mlops_bikeshare.features.balance import BIKES, DAY_MIN, DOCKS, LEAST_VARIANCE, SIDES, Side
from mlops_bikeshare.features.block import Block
from mlops_bikeshare.features.grid import FEED_DOWN_S, LONGEST_SLOTS, SILENT_S
from mlops_bikeshare.features.neighbours import NEAREST
from mlops_bikeshare.features.profiles import CELL_WEIGHT, STATION_WEIGHT
from mlops_bikeshare.features.track import Values

Scope = Literal["station", "city", "calendar"]
Compute = Callable[[Block], npt.NDArray[Any]]

VERSION = 3
LAGS_MIN = (5, 10, 15, 20, 30, 45, 60)
WINDOWS_MIN = (30, 60, 120)
_SLOT_MIN = SLOT_S // 60


@dataclass(frozen=True, slots=True)
class Feature:
    """A column of the model's input; `compute` answers anything that broadcasts to its block."""

    name: str
    scope: Scope
    unit: str
    doc: str
    compute: Compute


def compute(
    block: Block, at: npt.NDArray[np.bool_], features: Sequence[Feature] | None = None
) -> npt.NDArray[np.float32]:
    """Features where `at` (dts, stations) is true, float32 (features, rows by dt and station)."""
    features = FEATURES if features is None else features
    places = np.flatnonzero(at)
    values = np.empty((len(features), len(places)), dtype=np.float32)
    whole = np.empty(block.shape, dtype=np.float32)  # one for all: it stays in the cache
    for out, feature in zip(values, features, strict=True):
        whole[...] = feature.compute(block)
        np.take(whole, places, out=out, mode="clip")  # "raise" would fill a copy of `out`
    return values


def feature_digest(label: Label = USUAL) -> str:
    """sha256 over names, version and the numbers behind the values; words do not count."""
    grid = [SLOT_S, FEED_DOWN_S, SILENT_S, LONGEST_SLOTS, label.threshold]
    usual = [CELL_WEIGHT, STATION_WEIGHT, LEAST_VARIANCE, network.SLOWEST, network.FASTEST]
    parts = [VERSION, FEATURE_NAMES, grid, usual, NEAREST]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _rolling(side: Side, method: str, minutes: int) -> Compute:
    return lambda block: getattr(side.track(block), method)(minutes // _SLOT_MIN)


def _now(side: Side) -> Compute:
    return lambda block: side.track(block).now


def _profile(measure: str) -> Compute:
    return lambda block: block.profile(measure)


def _out(side: Side) -> Compute:
    """1 where a count is at or below the threshold, NaN where it is not known."""

    def out(block: Block) -> Values:
        now = side.track(block).now
        return np.where(np.isnan(now), np.nan, block.city.label.out(now))

    return out


def _minute(block: Block) -> Values:
    return block.calendar.minute[:, None].astype(np.float64)


def _circle(wave: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]) -> Compute:
    """A wave over the local day, from one table: vector and scalar paths may round differently."""

    def at(block: Block) -> npt.NDArray[Any]:
        return wave(np.arange(DAY_MIN) * (2 * np.pi / DAY_MIN))[block.calendar.minute, None]

    return at


def _station(name: str, unit: str, doc: str, compute_: Compute) -> Feature:
    return Feature(name, "station", unit, doc, compute_)


def _city(name: str, unit: str, doc: str, compute_: Compute) -> Feature:
    return Feature(name, "city", unit, doc, compute_)


def _calendar(name: str, unit: str, doc: str, compute_: Compute) -> Feature:
    return Feature(name, "calendar", unit, doc, compute_)


def _past(side: Side) -> Iterator[Feature]:
    """Lags, changes and flows of one count."""
    name = side.name
    for m in LAGS_MIN:
        doc = f"{name} {m} min before dt"
        yield _station(f"{name}_lag_{m}", "1", doc, _rolling(side, "lag", m))
        doc = f"change of {name} over the last {m} min"
        yield _station(f"{name}_delta_{m}", "1", doc, _rolling(side, "delta", m))
    for m in WINDOWS_MIN:
        for method, word in (("gained", "in"), ("lost", "out")):
            doc = f"{name} {word} over the last {m} min, seen every {_SLOT_MIN} min"
            yield _station(f"{name}_{word}_{m}", "1", doc, _rolling(side, method, m))


def _spread(side: Side, **words: str) -> Iterator[Feature]:
    """Rolling statistics of one count: method of `Track` = word in the name."""
    for m in WINDOWS_MIN:
        for method, word in words.items():
            doc = f"{word} of {side.name} over the last {m} min"
            yield _station(f"{side.name}_{word}_{m}", "1", doc, _rolling(side, method, m))


def _usual(measure: str) -> Feature:
    doc, unit = PROFILE_MEASURES[measure]
    return _station(
        f"usual_{measure}", unit, f"usual at this time of day: {doc}", _profile(measure)
    )


def _expected(side: Side) -> Iterator[Feature]:
    """What is left of a count by what is usual."""
    for m in (30, 60, 120):
        doc = f"{side.name} plus the usual change of {m} min"
        yield _station(
            f"{side.name}_expected_{m}", "1", doc, partial(balance.expected, side=side, minutes=m)
        )
    for m in (30, 120):
        doc = f"{side.name} expected above the threshold in {m} min, in their usual spreads"
        yield _station(
            f"{side.name}_margin_{m}", "1", doc, partial(balance.margin, side=side, minutes=m)
        )
        doc = f"the same at today's pace of the network, {m} min"
        at_pace = partial(balance.margin_at_pace, side=side, minutes=m)
        yield _station(f"{side.name}_pace_margin_{m}", "1", doc, at_pace)


def _near(name: str, unit: str, doc: str, of: Compute) -> Feature:
    """Mean over the nearest stations."""
    words = f"{doc}, mean of the {NEAREST} nearest stations"
    return _station(f"near_{name}", unit, words, lambda block: block.neighbours.mean(of(block)))


FEATURES: tuple[Feature, ...] = (
    _station("bikes", "1", "bikes that can be rented at dt", lambda block: block.bikes.now),
    _station("docks", "1", "docks that accept a bike at dt", lambda block: block.docks.now),
    _station("utilisation", "1", "bikes / (bikes + docks) at dt", balance.utilisation),
    _station("capacity", "1", "docks in total", lambda block: block.capacity),
    _station("age_min", "min", "since the station's last report", lambda block: block.age_s / 60),
    *_past(BIKES),
    *_spread(BIKES, mean="mean", std="std", low="min", high="max"),
    # Docks mirror bikes up to the broken ones: only their extremes add to what bikes tell.
    *_spread(DOCKS, low="min", high="max"),
    *(
        _station(
            f"minutes_to_{word}",
            "min",
            "at the last hour's net pace",
            partial(balance.minutes_to_none, side=side),
        )
        for side, word in ((BIKES, "empty"), (DOCKS, "full"))
    ),
    *(_usual(measure) for measure in PROFILE_MEASURES),
    _station("fill_above_usual", "1", "utilisation less the usual one", balance.fill_above_usual),
    *(feature for side in SIDES for feature in _expected(side)),
    *(_near(side.name, "1", f"{side.name} at dt", _now(side)) for side in SIDES),
    _near("fill", "1", "utilisation", balance.utilisation),
    *(_near(side.out, "1", f"out of {side.name}", _out(side)) for side in SIDES),
    _near("bikes_in_30", "1", "bikes in, last 30 min", _rolling(BIKES, "gained", 30)),
    _near("bikes_out_30", "1", "bikes out, last 30 min", _rolling(BIKES, "lost", 30)),
    _near("bikes_net_60", "1", "bikes in less out, last 60 min", _rolling(BIKES, "net", 60)),
    _station("near_km", "km", "distance of the nearest", lambda block: block.neighbours.mean_km),
    _calendar("local_minute", "min", "minutes since local midnight", _minute),
    _calendar("local_sin", "1", "sine of the local time of day", _circle(np.sin)),
    _calendar("local_cos", "1", "cosine of the local time of day", _circle(np.cos)),
    _calendar(
        "weekday", "1", "local weekday, Monday is 0", lambda block: block.calendar.weekday[:, None]
    ),
    _calendar(
        "weekend",
        "1",
        "1 on a local Saturday or Sunday",
        lambda block: block.calendar.weekend[:, None],
    ),
    _city("network_fill", "1", "bikes / (bikes + docks) of the city", network.fill),
    *(
        _city(
            f"network_{side.out}",
            "1",
            f"share of stations out of {side.name}",
            partial(network.out, track=side.track),
        )
        for side in SIDES
    ),
    _city(
        "network_fill_above_usual",
        "1",
        "mean fill of the stations less the usual one; below 0, bikes are under way",
        network.fill_above_usual,
    ),
    _city(
        "network_in_60",
        "1",
        "bikes in per station, last 60 min",
        partial(network.flow, method="gained", slots=12),
    ),
    _city(
        "network_net_30",
        "1",
        "bikes in less out per station, last 30 min",
        partial(network.flow, method="net", slots=6),
    ),
    _city(
        "network_in_pace",
        "1",
        "bikes in, last 60 min, over the usual",
        partial(network.pace, measure="gained_60"),
    ),
    _city(
        "network_out_pace",
        "1",
        "bikes out, last 60 min, over the usual",
        partial(network.pace, measure="lost_60"),
    ),
)
FEATURE_NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)
# The feature that holds the count which a target watches now.
COUNT_FEATURES = {"num_bikes_available": "bikes", "num_docks_available": "docks"}
STATION_FEATURES: tuple[str, ...] = tuple(f.name for f in FEATURES if f.scope == "station")
CITY_FEATURES: tuple[str, ...] = tuple(f.name for f in FEATURES if f.scope != "station")
# Drift looks at their range alone. What all stations share at once has a large PSI on any quiet
# day; what is usual matures with its history, however quiet the days (decision 0001).
BY_RANGE: tuple[str, ...] = (*CITY_FEATURES, *(f"usual_{name}" for name in PROFILE_MEASURES))
