"""THE features, in one place; offline and online run the same functions.

Input    a `Block`.
Output   float32 (dts, stations, features), NaN where unknown, in the order of FEATURES.
Raises   GridError when the block starts later than the longest window needs.

A new feature is one function of the block and one line in FEATURES. Its scope says how drift is
judged: `station` features vary between stations (PSI), `city` and `calendar` are scalars of a
decision time (range check). Change VERSION whenever a formula changes under an old name: it is in
the digest by which a model refuses features it was not trained on.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mlops_bikeshare.domain.tables import PROFILE_MEASURES
from mlops_bikeshare.domain.targets import OUT_AT_OR_BELOW
from mlops_bikeshare.domain.windows import SLOT_S
from mlops_bikeshare.features.block import Block
from mlops_bikeshare.features.grid import FEED_DOWN_S, LONGEST_SLOTS, SILENT_S
from mlops_bikeshare.features.profiles import CELL_WEIGHT, STATION_WEIGHT
from mlops_bikeshare.features.track import Track, Values

Scope = Literal["station", "city", "calendar"]
Compute = Callable[[Block], npt.NDArray[Any]]

VERSION = 1
LAGS_MIN = (5, 10, 15, 20, 30, 45, 60)
WINDOWS_MIN = (30, 60, 120)
DAY_MIN = 1440
_SLOT_MIN = SLOT_S // 60


@dataclass(frozen=True, slots=True)
class Feature:
    """A column of the model's input; `compute` answers anything that broadcasts to its block."""

    name: str
    scope: Scope
    unit: str
    doc: str
    compute: Compute


def compute(block: Block) -> npt.NDArray[np.float32]:
    """Every feature of every decision time and station, float32 (dts, stations, features)."""
    values = np.empty((len(FEATURES), *block.shape), dtype=np.float32)
    for out, feature in zip(values, FEATURES, strict=True):
        out[...] = feature.compute(block)
    return np.moveaxis(values, 0, -1)


def feature_digest() -> str:
    """sha256 over names, version and the constants behind the values; words do not count."""
    grid = [SLOT_S, FEED_DOWN_S, SILENT_S, LONGEST_SLOTS, OUT_AT_OR_BELOW]
    parts = [VERSION, FEATURE_NAMES, grid, CELL_WEIGHT, STATION_WEIGHT]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _bikes(block: Block) -> Track:
    return block.bikes


def _docks(block: Block) -> Track:
    return block.docks


def _rolling(track: Callable[[Block], Track], method: str, minutes: int) -> Compute:
    return lambda block: getattr(track(block), method)(minutes // _SLOT_MIN)


def _utilisation(block: Block) -> Values:
    return _share(block.bikes.now, block.bikes.now + block.docks.now)


def _minutes_to_none(track: Callable[[Block], Track]) -> Compute:
    """Minutes until a count is gone at the net pace of the last hour, a day at most."""

    def minutes(block: Block) -> Values:
        count = track(block).now
        pace = -track(block).net(60 // _SLOT_MIN) / 60
        left = np.where(pace > 0, count / np.where(pace > 0, pace, 1), DAY_MIN)
        return np.where(np.isnan(pace + count), np.nan, np.minimum(left, DAY_MIN))

    return minutes


def _profile(measure: str) -> Compute:
    return lambda block: block.profile(measure)


def _fill_above_usual(block: Block) -> Values:
    return _utilisation(block) - block.profile("fill") / 1000


def _expected(track: Callable[[Block], Track], minutes: int, *, sign: int) -> Compute:
    return lambda block: track(block).now + sign * block.profile(f"change_{minutes}")


def _minute(block: Block) -> Values:
    return block.calendar.minute[:, None].astype(np.float64)


def _circle(wave: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]) -> Compute:
    """A wave over the local day, from one table: vector and scalar paths may round differently."""

    def at(block: Block) -> npt.NDArray[Any]:
        return wave(np.arange(DAY_MIN) * (2 * np.pi / DAY_MIN))[block.calendar.minute, None]

    return at


def _network_fill(block: Block) -> Values:
    bikes, docks = block.bikes.now, block.docks.now
    known = ~np.isnan(bikes + docks)
    total = np.where(known, bikes + docks, 0).sum(axis=1, keepdims=True)
    return _share(np.where(known, bikes, 0).sum(axis=1, keepdims=True), total)


def _network_out(track: Callable[[Block], Track]) -> Compute:
    """Share of the stations with a known count that are out now."""

    def share(block: Block) -> Values:
        now = track(block).now
        out = (now <= OUT_AT_OR_BELOW).sum(axis=1, keepdims=True).astype(np.float64)
        return _share(out, (~np.isnan(now)).sum(axis=1, keepdims=True).astype(np.float64))

    return share


def _share(part: Values, whole: Values) -> Values:
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan)


