"""Series of the metric store for charts: one frame for several metrics, endpoints and statistics.

Input    a store, a window, `Asked`: which metric, of what, how summed up.
Output   at, value and the labels of each `Asked`; a period without data has no row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.monitoring.metrics import MINUTE_S, MetricStore, Statistic, Wanted

if TYPE_CHECKING:
    import pandas as pd

PERIOD_S = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One series; `labels` become columns of its rows."""

    namespace: str
    name: str
    dimensions: Mapping[str, str]
    statistic: Statistic
    scale: float = 1.0
    labels: Mapping[str, str] = field(default_factory=dict)


def window_up_to(now: datetime, *, hours: int) -> Window:
    """The hours up to the minute of `now`, in whole periods."""
    return Window(now - timedelta(hours=hours), now + timedelta(seconds=MINUTE_S)).widened(
        step_s=PERIOD_S
    )


def frame(
    store: MetricStore, asked: Sequence[Asked], window: Window, *, period_s: int = PERIOD_S
) -> "pd.DataFrame":
    """Every series, one below the other."""
    import pandas as pd

    wanted = [
        Wanted(
            namespace=one.namespace,
            name=one.name,
            dimensions=one.dimensions,
            statistic=one.statistic,
        )
        for one in asked
    ]
    found_of = store.several(wanted, window=window, period_s=period_s)
    rows = [
        {"at": at, "value": value * one.scale, **one.labels}
        for one, series in zip(asked, found_of, strict=True)
        for at, value in series
    ]
    labels = list(dict.fromkeys(name for one in asked for name in one.labels))
    found = pd.DataFrame(rows, columns=["at", "value", *labels])
    return found.assign(at=pd.to_datetime(found["at"], utc=True))
