import asyncio
import threading
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from mlops_bikeshare.domain.reports import MetricPoint
from mlops_bikeshare.serving.host.faults import ApiError
from mlops_bikeshare.serving.host.listing import page
from mlops_bikeshare.serving.host.meter import Meter
from mlops_bikeshare.serving.host.runtime import dt_of


def point(value: float) -> MetricPoint:
    return MetricPoint(
        namespace="n", name="m", dimensions={}, at=datetime(2021, 1, 1, tzinfo=UTC), value=value
    )


@pytest.mark.parametrize(
    "attributes", ["dt=2021-09-01T14:00:00+02:00", "who=me, dt=2021-09-01T12:00:00Z"]
)
def test_dt_is_found_among_custom_attributes(attributes: str) -> None:
    assert dt_of(attributes) == datetime(2021, 9, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("attributes", ["", "dt=", "dt=noon", "dt=2021-09-01T12:00:00", "at=1"])
def test_a_replay_without_a_usable_dt_is_refused_not_stamped_with_today(attributes: str) -> None:
    with pytest.raises(ApiError, match="must hold dt="):
        dt_of(attributes)


def test_record_returns_after_the_sink_and_concurrent_points_share_a_call() -> None:
    calls: list[list[float]] = []
    entered, free = threading.Event(), threading.Event()

    def sink(points: Sequence[MetricPoint]) -> None:
        entered.set()
        free.wait()
        calls.append([point.value for point in points])

    async def scenario() -> list[int]:
        meter = Meter(sink)
        first = asyncio.create_task(meter.record([point(1)]))
        await asyncio.to_thread(entered.wait)
        rest = [asyncio.create_task(meter.record([point(n)])) for n in (2, 3)]
        await asyncio.sleep(0)
        early = [task.done() for task in (first, *rest)]
        free.set()
        await asyncio.gather(first, *rest)
        meter.close()
        return [sum(early), len(calls)]

    assert asyncio.run(scenario()) == [0, 2]
    assert calls == [[1.0], [2.0, 3.0]]


def test_a_sink_that_fails_fails_the_response() -> None:
    def sink(_points: Sequence[MetricPoint]) -> None:
        raise OSError("disk full")

    async def scenario() -> None:
        meter = Meter(sink)
        try:
            await meter.record([point(1)])
        finally:
            meter.close()

    with pytest.raises(OSError, match="disk full"):
        asyncio.run(scenario())


def test_pages_follow_each_other_without_gap_or_overlap() -> None:
    documents = [{"ModelName": f"m{n:02d}", "CreationTime": n % 3} for n in range(25)]
    seen, token = [], None
    while True:
        request = {"MaxResults": 7, **({"NextToken": token} if token else {})}
        answer = page(request, "Models", documents, dict)
        seen += [row["ModelName"] for row in answer["Models"]]
        token = answer.get("NextToken")
        if token is None:
            break
    assert sorted(seen) == [row["ModelName"] for row in documents]
    with pytest.raises(ApiError, match="NextToken"):
        page({"NextToken": "x"}, "Models", documents, dict)
