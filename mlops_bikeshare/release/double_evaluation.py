"""Double evaluation: whether a candidate may replace the champion after a retraining.

Two sets decide. The frozen set never changes, so a candidate that forgot what the service once knew
shows there; the recent days say whether it is better now. The worse target speaks for both.

Input    `Frozen`, the candidate's figure on the frozen set with its floor, and `Recent`, its gain
         over the champion on the most recent days with the 95 % interval, per target; None where a
         figure could not be computed.
Output   `Decision`: REJECT when the frozen set falls below its floor (or is not known: what decides
         fails closed); DEPLOY when the recent gain reaches `least_gain` with its interval clear
         of 0; else SKIP. Its reasons are sentences. `sliding` gives the windows of a retraining.
Raises   InputError when the sets do not speak of the same targets, or windows do not fit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.windows import Window

Verdict = Literal["REJECT", "DEPLOY", "SKIP"]
LEAST_GAIN = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """One target on the anti-regression set."""

    target: str
    value: float | None
    floor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Recent:
    """One target on the recent days: candidate minus champion."""

    target: str
    gain: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do with a candidate, and why."""

    verdict: Verdict
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sliding:
    """What a retraining learns from, in order of time, and the days it is judged by."""

    train: tuple[Window, ...]
    recent: Window


def decide(
    frozen: Sequence[Frozen],
    recent: Sequence[Recent],
    *,
    metric: str,
    least_gain: float = LEAST_GAIN,
) -> Decision:
    """The verdict of both sets, with the reason of every target that stands against a deploy."""
    _check(frozen, recent)
    lost = [reason for f in frozen if (reason := _forgot(f, metric))]
    if lost:
        return Decision(verdict="REJECT", reasons=tuple(lost))
    short = [reason for r in recent if (reason := _short(r, metric, least_gain))]
    if short:
        return Decision(verdict="SKIP", reasons=tuple(short))
    return Decision(
        verdict="DEPLOY",
        reasons=(
            *(f"{f.target}: {metric} on the frozen set is {_against(f)}" for f in frozen),
            *(f"{r.target}: {metric} {_gain(r)} over the champion on recent days" for r in recent),
        ),
    )


def sliding(baseline: Window, available: Window, *, days: int, recent_days: int) -> Sliding:
    """Baseline and the last `days` before the recent days; overlapping ones become one window."""
    if min(days, recent_days) < 1:
        msg = f"days={days}, recent_days={recent_days}: expected at least one day of each"
        raise InputError(msg)
    border = available.end - timedelta(days=recent_days)
    if not baseline.start < baseline.end <= border or border <= available.start:
        msg = (
            f"baseline={baseline}: expected it to end by {border:%F %H:%M}, before the last"
            f" {recent_days} days of {available}, which judge; move it back, or wait for more days"
        )
        raise InputError(msg)
    start = max(available.start, border - timedelta(days=days))
    recent = Window(border, available.end)
    if start <= baseline.end:
        return Sliding(train=(Window(min(start, baseline.start), border),), recent=recent)
    return Sliding(train=(baseline, Window(start, border)), recent=recent)


def _check(frozen: Sequence[Frozen], recent: Sequence[Recent]) -> None:
    sets = [f.target for f in frozen], [r.target for r in recent]
    if not frozen or sorted(sets[0]) != sorted(sets[1]) or len(set(sets[0])) != len(sets[0]):
        msg = f"the frozen set speaks of {sets[0] or 'nothing'}, the recent days of"
        raise InputError(f"{msg} {sets[1] or 'nothing'}; expected each target once in both")


def _forgot(f: Frozen, metric: str) -> str | None:
    if f.value is None:
        return f"{f.target}: {metric} on the frozen set is not known, so nothing shows it holds"
    if not f.value >= f.floor:
        return f"{f.target}: {metric} on the frozen set is too low, {_against(f)}"
    return None


def _short(r: Recent, metric: str, least_gain: float) -> str | None:
    if r.gain is None or r.low is None or r.high is None:
        return f"{r.target}: the gain in {metric} on recent days, or its interval, is not known"
    if not r.gain >= least_gain:
        return f"{r.target}: {metric} {_gain(r)} over the champion is less than {least_gain:+.3f}"
    if not r.low > 0:
        return f"{r.target}: {metric} {_gain(r)} over the champion is not clear of 0"
    return None


def _gain(r: Recent) -> str:
    return f"{r.gain:+.3f} [{r.low:+.3f}, {r.high:+.3f}]"


def _against(f: Frozen) -> str:
    return f"{f.value:.3f}, its floor {f.floor:.3f}"
