"""A batch of 2,400 stations × 12 horizons × 2 targets, lake to written predictions.

The host and the workers are real processes. Each batch starts with nothing of the lake in memory,
as a batch in a process of its own would.
"""

import statistics
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import numpy as np

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.clock import SimulatedClock
from mlops_bikeshare.domain.tables import PROFILES, STATION_INFORMATION_RAW, STATION_STATUS
from mlops_bikeshare.domain.windows import Window, stamp
from mlops_bikeshare.features.definition import FEATURE_NAMES
from mlops_bikeshare.features.grid import LOOKBACK
from mlops_bikeshare.flows import features, infer, serve
from mlops_bikeshare.flows.features import OFFLINE
from mlops_bikeshare.flows.releasing import placing
from mlops_bikeshare.registry import versions
from mlops_bikeshare.serving.predict import invoke
from mlops_bikeshare.settings import Stage
from tests.bench.bed import Bed
from tests.bench.measure import BenchError, Row, once
from tests.bench.tiles import tiled_stations, tiled_status

STATIONS = 2400
ENDPOINT = "bikeshare-bench-many"
LIMIT_S = 1.0
MANY = 100_000
BATCHES, QUICK_BATCHES = 7, 3
STAGES: dict[str, Stage] = {
    "infer.batch_2400": "staging",
    "infer.batch_2400_two_endpoints": "prod",
}


def batch(bed: Bed) -> Iterator[Row]:
    learned = versions.find(bed.city.registered_model, bed.version.version)
    of_tiles = {**learned.tags, versions.CITY_TAG: bed.tiled.name}  # the same stations, six times
    version = replace(learned, tags=of_tiles)
    first = bed.window.end - timedelta(hours=12)
    times = [first + timedelta(minutes=10 * i) for i in range(2 * BATCHES)]
    _fill(bed, Window(first - LOOKBACK, times[-1] + timedelta(seconds=1)))
    with serve.hosting(bed.ws):
        for name, stage in STAGES.items():
            endpoint = bed.ws.settings.endpoint(stage, bed.tiled.name)
            placing.place(bed.ws, bed.tiled, version, endpoint=endpoint)
            count = QUICK_BATCHES if bed.quick else BATCHES
            asked, times = times[:count], times[count:]
            seconds = [once(partial(_batch, bed, dt)).wall_s for dt in asked]
            yield Row(
                name=name,
                ours=statistics.median(seconds),
                peer=LIMIT_S,
                unit="s",
                against=f"limit, {STATIONS:,} stations x 12 horizons x 2 targets, worst of"
                f" {count} {max(seconds):.2f} s",
            )


def linear(bed: Bed) -> Iterator[Row]:
    """The model's part of a batch of 100,000 stations, against that of 2,400 scaled up."""
    version = versions.find(bed.city.registered_model, bed.version.version)
    rows = bed.ws.lake.read(OFFLINE, city=bed.city.name, window=bed.split.calibrate)
    few = rows[list(FEATURE_NAMES)].head(STATIONS).reset_index(drop=True)
    many = few.loc[np.arange(MANY) % STATIONS].reset_index(drop=True)
    dt = bed.window.end - timedelta(hours=1)
    with serve.hosting(bed.ws):
        placing.place(bed.ws, bed.city, version, endpoint=ENDPOINT)
        ask = partial(invoke, bed.ws.clients, ENDPOINT, dt=dt, patience=infer.ONE_BY_ONE)
        ask(few)
        scaled = statistics.median(once(partial(ask, few)).wall_s for _ in range(BATCHES))
        asked = once(partial(ask, many)).wall_s
    yield Row(
        name="infer.stations_100000",
        ours=asked,
        peer=scaled * MANY / STATIONS,
        unit="s",
        goal=0.8,
        against=f"{STATIONS:,} stations x {MANY / STATIONS:.1f}: linear is a ratio of 1",
    )


def _batch(bed: Bed, dt: datetime) -> None:
    ws = Workspace(bed.ws.settings, SimulatedClock(dt))  # its lake remembers nothing
    for done in infer.infer(ws, bed.tiled, at=dt):
        if done.failure or done.rows < 0.9 * STATIONS * 12:
            raise BenchError(f"{done.endpoint} wrote {done.rows} rows: {done.failure or 'too few'}")


def _fill(bed: Bed, window: Window) -> None:
    """The tiled city's stations, profiles, and one curated object per poll."""
    lake, city = bed.ws.lake, bed.tiled.name
    features.check_definition(bed.ws, bed.tiled)  # signs an empty lake
    stations = tiled_stations(bed.stations, count=STATIONS)
    lake.write(STATION_INFORMATION_RAW, stations, city=city, name="stations")
    day = Window.day(window.start.date())
    usual = lake.read(PROFILES, city=bed.city.name, window=day)
    tiled = tiled_status(usual, bed.stations, count=STATIONS)
    lake.write(PROFILES, tiled, city=city, name=features.OBJECT)
    rows = lake.read(STATION_STATUS, city=bed.city.name, window=window)
    for slot, poll in rows.groupby("slot"):
        one = tiled_status(poll, bed.stations, count=STATIONS)
        lake.write(STATION_STATUS, one, city=city, name=stamp(slot))  # type: ignore[arg-type]
