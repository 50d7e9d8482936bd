"""What a batch and a poll say about themselves.

Input    counts of rows and the time they belong to (dt of the batch, time of the poll).
Output   MetricPoints of the catalogue. What is not known is not posted.
"""

from datetime import datetime

from mlops_bikeshare.domain.reports import MetricPoint
from mlops_bikeshare.monitoring.metrics import point


def batch_points(
    *, endpoint: str, city: str, dt: datetime, asked: int, answered: int, written: int
) -> list[MetricPoint]:
    """Heartbeat of a batch that wrote rows, and the share of rows that the model answered."""
    of = {"EndpointName": endpoint, "City": city}
    found = []
    if written > 0:
        found.append(point("PredictionHeartbeat", 1, at=dt, dimensions=of))
    if asked > 0:
        found.append(point("BatchSuccessRate", answered / asked, at=dt, dimensions=of))
    return found


def feed_points(
    *, city: str, at: datetime, age_s: float | None, failures: int, quarantined: int
) -> list[MetricPoint]:
    """Age of the feed's document (None: there was none), failed polls, rows put aside."""
    of = {"City": city}
    found = [
        point("PollFailures", failures, at=at, dimensions=of),
        point("QuarantinedRows", quarantined, at=at, dimensions=of),
    ]
    if age_s is not None:
        found.append(point("FeedAge_s", age_s, at=at, dimensions=of))
    return found
