"""The two things that go wrong at a station, and the horizons at which we warn of them.

`HORIZONS_MIN` are minutes ahead of dt; `PROMISE_MIN` is the one the service is judged by.
Field names are those of GBFS v2.3, station_status.json.
"""

from dataclasses import dataclass

HORIZONS_MIN: tuple[int, ...] = tuple(range(10, 121, 10))
PROMISE_MIN = 30


@dataclass(frozen=True, slots=True)
class Target:
    """One stockout: which count runs out, and which flag says the station takes part."""

    name: str
    count: str
    in_service: str

    @property
    def probability(self) -> str:
        """Name of the calibrated probability, in frames and tables."""
        return f"p_{self.name}"


BIKEOUT = Target(name="bikeout", count="num_bikes_available", in_service="is_renting")
DOCKOUT = Target(name="dockout", count="num_docks_available", in_service="is_returning")
TARGETS: tuple[Target, ...] = (BIKEOUT, DOCKOUT)


def probability_column(target: Target, *, horizon_min: int) -> str:
    """Column of a scorer's wide answer, such as `p_bikeout_30`."""
    return f"{target.probability}_{horizon_min}"
