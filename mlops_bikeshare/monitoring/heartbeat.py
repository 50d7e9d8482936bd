"""What a batch and a poll say about themselves.

Input    counts of rows and the time they belong to (dt of the batch, time of the poll).
Output   MetricPoints of the catalogue. What is not known is not posted.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from mlops_bikeshare.domain.reports import MetricPoint
from mlops_bikeshare.monitoring.metrics import point

Run = Literal["training", "retrain"]
_FAILURES: Mapping[Run, str] = {"training": "TrainingFailures", "retrain": "RetrainFailures"}


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


def run_points(kind: Run, *, city: str, at: datetime, failed: bool) -> list[MetricPoint]:
    """Whether a training or a retraining failed."""
    return [point(_FAILURES[kind], float(failed), at=at, dimensions={"City": city})]


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
