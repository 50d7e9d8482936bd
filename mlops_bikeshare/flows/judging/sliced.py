"""What a test says beyond its averages: dispatch budgets, and the slices with the worst named.

Input    test rows of one target at one horizon, the station list in the order of `station`.
Output   plain JSON values, as documented in docs/backtest.md.
"""

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.reports import to_json
from mlops_bikeshare.evaluation.dispatch import BUDGETS, at_budget, minutes_out, minutes_to_onset
from mlops_bikeshare.evaluation.slices import LEAST_ONSETS, Rows, slices, worst
from mlops_bikeshare.features.outcomes import Outcomes
from mlops_bikeshare.flows.judging.neighbourhoods import names_of

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[Any]
HEADLINE_BUDGET = 10
_HOUR_S = 3600


class Answered(Protocol):
    """Rows with what model and persistence said of them."""

    @property
    def dt(self) -> NDArray[np.int64]: ...  # noqa: D102 - as in Answers and Held
    @property
    def station(self) -> NDArray[np.integer]: ...  # noqa: D102
    @property
    def already_out(self) -> NDArray[np.bool_]: ...  # noqa: D102
    @property
    def y(self) -> NDArray[np.float32]: ...  # noqa: D102
    @property
    def model(self) -> Array: ...  # noqa: D102
    @property
    def persistence(self) -> Array: ...  # noqa: D102


def sliced(said: Answered, stations: "pd.DataFrame", city: City, *, seed: int) -> dict[str, Any]:
    """Every slice of every dimension, and the worst of each by name."""
    rows, chosen = Rows.of(
        said.y,
        said.model,
        said.persistence,
        already_out=said.already_out,
        dt=said.dt,
        seed=seed,
    )
    if not len(rows.y):
        return {"least_onsets": LEAST_ONSETS, "worst": {}, "slices": {}}
    found = slices(rows, names_of(stations, said.station[chosen], said.dt[chosen], city))
    return {
        "least_onsets": LEAST_ONSETS,
        "worst": to_json(worst(found)),
        "slices": to_json(found),
    }


def dispatch(
    said: Answered, outcomes: Outcomes, target: str, *, methods: tuple[str, ...]
) -> dict[str, Any]:
    """Each method under each budget, on the full hours."""
    chosen = ~said.already_out & (said.dt % _HOUR_S == 0)
    dt, station = said.dt[chosen], said.station[chosen]
    value, slot = outcomes.values[target], outcomes.slot_of(dt)
    onset_min = minutes_to_onset(value, slot, station)
    out_min = minutes_out(value, slot, station)
    return {
        method: [
            to_json(
                at_budget(
                    getattr(said, method)[chosen],
                    hour=dt // _HOUR_S,
                    onset_min=onset_min,
                    out_min=out_min,
                    stations_per_hour=budget,
                )
            )
            for budget in BUDGETS
        ]
        for method in methods
    }


def headline(told: list[dict[str, Any]]) -> str:
    """One budget in words, for beside PR-AUC."""
    b = next(b for b in told if b["stations_per_hour"] == HEADLINE_BUDGET)
    return (
        f"{HEADLINE_BUDGET} alerts an hour: precision {_text(b['precision'])}, recall"
        f" {_text(b['recall'])} of at most {_text(b['best_recall'])}, minutes covered"
        f" {_text(b['minutes_covered'])}"
    )


def _text(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
