"""Replay: a day of production on a simulated clock, through real endpoints.

Every five minutes a poll, every ten minutes a batch and its judgement, every midnight the features
and profiles of the day that is over, and one judgement at the end. Nothing of a later time is read:
the clock of the workspace moves with the polls.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import EndpointError, InputError
from mlops_bikeshare.domain.reports import QualityReport
from mlops_bikeshare.domain.windows import CADENCE_S, DAY_S, SLOT_S, Window
from mlops_bikeshare.flows import features, ingest, monitor
from mlops_bikeshare.flows import infer as inferring
from mlops_bikeshare.flows.process.logged import Told, logged
from mlops_bikeshare.flows.process.progress import Track, silent
from mlops_bikeshare.sources.feed import Feed

AfterBatch = Callable[[Workspace, City], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What happened; `failed_batches` wrote no rows, or fewer than the stations asked for."""

    window: Window
    polls: int
    failed_polls: int
    batches: int
    failed_batches: int
    seconds: float
    quality: tuple[QualityReport, ...]


def _told(done: Replayed) -> Told:
    polls = {"window": str(done.window), "polls": done.polls, "failed_polls": done.failed_polls}
    return Told(read=polls, wrote={"batches": done.batches, "failed_batches": done.failed_batches})


@logged("replay", _told)
def replay(
    ws: Workspace,
    city: City,
    feed: Feed,
    window: Window,
    *,
    after_batch: AfterBatch | None = None,
    track: Track = silent,
) -> Replayed:
    """Run every poll, batch and judgement of `window`, and what else follows every batch.

    The window must lie ahead of the clock.
    """
    if window.start < ws.now:
        msg = f"replay of {window}: the workspace's clock stands at {ws.now:%F %H:%M} already"
        raise InputError(f"{msg}; choose a later window, or another workspace")
    _ = ws.clients  # without a host this is refused before anything is written
    began = time.perf_counter()
    missed = batches = failed = 0
    ticks = list(window.steps(step_s=SLOT_S))
    for at in track(ticks, label=f"replay {city.name} {window}", total=len(ticks)):
        ws.advance(at)
        missed += ingest.poll(ws, city, feed, at).failure is not None
        if at > window.start and at.timestamp() % DAY_S == 0:
            features.build(ws, city)
        if at.timestamp() % CADENCE_S == 0:
            batches += 1
            failed += not _batch(ws, city)
            monitor.monitor(ws, city, at=at)
            if after_batch is not None:
                after_batch(ws, city)
    ws.advance(window.end)
    seen = monitor.monitor(ws, city, at=window.end)
    return Replayed(
        window=window,
        polls=len(ticks),
        failed_polls=missed,
        batches=batches,
        failed_batches=failed,
        seconds=time.perf_counter() - began,
        quality=seen.quality,
    )


def summary(done: Replayed) -> str:
    """What a person wants to know."""
    return (
        f"{done.window}: {done.polls} polls ({done.failed_polls} failed), {done.batches} batches"
        f" ({done.failed_batches} failed) in {done.seconds:.0f} s"
    )


def _batch(ws: Workspace, city: City) -> bool:
    """Whether every endpoint answered in full; a feed or a host that is down fails the batch."""
    try:
        done = inferring.infer(ws, city)
    except (InputError, EndpointError) as error:
        inferring.log.warning("%s", error)
        return False
    return all(batch.failure is None for batch in done)
