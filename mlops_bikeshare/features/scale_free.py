"""Features without a unit of bikes, so that cities of small and large stations teach each other.

Input    float32 (rows, features) in the order of FEATURE_NAMES, of any city, offline or online.
Output   float32 (rows, ratios) in the order of RATIO_NAMES, NaN where unknown.
Raises   GridError for a matrix that is not of FEATURE_NAMES, or an edge that is not above 0.

Every count is divided by another count: the station's capacity (what it shows, where no capacity is
listed), what came and went, what its neighbours hold, or the edge below which a station is out. The
edge is a count too, and the only one that does not grow with a city: ratios to it are marked
`by_edge`. Multiplying counts and capacity by k changes no other ratio; multiplying the edge as well
changes none. Nothing needs an earlier day, so the first day of a city is like any other.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from mlops_bikeshare.domain.errors import GridError
from mlops_bikeshare.domain.label import USUAL
from mlops_bikeshare.features.balance import BIKES, SIDES, Side
from mlops_bikeshare.features.definition import FEATURE_NAMES, LAGS_MIN, WINDOWS_MIN
from mlops_bikeshare.features.track import Values, share

EDGE = USUAL.edge
_LONGEST_MIN = WINDOWS_MIN[-1]
_COLUMNS = {name: i for i, name in enumerate(FEATURE_NAMES)}


@dataclass(frozen=True, eq=False)
class Rows:
    """Feature rows by name."""

    values: npt.NDArray[np.floating[Any]]
    edge: float

    def __getitem__(self, name: str) -> Values:
        """A feature of every row, float64."""
        return self.values[:, _COLUMNS[name]].astype(np.float64)

    @cached_property
    def size(self) -> Values:
        """Docks in total: as listed, else as many as the station shows."""
        listed = self["capacity"]
        return np.where(listed > 0, listed, self["bikes"] + self["docks"])


@dataclass(frozen=True, slots=True)
class Ratio:
    """A column of the pooled model's input; `by_edge`: it knows how many bikes are too few."""

    name: str
    doc: str
    compute: Callable[[Rows], Values]
    by_edge: bool = False


def scale_free(
    values: npt.NDArray[np.floating[Any]], *, edge: float = EDGE
) -> npt.NDArray[np.float32]:
    """Every ratio of every row, float32 (rows, ratios)."""
    if values.ndim != 2 or values.shape[1] != len(FEATURE_NAMES):  # noqa: PLR2004 - a matrix
        msg = f"feature rows of shape {values.shape}; expected (rows, {len(FEATURE_NAMES)})"
        raise GridError(msg)
    if not edge > 0:
        raise GridError(f"edge {edge}: expected a count above 0, such as {EDGE}")
    rows = Rows(values, edge)
    out = np.empty((len(values), len(RATIOS)), dtype=np.float32)
    for i, ratio in enumerate(RATIOS):
        out[:, i] = ratio.compute(rows)
    return out


def _same(name: str, *, by_edge: bool = False) -> Ratio:
    """A feature that has no unit of bikes as it is."""
    return Ratio(name, f"{name}, as it is", lambda rows: rows[name], by_edge=by_edge)


def _of(name: str, part: str, whole: str, doc: str) -> Ratio:
    return Ratio(name, doc, lambda rows: share(rows[part], rows[whole]))


def _of_size(name: str) -> Ratio:
    return Ratio(f"{name}_share", f"{name} / capacity", lambda rows: share(rows[name], rows.size))


def _missing_share(rows: Rows) -> Values:
    return 1 - share(rows["bikes"] + rows["docks"], rows.size)


def _of_near(name: str) -> Ratio:
    """A mean of the nearest stations over what they hold on average."""

    def compute(rows: Rows) -> Values:
        return share(rows[name], rows["near_bikes"] + rows["near_docks"])

    return Ratio(f"{name}_share", f"{name} / their bikes and docks", compute)


def _past(side: Side) -> Iterator[Ratio]:
    """Changes, flows and extremes of one count, in capacities."""
    name = side.name
    yield from (_of_size(f"{name}_{word}_{m}") for m in WINDOWS_MIN for word in ("min", "max"))
    if side is BIKES:  # docks mirror bikes, so THE features have no more of them
        yield from (_of_size(f"{name}_delta_{m}") for m in LAGS_MIN)
        yield from (
            _of_size(f"{name}_{word}_{m}")
            for m in WINDOWS_MIN
            for word in ("mean", "std", "in", "out")
        )


def _above_edge(side: Side) -> Iterator[Ratio]:
    """How far a count is from running out, by several measures."""
    name = side.name
    falls = f"bikes_{'out' if side is BIKES else 'in'}_{_LONGEST_MIN}"
    low, high = (f"{name}_{word}_{_LONGEST_MIN}" for word in ("min", "max"))

    def by(whole: Callable[[Rows], Values]) -> Callable[[Rows], Values]:
        return lambda rows: share(rows[name] - rows.edge, whole(rows))

    yield Ratio(
        f"{name}_edges", f"{name} / edge", lambda rows: rows[name] / rows.edge, by_edge=True
    )
    doc = f"{name} above the edge / capacity"
    yield Ratio(f"{name}_above_share", doc, by(lambda rows: rows.size), by_edge=True)
    # The edge in the denominator keeps quiet stations finite without a constant number of bikes.
    doc = f"{name} above the edge / (edge and what took from them in {_LONGEST_MIN} min)"
    yield Ratio(f"{name}_above_flow", doc, by(lambda rows: rows[falls] + rows.edge), by_edge=True)
    doc = f"{name} above the edge / (edge and their range over {_LONGEST_MIN} min)"
    spread = by(lambda rows: rows[high] - rows[low] + rows.edge)
    yield Ratio(f"{name}_above_spread", doc, spread, by_edge=True)


RATIOS: tuple[Ratio, ...] = (
    _same("utilisation"),
    _same("age_min"),
    *(_of_size(side.name) for side in SIDES),
    Ratio("missing_share", "docks that neither hold nor accept a bike / capacity", _missing_share),
    *(ratio for side in SIDES for ratio in _past(side)),
    *(_same(name) for name in ("minutes_to_empty", "minutes_to_full")),
    Ratio("size_edges", "capacity / edge", lambda rows: rows.size / rows.edge, by_edge=True),
    *(ratio for side in SIDES for ratio in _above_edge(side)),
    *(
        _of(f"bikes_{way}_60_of_network", f"bikes_{way}_60", "network_in_60", "busier than most")
        for way in ("in", "out")
    ),
    _of("network_net_pace", "network_net_30", "network_in_60", "net flow / flow of the city"),
    _same("near_fill"),
    *(_of_near(f"near_bikes_{flow}") for flow in ("in_30", "out_30", "net_60")),
    *(_same(f"near_{side.out}", by_edge=True) for side in SIDES),
    _same("network_fill"),
    *(_same(f"network_{side.out}", by_edge=True) for side in SIDES),
    *(_same(name) for name in ("local_minute", "local_sin", "local_cos", "weekday", "weekend")),
)
RATIO_NAMES: tuple[str, ...] = tuple(ratio.name for ratio in RATIOS)
