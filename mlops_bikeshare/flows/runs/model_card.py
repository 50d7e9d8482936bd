"""The stockout model's card: intended use and limits, with a training's facts and evidence."""

from collections.abc import Mapping
from typing import Any

from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.targets import HORIZONS_MIN, PROMISE_MIN
from mlops_bikeshare.registry.card import Card, render
from mlops_bikeshare.training.candidate import Candidate
from mlops_bikeshare.training.split import Split

INTENDED = (
    "Warn dispatchers which stations run out of bikes or docks soon enough to rebalance them.",
    "Show riders how likely a bike or a dock is at a station later.",
    "Not for pricing, not for judging staff, not for another city than the one it learned.",
)
_WHEN = {"at": "at that time", "within": "at some time until then"}
LIMITS = (
    "Figures are of the test days only; seasons, strikes and new stations are not in them.",
    "A station that is new has no profile: its usual flows are missing until its second day.",
    "Demand that found no bike is not seen: what is predicted is the count, not the wish.",
    "Trucks are part of what was learned; another rebalancing routine changes what is true.",
    "SHAP values tell what the trees use, in log-odds before calibration; not what causes it.",
)


def card_text(
    city: City,
    split: Split,
    candidate: Candidate,
    *,
    facts: Mapping[str, str],
    evidence: Mapping[str, Any],
) -> str:
    """The card as Markdown."""
    return render(
        Card(
            title=f"Stockouts of {city.name}, {HORIZONS_MIN[0]} to {HORIZONS_MIN[-1]} min ahead",
            summary=(
                f"Gradient-boosted trees with calibrated probabilities that a station has at most"
                f" {city.label.threshold} bikes (bikeout) or docks (dockout) left"
                f" {_WHEN[city.label.mode]}. Figures are {PROMISE_MIN} minutes ahead."
            ),
            intended_use=INTENDED,
            limits=LIMITS,
            facts={
                **{name: value for name, value in facts.items() if value},
                **{f"rows, {name}": f"{count:,}" for name, count in candidate.rows.items()},
                **{f"trees, {t}": str(b.best_iteration) for t, b in candidate.boosters.items()},
            },
            contributions=candidate.contributions,
            evidence=evidence,
            warnings=()
            if split.test
            else ("It kept no days for a test: judge it by the days it serves.",),
        )
    )