def _station(name: str, unit: str, doc: str, compute_: Compute) -> Feature:
    return Feature(name, "station", unit, doc, compute_)


def _past(name: str, track: Callable[[Block], Track]) -> Iterator[Feature]:
    """Lags, changes and flows of one count."""
    for m in LAGS_MIN:
        doc = f"{name} {m} min before dt"
        yield _station(f"{name}_lag_{m}", "1", doc, _rolling(track, "lag", m))
        doc = f"change of {name} over the last {m} min"
        yield _station(f"{name}_delta_{m}", "1", doc, _rolling(track, "delta", m))
    for m in WINDOWS_MIN:
        for method, word in (("gained", "in"), ("lost", "out")):
            doc = f"{name} {word} over the last {m} min, seen every {_SLOT_MIN} min"
            yield _station(f"{name}_{word}_{m}", "1", doc, _rolling(track, method, m))


def _spread(name: str, track: Callable[[Block], Track], **words: str) -> Iterator[Feature]:
    """Rolling statistics of one count: method of `Track` = word in the name."""
    for m in WINDOWS_MIN:
        for method, word in words.items():
            doc = f"{word} of {name} over the last {m} min"
            yield _station(f"{name}_{word}_{m}", "1", doc, _rolling(track, method, m))


def _usual(measure: str) -> Feature:
    doc, unit = PROFILE_MEASURES[measure]
    return _station(
        f"usual_{measure}", unit, f"usual at this time of day: {doc}", _profile(measure)
    )


FEATURES: tuple[Feature, ...] = (
    _station("bikes", "1", "bikes that can be rented at dt", lambda block: block.bikes.now),
    _station("docks", "1", "docks that accept a bike at dt", lambda block: block.docks.now),
    _station("utilisation", "1", "bikes / (bikes + docks) at dt", _utilisation),
    _station("capacity", "1", "docks in total", lambda block: block.capacity),
    _station("age_min", "min", "since the station's last report", lambda block: block.age_s / 60),
    *_past("bikes", _bikes),
    *_spread("bikes", _bikes, mean="mean", std="std", low="min", high="max"),
    # Docks mirror bikes up to the broken ones: only their extremes add to what bikes tell.
    *_spread("docks", _docks, low="min", high="max"),
    _station("minutes_to_empty", "min", "at the last hour's net pace", _minutes_to_none(_bikes)),
    _station("minutes_to_full", "min", "at the last hour's net pace", _minutes_to_none(_docks)),
    *(_usual(measure) for measure in PROFILE_MEASURES),
    _station("fill_above_usual", "1", "utilisation less the usual one", _fill_above_usual),
    *(
        _station(
            f"{name}_expected_{m}",
            "1",
            f"{name} plus the usual change of {m} min",
            _expected(track, m, sign=sign),
        )
        for name, track, sign in (("bikes", _bikes, 1), ("docks", _docks, -1))
        for m in (30, 60, 120)
    ),
    Feature("local_minute", "calendar", "min", "minutes since local midnight", _minute),
    Feature("local_sin", "calendar", "1", "sine of the local time of day", _circle(np.sin)),
    Feature("local_cos", "calendar", "1", "cosine of the local time of day", _circle(np.cos)),
    Feature(
        "weekday",
        "calendar",
        "1",
        "local weekday, Monday is 0",
        lambda block: block.calendar.weekday[:, None],
    ),
    Feature(
        "weekend",
        "calendar",
        "1",
        "1 on a local Saturday or Sunday",
        lambda block: block.calendar.weekend[:, None],
    ),
    Feature("network_fill", "city", "1", "bikes / (bikes + docks) of the city", _network_fill),
    Feature("network_bikeout", "city", "1", "share of stations out of bikes", _network_out(_bikes)),
    Feature("network_dockout", "city", "1", "share of stations out of docks", _network_out(_docks)),
)
FEATURE_NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)
STATION_FEATURES: tuple[str, ...] = tuple(f.name for f in FEATURES if f.scope == "station")
CITY_FEATURES: tuple[str, ...] = tuple(f.name for f in FEATURES if f.scope != "station")
