"""A season of a large city through the offline build, in a process of its own.

`python -m tests.bench.season DAYS STATIONS` makes polls day by day (seeded random walks: what
counts is how many there are), builds every feature of each day with the profiles of the days
before, drops the result, and prints JSON: raw rows, CPU seconds of the build by day (making the
polls is not counted) and the peak of its memory (which counts all).
"""

import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.windows import DAY_S, SLOT_S, Window
from mlops_bikeshare.features.grid import LOOKBACK
from mlops_bikeshare.features.offline import day_grid, day_rows
from mlops_bikeshare.features.profiles import ProfileState
from tests.bench.bed import ROOT, Bed
from tests.bench.measure import Row, child

if TYPE_CHECKING:
    import pandas as pd

DAYS, STATIONS = 29, 2400  # 20 million rows
FIRST = date(2025, 6, 2)
DOCKS = 30
LIMIT_GB, GROWTH = 2.0, 1.25
_SLOTS = DAY_S // SLOT_S
_BEFORE = int(LOOKBACK.total_seconds()) // SLOT_S


def season(bed: Bed) -> Iterator[Row]:
    """Memory, and whether a later day costs what an early one did."""
    report = bed.home / "season.json"
    command = [sys.executable, "-m", "tests.bench.season", str(DAYS), str(STATIONS), str(report)]
    usage = child(command, cwd=ROOT, env=os.environ)
    told = json.loads(report.read_text(encoding="utf-8"))
    days, rows = told["day_cpu_s"], told["raw_rows"]
    rate = f"{rows / sum(days):,.0f} rows a CPU s"
    yield Row(
        name="features.season_memory",
        ours=(usage.peak_mb or 0) / 1024,
        peer=LIMIT_GB,
        unit="GB",
        against=f"limit, {rows:,} raw rows, {told['features']} features, {rate}",
    )
    half = len(days) // 2
    yield Row(
        name="features.season_linear",
        ours=float(np.median(days[-half:])),
        peer=GROWTH * float(np.median(days[:half])),
        unit="CPU s",
        against=f"a day of the second half; limit {GROWTH:g} times one of the first",
    )


def run(days: int, stations: int) -> dict[str, Any]:
    """Build the season."""
    rng = np.random.default_rng(0)
    listed, city = _listed(stations, rng), City(name="season", timezone="UTC", country="CA")
    polls = _polls(listed["station_id"].tolist(), rng)
    state, cost, raw, width = ProfileState.empty(), [], 0, 0
    for day in (FIRST + timedelta(days=i) for i in range(days)):
        status = next(polls)
        raw += stations * _SLOTS
        began = time.process_time()
        grid = day_grid(status, day=day, stations=listed)
        rows = day_rows(grid, day=day, stations=listed, city=city, profiles=state)
        state = state.update(grid, day=day, zone=city.zone)
        cost.append(time.process_time() - began)
        width = rows.values.shape[1]
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"raw_rows": raw, "features": width, "day_cpu_s": cost, "peak_kb": peak_kb}


def _listed(stations: int, rng: np.random.Generator) -> "pd.DataFrame":
    import pandas as pd

    lat, lon = 45.5 + rng.normal(0, 0.05, stations), -73.6 + rng.normal(0, 0.07, stations)
    ids = [f"{i:05}" for i in range(stations)]
    return pd.DataFrame({"station_id": ids, "lat": lat, "lon": lon, "capacity": np.int16(DOCKS)})


def _polls(ids: list[str], rng: np.random.Generator) -> "Iterator[pd.DataFrame]":
    """The curated slots of each day and of its look-back."""
    import pandas as pd

    names = np.array(ids)
    bikes = rng.integers(0, DOCKS, (_BEFORE, len(ids)), dtype=np.int16)
    day = FIRST
    while True:
        steps = rng.integers(-1, 2, (_SLOTS, len(ids)), dtype=np.int16)
        walk = np.abs((bikes[-1] + np.cumsum(steps, axis=0, dtype=np.int16)) % (2 * DOCKS))
        bikes = np.vstack([bikes[-_BEFORE:], np.minimum(walk, 2 * DOCKS - walk)])
        start = Window.day(day).start - LOOKBACK
        at = pd.date_range(start, periods=len(bikes), freq=f"{SLOT_S}s").as_unit("ms")
        slot = at.repeat(len(ids))
        yield pd.DataFrame(
            {
                "station_id": pd.array(np.tile(names, len(bikes)), dtype="str"),
                **dict.fromkeys(("slot", "last_reported", "observed_at", "fetched_at"), slot),
                "num_bikes_available": bikes.reshape(-1),
                "num_docks_available": (DOCKS - bikes).reshape(-1),
                **dict.fromkeys(("is_installed", "is_renting", "is_returning"), True),
            }
        )
        day += timedelta(days=1)


if __name__ == "__main__":
    done = run(int(sys.argv[1]), int(sys.argv[2]))
    Path(sys.argv[3]).write_text(json.dumps(done), encoding="utf-8")
