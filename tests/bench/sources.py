"""The simulator: a city of 300 stations for 21 days."""

from collections.abc import Iterator
from datetime import date
from functools import partial

from mlops_bikeshare.sources.simulator.simulate import simulate
from tests.bench.bed import Bed
from tests.bench.measure import Row, compare

LIMIT_S = 10.0
START = date(2025, 6, 2)


def simulated(bed: Bed) -> Iterator[Row]:
    work = partial(simulate, stations=300, days=21, seed=3, start=START, timezone="America/Toronto")
    (cost,) = compare(work, repeats=1 if bed.quick else 2)
    yield Row(name="sources.simulate", ours=cost.wall_s, peer=LIMIT_S, unit="s", against="limit")
