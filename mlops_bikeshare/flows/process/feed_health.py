"""How a city's feed was lately: what its polls told the metrics.

Input    a workspace, a city; the 24 hours up to the workspace's clock.
Output   FeedHealth; None where no poll was counted, as in a lake that was only imported.
"""

from dataclasses import dataclass
from datetime import timedelta

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.windows import DAY_S, Window
from mlops_bikeshare.monitoring.metrics import MODEL

_HOUR_S = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedHealth:
    """The last day's polls; `age_s` is that of the newest document when it was read."""

    age_s: float | None
    poll_failures_24h: int
    quarantined_rows_24h: int


def feed_health(ws: Workspace, city: City) -> FeedHealth | None:
    """PollFailures and QuarantinedRows of a day, and the newest FeedAge_s."""
    failures = _summed(ws, city, "PollFailures")
    if failures is None:
        return None
    newest = ws.metrics.latest(
        MODEL, "FeedAge_s", {"City": city.name}, before=ws.now, within_s=DAY_S
    )
    return FeedHealth(
        age_s=newest[1] if newest else None,
        poll_failures_24h=failures,
        quarantined_rows_24h=_summed(ws, city, "QuarantinedRows") or 0,
    )


def _summed(ws: Workspace, city: City, name: str) -> int | None:
    # A poll of this very moment counts too.
    end = ws.now + timedelta(minutes=1)
    hours = ws.metrics.series(
        MODEL,
        name,
        {"City": city.name},
        window=Window(end - timedelta(seconds=DAY_S), end),
        statistic="Sum",
        period_s=_HOUR_S,
    )
    return round(sum(value for _, value in hours)) if hours else None
