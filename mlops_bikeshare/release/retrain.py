"""Whether to retrain now: a table of rows that exclude each other, read from the top.

| quality (worse target)   | DriftShare | falls | otherwise                 | row       | cause    |
|--------------------------|------------|-------|---------------------------|-----------|----------|
| below critical           |            |       |                           | REACTIVE  | quality  |
| not below critical       | >= limit   | yes   |                           | REACTIVE  | drift    |
| from critical to warning | >= limit   | no    |                           | PROACTIVE | drift    |
| none of the above        |            |       | older than `most_days`    | PROACTIVE | age      |
| none of the above        |            |       | a season began, not older | PROACTIVE | calendar |
| none of the above        |            |       | no season began           | WAIT      | nothing  |

Input    `Facts`: what is known of the champion; None where a figure is not known.
Output   `Choice`: the row, and a sentence for every fact that was looked at. A figure that is not
         known never starts a retraining by itself, and the reasons say that it is not known.
Raises   InputError where the warning level lies below the critical one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from mlops_bikeshare.domain.errors import InputError

Row = Literal["REACTIVE", "PROACTIVE", "WAIT"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Levels of quality (PR-AUC), of drift (a share of features), of age; `seasons`: MM-DD."""

    critical: float
    warning: float
    drift_share: float
    falling: float
    most_days: int
    seasons: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Refuse levels that would leave rows of the table empty by mistake."""
        if self.warning < self.critical:
            msg = (
                f"the warning level {self.warning:.3f} lies below the critical {self.critical:.3f}"
            )
            raise InputError(f"{msg}: retrain before quality is critical, not after")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The champion as of `today`: quality now and before, drift, the last day it learned from."""

    today: date
    quality: float | None
    quality_before: float | None
    drift_share: float | None
    learned_until: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The row that holds, what it rests on, and every fact in a sentence."""

    row: Row
    cause: Literal["quality", "drift", "age", "calendar", "nothing"]
    reasons: tuple[str, ...]


def choose(facts: Facts, limits: Limits) -> Choice:
    """The one row that holds."""
    row, cause = _row(facts, limits)
    told = (_quality(facts, limits), _trend(facts, limits), _drift(facts, limits))
    return Choice(row=row, cause=cause, reasons=(*told, *_age(facts, limits)))


def _row(
    facts: Facts, limits: Limits
) -> tuple[Row, Literal["quality", "drift", "age", "calendar", "nothing"]]:
    quality = facts.quality
    if quality is not None and quality < limits.critical:
        return "REACTIVE", "quality"
    drifted = facts.drift_share is not None and facts.drift_share >= limits.drift_share
    if drifted and falls(facts, limits):
        return "REACTIVE", "drift"
    if drifted and quality is not None and quality < limits.warning:
        return "PROACTIVE", "drift"
    if age_days(facts) > limits.most_days:
        return "PROACTIVE", "age"
    if began(facts, limits) is not None:
        return "PROACTIVE", "calendar"
    return "WAIT", "nothing"


def falls(facts: Facts, limits: Limits) -> bool:
    """Whether quality is known to have fallen by as much as counts."""
    if facts.quality is None or facts.quality_before is None:
        return False
    return facts.quality_before - facts.quality >= limits.falling


def age_days(facts: Facts) -> int:
    """Days since the last one that the champion learned from."""
    return (facts.today - facts.learned_until).days


def began(facts: Facts, limits: Limits) -> date | None:
    """The newest first day of a season that the champion has seen nothing of."""
    years = range(facts.learned_until.year, facts.today.year + 1)
    days = [date.fromisoformat(f"{year}-{day}") for year in years for day in limits.seasons]
    return max((day for day in days if facts.learned_until < day <= facts.today), default=None)


def _quality(facts: Facts, limits: Limits) -> str:
    levels = f"critical {limits.critical:.3f}, warning {limits.warning:.3f}"
    if facts.quality is None:
        return f"quality of the champion is not known ({levels})"
    if facts.quality < limits.critical:
        return f"PR-AUC-24h {facts.quality:.3f} is below critical ({levels})"
    where = "between critical and warning" if facts.quality < limits.warning else "good"
    return f"PR-AUC-24h {facts.quality:.3f} is {where} ({levels})"


def _trend(facts: Facts, limits: Limits) -> str:
    if facts.quality is None or facts.quality_before is None:
        return "whether quality falls is not known"
    moved = facts.quality - facts.quality_before
    verdict = "falls" if falls(facts, limits) else "does not fall"
    return f"quality {verdict}: {moved:+.3f} against the days before (-{limits.falling:.3f} counts)"


def _drift(facts: Facts, limits: Limits) -> str:
    if facts.drift_share is None:
        return "DriftShare is not known"
    verb = "reaches" if facts.drift_share >= limits.drift_share else "is below"
    return f"DriftShare {facts.drift_share:.0%} {verb} {limits.drift_share:.0%}"


def _age(facts: Facts, limits: Limits) -> tuple[str, ...]:
    days = age_days(facts)
    verdict = "older than" if days > limits.most_days else "within"
    age = f"the champion learned until {facts.learned_until}: {days} days, {verdict} the"
    season = began(facts, limits)
    told = f"a season began on {season} since" if season else "no season began since"
    return f"{age} {limits.most_days} allowed", told
