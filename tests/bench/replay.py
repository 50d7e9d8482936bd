"""Whole demos in processes of their own, with the memory of the tree: minutes, so `--long`."""

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from tests.bench.bed import Bed, fresh_home
from tests.bench.measure import Row, Usage, child

DAY_S = 120.0
REFUSED = 1  # the gate said no, and the report says why: the demo ran all the same


@dataclass(frozen=True, slots=True)
class Demo:
    """What a demo cost, and the seconds of its replayed day."""

    usage: Usage
    replay_s: float
    batches: int
    verdict: str


def demo(bed: Bed) -> Iterator[Row]:  # noqa: ARG001 - every bench takes a bed
    seen = _run()
    yield from _rows("replay.demo", seen, seconds=180, gigabytes=3)


def demo_boston(bed: Bed) -> Iterator[Row]:
    seen = _run("--recording", str(bed.recordings / "boston"), "--city", "boston")
    yield from _rows("replay.demo_boston", seen, seconds=360, gigabytes=4)
    against = f"limit, {seen.batches} batches, 2 endpoints"
    yield Row(name="replay.day", ours=seen.replay_s, peer=DAY_S, unit="s", against=against)


def _run(*options: str) -> Demo:
    command = [sys.executable, "-m", "mlops_bikeshare", "demo", *options]
    with fresh_home() as home:
        usage = child(command, cwd=home, env=os.environ, allowed=(0, REFUSED))
        report = json.loads((home / "var" / "demo" / "report.json").read_text(encoding="utf-8"))
    replay = report["replay"]
    return Demo(usage, replay["seconds"], replay["batches"], report["gate"]["verdict"])


def _rows(name: str, seen: Demo, *, seconds: float, gigabytes: float) -> Iterator[Row]:
    against = f"limit, {seen.usage.cpu_s:.0f} CPU s, gate {seen.verdict}"
    yield Row(name=name, ours=seen.usage.wall_s, peer=seconds, unit="s", against=against)
    yield Row(
        name=f"{name}_memory",
        ours=(seen.usage.peak_mb or 0) / 1024,
        peer=gigabytes,
        unit="GB",
        against="limit, resident memory of the process tree",
    )
