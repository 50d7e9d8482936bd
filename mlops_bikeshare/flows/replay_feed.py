"""Replay-feed: a recorded city as a live GBFS feed, until stopped.

Input    the folder of a recording, the time at which the feed begins, how fast its clock runs.
Output   the address of gbfs.json, told to `ready` once requests are answered.
Raises   SourceError for a recording that cannot be read, InputError for a time outside of it.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.clock import PacedClock
from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.sources.gbfs import render
from mlops_bikeshare.sources.gbfs.discovery import STATUS
from mlops_bikeshare.sources.gbfs.faults import Faults
from mlops_bikeshare.sources.gbfs.server import ReplayedCity, serving
from mlops_bikeshare.sources.recorded import open_recording

# A recording's first hours know few stations: each appears with its first report.
_WARM = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What feed is wanted; `faults` lie before the first request, `share` strikes by chance."""

    version: str = "2.3"
    speed: float = 1.0
    port: int = 0
    share: float = 0.0
    seed: int = 0
    hold_s: float = 60.0
    faults: Sequence[str] = field(default=())


def replay_feed(
    folder: Path,
    city: City,
    *,
    start: datetime | None,
    wish: Wish,
    stop: threading.Event,
    ready: Callable[[str, datetime], None],
) -> int:
    """Serve until `stop` is set; how many documents of station_status were delivered."""
    if wish.speed <= 0:
        raise InputError(f"--speed: expected more than 0, got {wish.speed:g}")
    recording = open_recording(folder)
    begin = start or recording.span.start + min(_WARM, recording.span.duration / 2)
    if begin not in recording.span:
        raise InputError(f"--at {begin:%F %H:%M}: the recording covers {recording.span}")
    faults = Faults(share=wish.share, seed=wish.seed)
    for fault in wish.faults:
        faults.plan(fault, feed=STATUS)
    served = ReplayedCity(
        recording,
        PacedClock(begin, speed=wish.speed),
        version=render.checked(wish.version),
        name=city.name,
        timezone=city.timezone,
        speed=wish.speed,
        hold_s=wish.hold_s,
        faults=faults,
    )
    with serving(served, port=wish.port) as url:
        ready(url, begin)
        stop.wait()
    return len(served.delivered)
