"""What a bench reports, and how it is measured.

Every figure is a cost (seconds, milliseconds, megabytes), so smaller is better and
`ratio` = peer / ours: above 1 ours is better. CPU seconds include all threads; they are what a
comparison uses on a machine that others load too, wall seconds are what a promise is made in.
"""

import resource
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SAMPLE_S = 0.5
HEADS = ("name", "ours", "peer", "unit", "ratio", "goal", "met", "against")
NUMBERS = ("ours", "peer", "ratio", "goal")


class BenchError(Exception):
    """A bench could not be run; its row is printed as skipped, with this as the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One comparison. `against` says what the peer is; a skipped row has neither figure."""

    name: str
    unit: str
    against: str
    ours: float | None = None
    peer: float | None = None
    goal: float = 1.0

    @property
    def ratio(self) -> float | None:
        """How many times ours is better; None without two figures."""
        return self.peer / self.ours if self.ours and self.peer is not None else None

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None for a row that was not measured."""
        return None if self.ratio is None else self.ratio >= self.goal

    def to_json(self) -> dict[str, Any]:
        """Plain values of every head."""
        return {name: getattr(self, name) for name in HEADS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a piece of work cost; `peak_mb` sums the resident memory of a tree of processes."""

    wall_s: float
    cpu_s: float
    peak_mb: float | None = None


def compare(*works: Callable[[], object], repeats: int) -> list[Usage]:
    """The median cost of each of `works`, run in turns so that a busy moment hits them all."""
    seen: list[list[Usage]] = [[] for _ in works]
    for _ in range(repeats):
        for work, costs in zip(works, seen, strict=True):
            costs.append(once(work))
    return [_median(costs) for costs in seen]


def once(work: Callable[[], object]) -> Usage:
    """The cost of one call in this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Usage(wall_s=time.perf_counter() - wall, cpu_s=time.process_time() - cpu)


def child(
    command: Sequence[str], *, cwd: Path, env: Mapping[str, str], allowed: Iterable[int] = (0,)
) -> Usage:
    """The cost of a command and of every process it starts; BenchError for another exit code."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=cwd, env=dict(env), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    with _PeakOfTree(process.pid) as peak:
        _, said = process.communicate()
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode not in allowed:
        last = (said.decode("utf-8", "replace").strip().splitlines() or ["no message"])[-1]
        raise BenchError(f"{Path(command[0]).name} ended with {process.returncode}: {last}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Usage(wall_s=wall, cpu_s=cpu, peak_mb=peak.mb)


def table(rows: Sequence[Row]) -> str:
    """Aligned plain text; a goal not reached says MISSED, a row not measured says why."""
    lines = [HEADS, *(_cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADS))]
    return "\n".join(
        "  ".join(_aligned(*cell) for cell in zip(HEADS, line, widths, strict=True)).rstrip()
        for line in lines
    )


def tree_kb(listing: str, root: int) -> int:
    """Resident kilobytes of `root` and its descendants, from lines of `pid ppid rss`."""
    known = [tuple(map(int, line.split())) for line in listing.splitlines() if line.strip()]
    children: dict[int, list[int]] = {}
    for pid, parent, _ in known:
        children.setdefault(parent, []).append(pid)
    tree, ahead = {root}, [root]
    while ahead:
        found = [pid for pid in children.get(ahead.pop(), []) if pid not in tree]
        tree.update(found)
        ahead += found
    return sum(rss for pid, _, rss in known if pid in tree)


class _PeakOfTree:
    """Samples the tree's memory in a thread; shared pages count once per process (too much)."""

    def __init__(self, root: int) -> None:
        self.mb = 0.0
        self._root = root
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "_PeakOfTree":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(SAMPLE_S):
            command = ["ps", "-axo", "pid=,ppid=,rss="]
            listing = subprocess.run(command, capture_output=True, text=True, check=False).stdout
            self.mb = max(self.mb, tree_kb(listing, self._root) / 1024)


def _median(costs: Sequence[Usage]) -> Usage:
    return Usage(
        wall_s=statistics.median(cost.wall_s for cost in costs),
        cpu_s=statistics.median(cost.cpu_s for cost in costs),
    )


def _cells(row: Row) -> tuple[str, ...]:
    said = {True: "yes", False: "MISSED", None: "skipped"}[row.met]
    figures = {name: _figure(getattr(row, name)) for name in NUMBERS}
    return tuple(said if name == "met" else figures.get(name) or _text(row, name) for name in HEADS)


def _text(row: Row, name: str) -> str:
    return str(getattr(row, name))


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _aligned(head: str, text: str, width: int) -> str:
    return text.rjust(width) if head in NUMBERS else text.ljust(width)
