"""One line of a verdict: a value, what it needs, and what would flip it."""

import math
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from mlops_bikeshare.domain.reports import GateCheck, Relation, Verdict
from mlops_bikeshare.domain.windows import CADENCE_S, Window, floor_time

_HOLDS: Mapping[Relation, Callable[[Any, Any], bool]] = {
    ">=": lambda value, threshold: value >= threshold,
    "<=": lambda value, threshold: value <= threshold,
    "<": lambda value, threshold: value < threshold,
    "==": lambda value, threshold: value == threshold,
}


def decide(
    name: str,
    value: float | str | None,
    relation: Relation,
    threshold: float | str,
    detail: str,
    *,
    gap: str | None = None,
    flips: str = "",
    next_at: datetime | None = None,
) -> GateCheck:
    """One line; `gap` says why a value that holds cannot be believed, but one that fails can."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        why = gap or detail
        return unknown(name, relation, threshold, why, flips=flips, next_at=next_at)
    holds = _HOLDS[relation](value, threshold)
    verdict: Verdict = "fail" if not holds else "unknown" if gap else "pass"
    passed = verdict == "pass"
    return GateCheck(
        name=name,
        value=value,
        relation=relation,
        threshold=threshold,
        verdict=verdict,
        detail="; ".join(part for part in (detail, gap) if part),
        flips="" if passed else flips,
        next_at=None if passed else next_at,
    )


def unknown(
    name: str,
    relation: Relation,
    threshold: float | str,
    why: str,
    *,
    flips: str = "",
    next_at: datetime | None = None,
) -> GateCheck:
    """A line without a value to believe."""
    return GateCheck(
        name=name,
        value=None,
        relation=relation,
        threshold=threshold,
        verdict="unknown",
        detail=why,
        flips=flips,
        next_at=next_at,
    )


def next_tick(at: datetime, *, step_s: int = CADENCE_S) -> datetime:
    """The first multiple of `step_s` after `at`."""
    return floor_time(at, step_s=step_s) + timedelta(seconds=step_s)


def left_behind(last: datetime, window: Window, *, step_s: int = CADENCE_S) -> datetime:
    """When a window as long as this one no longer holds the period that begins at `last`."""
    return last + timedelta(seconds=step_s) + window.duration
