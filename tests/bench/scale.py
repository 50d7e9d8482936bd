"""Features on Dask: two workers against one, and one against a single process without Dask.

Every side builds the same days from a lake of its own, by processes that have made a day before the
clock starts, as on a cluster that runs already. Workers have one thread. Overhead is told in CPU
seconds of all processes, which another load on the machine does not change.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows import features, ingest
from mlops_bikeshare.flows.scaling import cluster, feature_blocks
from mlops_bikeshare.settings import load
from tests.bench.bed import END, Bed
from tests.bench.measure import BenchError, Row, Usage, once

DAYS, QUICK_DAYS = 28, 14
FASTER, OVERHEAD = 1.6, 1.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a build took: wall and CPU seconds, and the most memory of a worker, megabytes."""

    wall_s: float
    cpu_s: float
    worker_mb: float


def on_dask(bed: Bed) -> Iterator[Row]:
    try:
        import distributed  # noqa: F401 - whether it is there
    except ImportError:
        raise BenchError("Dask is not installed: make dask") from None
    count = QUICK_DAYS if bed.quick else DAYS
    warm = _warm(bed)
    alone = _alone(bed, count)
    one, two = (_spread(bed, count, warm, workers=workers) for workers in (1, 2))
    said = f"{count} days of Boston, {two.worker_mb:.0f} MB a worker"
    yield Row(
        name="features.dask_two_workers",
        ours=two.wall_s,
        peer=one.wall_s,
        unit="s",
        goal=FASTER,
        against=f"one worker, {said}",
    )
    yield Row(
        name="features.dask_overhead",
        ours=one.cpu_s,
        peer=alone.cpu_s,
        unit="CPU s",
        goal=1 / OVERHEAD,
        against=f"one process without Dask, {said}",
    )


def _alone(bed: Bed, count: int) -> Usage:
    ws = _filled(bed, count, name="numpy")
    return once(lambda: features.build(ws, bed.city))


def _spread(bed: Bed, count: int, warm: feature_blocks.Where, *, workers: int) -> Ran:
    ws = _filled(bed, count, name=f"dask-{workers}")
    features.check_definition(ws, bed.city)
    where = feature_blocks.Where(ws.settings, ws.clock, bed.city)
    blocks = feature_blocks.blocks_of(features.whole_days(ws, bed.city, None), workers=workers)
    with cluster.client(None, workers=workers) as client:
        client.run(warmed, warm)
        before = sum(client.run(time.process_time).values())
        used = once(lambda: sum(feature_blocks.build(client, where, blocks)))
        cpu_s = used.cpu_s + sum(client.run(time.process_time).values()) - before
        worker_mb = max(client.run(peak_mb).values())
    return Ran(wall_s=used.wall_s, cpu_s=cpu_s, worker_mb=worker_mb)


def _warm(bed: Bed) -> feature_blocks.Where:
    """A lake of two built days; this process has imported all that building takes."""
    ws = _filled(bed, 2, name="warm")
    features.build(ws, bed.city)
    return feature_blocks.Where(ws.settings, ws.clock, bed.city)


def warmed(where: feature_blocks.Where) -> None:
    """Import all that building takes: make the second day of a lake again, which changes none."""
    second = features.whole_days(where.opened(), where.city, None)[1]
    looked = feature_blocks.look(where, (second,))
    feature_blocks.make(where, looked, feature_blocks.known_before(where, second))


def _filled(bed: Bed, count: int, *, name: str) -> Workspace:
    """A workspace of its own with so many days of Boston, without features."""
    settings = load(bed.home, {}, {"workspace": f"bench-{name}", "default_city": "boston"})
    ws = open_workspace(settings, simulated=True)
    window = Window(END - timedelta(days=count), END)
    ingest.import_recording(ws, bed.city, bed.recordings / "boston", window=window)
    return ws


def peak_mb() -> float:
    """The most memory of this process; where there is no /proc, a parent's may be told."""
    import re
    import resource
    import sys
    from pathlib import Path

    status = Path("/proc/self/status")
    if status.is_file():  # ru_maxrss begins with what the process that forked this one held
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="ascii"))
        return int(found[1]) / 1024 if found else float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024**2 if sys.platform == "darwin" else 1024)
