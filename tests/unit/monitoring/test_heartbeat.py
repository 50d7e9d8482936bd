"""A heartbeat means rows were written; what is not known is not posted."""

from datetime import UTC, datetime

import pytest

from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.reports import MetricPoint
from mlops_bikeshare.monitoring import metrics, quality
from mlops_bikeshare.monitoring.heartbeat import batch_points, feed_points

DT = datetime(2021, 9, 1, 8, 10, tzinfo=UTC)


def batch(*, asked: int, answered: int, written: int) -> dict[str, MetricPoint]:
    found = batch_points(
        endpoint="bikeshare-prod", city="boston", dt=DT,
        asked=asked, answered=answered, written=written,
    )  # fmt: skip
    return {point.name: point for point in found}


def test_a_batch_that_wrote_its_rows_beats_once_at_its_dt() -> None:
    found = batch(asked=200, answered=150, written=200)
    assert (found["PredictionHeartbeat"].value, found["PredictionHeartbeat"].at) == (1, DT)
    assert found["BatchSuccessRate"].value == 0.75
    assert found["PredictionHeartbeat"].unit == "Count"


def test_a_batch_that_wrote_nothing_does_not_beat() -> None:
    assert set(batch(asked=200, answered=0, written=0)) == {"BatchSuccessRate"}
    assert batch(asked=0, answered=0, written=0) == {}


def test_a_feed_without_a_document_has_no_age() -> None:
    def names(age_s: float | None) -> set[str]:
        points = feed_points(city="boston", at=DT, age_s=age_s, failures=1, quarantined=0)
        assert all(point.dimensions == {"City": "boston"} for point in points)
        return {point.name for point in points}

    assert names(None) == {"PollFailures", "QuarantinedRows"}
    assert names(12.5) == {"PollFailures", "QuarantinedRows", "FeedAge_s"}


def test_the_catalogue_names_each_metric_once_and_knows_the_worse_side_of_quality() -> None:
    names = [entry.name for entry in metrics.CATALOGUE]
    assert len(names) == len(set(names))
    assert all(metrics.metric(name).worse is not None for name in quality.VALUES)
    with pytest.raises(InputError, match="PR-AUC-24h"):
        metrics.metric("pr_auc")
