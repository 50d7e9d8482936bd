"""A statistic of every period, as CloudWatch has it.

Input    at_s: float64 seconds since 1970, sorted; values: float64 of the same length.
Output   period start and statistic; a period without data is left out. `whole_minutes`: what of a
         window CloudWatch can count by minutes.
Source   percentiles interpolate linearly between order statistics (CloudWatch does not publish its
         method, ours is NumPy's default).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.windows import Window, from_seconds, to_seconds
from mlops_bikeshare.monitoring.metrics import MINUTE_S, Statistic


def by_period(
    at_s: NDArray[np.float64], values: NDArray[np.float64], *, statistic: Statistic, period_s: int
) -> list[tuple[int, float]]:
    """Period start (seconds since 1970) and statistic; `at_s` sorted, empty periods left out."""
    period = np.floor_divide(at_s, period_s).astype(np.int64)
    if not period.size:
        return []
    starts = np.append(0, np.flatnonzero(np.diff(period)) + 1)
    return list(
        zip(
            (period[starts] * period_s).tolist(),
            _reduce(values, starts, statistic).tolist(),
            strict=True,
        )
    )


def _reduce(
    values: NDArray[np.float64], starts: NDArray[np.int64], statistic: Statistic
) -> NDArray[Any]:
    rows = np.diff(np.append(starts, values.size))
    if statistic == "SampleCount":
        return rows.astype(np.float64)
    if statistic in {"Sum", "Average"}:
        return np.add.reduceat(values, starts) / (rows if statistic == "Average" else 1)
    if statistic in {"Minimum", "Maximum"}:
        return (np.minimum if statistic == "Minimum" else np.maximum).reduceat(values, starts)
    share = float(statistic[1:])
    return np.array([np.percentile(part, share) for part in np.split(values, starts[1:])])


def whole_minutes(window: Window) -> Window | None:
    """Its minutes, which cannot be cut: not the one that it begins in the middle of.

    What failed just before a version came would count against it, and set off one rollback more.
    """
    start = from_seconds(-(-to_seconds(window.start) // MINUTE_S) * MINUTE_S)
    end = window.widened(step_s=MINUTE_S).end
    return Window(start, end) if start < end else None
