"""What dispatch feels: at most K alerts an hour, and what they are worth.

Every full hour the K stations most likely to run out, of those not out now, are alerted; the hour
that follows judges them, so each stockout belongs to one hour.

Input    outcome: int8 (slots, stations), 1 out, 0 not out, -1 unknown, five minutes a slot; p:
         float (rows,), hour: int (rows,), the rows of the full hours whose station is not out.
Output   minutes: float64 (rows,); `Budget`, None where undefined.
Raises   GridError for unequal lengths or a budget below one.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import GridError

Array = NDArray[Any]
Floats = NDArray[np.float64]
BUDGETS = (5, 10, 20)
SLOT_MIN = 5
# A stockout counts when it starts within the hour, its minutes up to two hours after the alert.
ONSET_SLOTS = 12
COVERED_SLOTS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Alerts under a budget of `stations_per_hour`.

    `precision`: share of alerts whose station ran out within the hour; `recall`: share of such
    stations that were alerted; `best_recall`: what perfect foresight reaches under this budget;
    `lead_min`: median minutes from a right alert to the stockout; `minutes_covered`: share of
    the stockout minutes of the two hours after that fell on alerted stations.
    """

    stations_per_hour: int
    hours: int
    alerts: int
    onsets: int
    precision: float | None
    recall: float | None
    best_recall: float | None
    lead_min: float | None
    minutes_covered: float | None


def minutes_to_onset(outcome: Array, slot: Array, station: Array) -> Floats:
    """Minutes to the first slot out within the hour; inf if none, NaN if none was observed."""
    first = np.full(len(slot), np.inf)
    seen = np.zeros(len(slot), dtype=np.bool_)
    for ahead in range(ONSET_SLOTS, 0, -1):
        value = _then(outcome, slot, station, ahead)
        first = np.where(value == 1, ahead * SLOT_MIN, first)
        seen |= value >= 0
    return np.where(seen, first, np.nan)


def minutes_out(outcome: Array, slot: Array, station: Array) -> Floats:
    """Minutes observed to be out in the two hours after."""
    slots = range(1, COVERED_SLOTS + 1)
    out = sum((_then(outcome, slot, station, s) == 1).astype(np.int64) for s in slots)
    minutes: Floats = SLOT_MIN * np.asarray(out, dtype=np.float64)
    return minutes


def at_budget(
    p: Array, *, hour: Array, onset_min: Array, out_min: Array, stations_per_hour: int
) -> Budget:
    """The worth of the alerts; rows whose hour was not observed are left out."""
    if stations_per_hour < 1:
        raise GridError(f"a budget of {stations_per_hour} stations an hour: expected at least 1")
    if not len(p) == len(hour) == len(onset_min) == len(out_min):
        raise GridError("rows of probabilities, hours and outcomes differ in number")
    known = ~np.isnan(onset_min)
    p, hour, onset_min, out_min = (np.asarray(a)[known] for a in (p, hour, onset_min, out_min))
    onset = np.isfinite(onset_min)
    alerted = _rank(p, hour) < stations_per_hour
    right = alerted & onset
    _, found = np.unique(hour[onset], return_counts=True)
    minutes = np.where(onset, out_min, 0.0)
    return Budget(
        stations_per_hour=stations_per_hour,
        hours=len(np.unique(hour)),
        alerts=int(alerted.sum()),
        onsets=int(onset.sum()),
        precision=_share(right.sum(), alerted.sum()),
        recall=_share(right.sum(), onset.sum()),
        best_recall=_share(np.minimum(found, stations_per_hour).sum(), onset.sum()),
        lead_min=float(np.median(onset_min[right])) if right.any() else None,
        minutes_covered=_share(minutes[alerted].sum(), minutes.sum()),
    )


def _then(outcome: Array, slot: Array, station: Array, ahead: int) -> Array:
    """Outcome `ahead` slots later; unknown beyond the end."""
    at = slot + ahead
    inside = at < len(outcome)
    return np.where(inside, outcome[np.where(inside, at, 0), station], -1)


def _rank(p: Array, hour: Array) -> NDArray[np.int64]:
    """Place of each row within its hour, the highest probability first; ties keep their order."""
    order = np.lexsort((-p, hour))
    ordered = hour[order]
    first = np.searchsorted(ordered, ordered, side="left")
    rank = np.empty(len(p), dtype=np.int64)
    rank[order] = np.arange(len(p)) - first
    return rank


def _share(part: Any, whole: Any) -> float | None:
    return float(part / whole) if whole else None
