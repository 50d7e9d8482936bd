"""Metric points on their way to a sink, before a response is acknowledged.

Input    MetricPoints of one response.
Output   `record` returns when the sink has them. The sink is called from one thread of ours, never
         twice at once; points of concurrent responses share a call.
Raises   whatever the sink raised, to everyone whose points were in that call.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from mlops_bikeshare.domain.reports import MetricPoint

Sink = Callable[[Sequence[MetricPoint]], None]


class Meter:
    """Group commit in front of a sink."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="metrics")
        self._queue: list[tuple[Sequence[MetricPoint], asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def record(self, points: Sequence[MetricPoint]) -> None:
        """Return once the sink has written these points."""
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((points, stored))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        await stored

    def close(self) -> None:
        """Wait for the last call and end the thread."""
        self._thread.shutdown()

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while self._queue:
            batch, self._queue = self._queue, []
            points = [point for group, _ in batch for point in group]
            error: Exception | None = None
            try:
                await loop.run_in_executor(self._thread, self._sink, points)
            except Exception as failure:  # the sink is foreign; its failure belongs to the callers
                error = failure
            for _, stored in batch:
                if stored.done():
                    continue
                if error is None:
                    stored.set_result(None)
                else:
                    stored.set_exception(error)
