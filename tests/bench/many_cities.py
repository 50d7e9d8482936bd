"""What features of many cities cost on Dask, for the sizing table of docs/scale.md.

`python -m tests.bench.many_cities [DAYS]` simulates cities, reads them into lakes of their own and
builds their features: by one process, and on clusters of one and two workers (one thread each), one
city after the other. Printed for each: CPU seconds of a city-day (of the workers, and of scheduler
and client, which are this process), the most memory of a worker, megabytes written, tasks. CPU
seconds are those of processes, which another load on the machine changes little.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.flows import features, ingest
from mlops_bikeshare.flows.scaling import cluster, feature_blocks
from mlops_bikeshare.settings import load
from mlops_bikeshare.sources.simulator.simulate import simulate
from tests.bench.scale import peak_mb, warmed

DAYS, START = 8, date(2025, 6, 2)
STATIONS, MORE_STATIONS = 400, 1600
MOST_CITIES = 4
TASKS_OF_A_BLOCK = 4
_HEAD = (
    "cities x days x stations",
    "workers",
    "CPU s a city-day",
    "of it scheduler and client",
    "MB a worker",
    "MB a city-day",
    "tasks",
)


def main(home: Path, days: int) -> None:
    """Measure and print, a line each."""
    small = _recordings(home, count=MOST_CITIES, stations=STATIONS, days=days)
    large = _recordings(home, count=1, stations=MORE_STATIONS, days=days)
    _say(*_HEAD)
    warm = _filled(home, "warm", small[:1])
    features.build(warm, _city(warm, 0))
    warmth = feature_blocks.Where(warm.settings, warm.clock, _city(warm, 0))
    for made, count, stations in ((small, 1, STATIONS), (large, 1, MORE_STATIONS)):
        ws = _filled(home, f"alone-{stations}", made[:count])
        began = time.process_time()
        features.build(ws, _city(ws, 0))
        _say(f"{count} x {days} x {stations}", "none", f"{_a_day(began, days):.2f}", "", "", "", "")
    for workers in (1, 2):
        with cluster.client(None, workers=workers) as client:
            client.run(warmed, warmth)
            for count in (1, 2, MOST_CITIES):
                ws = _filled(home, f"{workers}-{count}", small[:count])
                _on_dask(client, ws, count, days, stations=STATIONS, workers=workers)
    for stations, made in ((STATIONS, small), (MORE_STATIONS, large)):
        with cluster.client(None, workers=1) as client:
            client.run(warmed, warmth)
            ws = _filled(home, f"block-{stations}", made[:1])
            _on_dask(client, ws, 1, days, stations=stations, workers=1, longest=True)


def _on_dask(
    client: Any,
    ws: Workspace,
    count: int,
    days: int,
    *,
    stations: int,
    workers: int,
    longest: bool = False,
) -> None:
    """Build `count` cities and say what it took; `longest`: in blocks of seven days."""
    before, began, tasks = _cpu_s(client), time.process_time(), 0
    for city in (_city(ws, number) for number in range(count)):
        features.check_definition(ws, city)
        where = feature_blocks.Where(ws.settings, ws.clock, city)
        whole = features.whole_days(ws, city, None)
        blocks = (
            [tuple(whole[i : i + 7]) for i in range(0, len(whole), 7)]
            if longest
            else feature_blocks.blocks_of(whole, workers=workers)
        )
        tasks += TASKS_OF_A_BLOCK * len(blocks)
        sum(feature_blocks.build(client, where, blocks))
    own, spent = time.process_time() - began, _cpu_s(client) - before
    city_days = count * days
    written = sum(path.stat().st_size for path in ws.path.rglob("features/**/*") if path.is_file())
    _say(
        f"{count} x {days} x {stations}" + (", blocks of 7" if longest else ""),
        str(workers),
        f"{(spent + own) / city_days:.2f}",
        f"{own / city_days:.3f}",
        f"{max(client.run(peak_mb).values()):.0f}",
        f"{written / 1e6 / city_days:.1f}",
        str(tasks),
    )


def _recordings(home: Path, *, count: int, stations: int, days: int) -> list[Path]:
    made = []
    for seed in range(count):
        folder = home / f"recording-{stations}-{seed}"
        simulate(
            stations=stations, days=days, seed=seed, start=START, timezone="America/Toronto"
        ).write(folder)
        made.append(folder)
    return made


def _filled(home: Path, name: str, recordings: list[Path]) -> Workspace:
    """A workspace of its own, with a city for each recording and no features."""
    ws = open_workspace(load(home, {}, {"workspace": f"scale-{name}"}), simulated=True)
    for number, folder in enumerate(recordings):
        ingest.import_recording(ws, _city(ws, number), folder)
    return ws


def _city(ws: Workspace, number: int) -> City:
    return ws.settings.city(f"city{number}")


def _cpu_s(client: Any) -> float:
    return float(sum(client.run(time.process_time).values()))


def _a_day(began: float, days: int) -> float:
    return (time.process_time() - began) / days


def _say(*words: str) -> None:
    print("| " + " | ".join(words) + " |", flush=True)


@contextmanager
def _home() -> Iterator[Path]:
    """A folder of settings with the cities in it, gone with the block."""
    with tempfile.TemporaryDirectory(prefix="bikeshare-scale-") as folder:
        cities = "".join(
            f'[cities.city{n}]\ntimezone = "America/Toronto"\ncountry = "CA"\n'
            for n in range(MOST_CITIES)
        )
        (Path(folder) / "bikeshare.toml").write_text(f'default_city = "city0"\n{cities}')
        yield Path(folder)


if __name__ == "__main__":
    with _home() as found:
        main(found, int(sys.argv[1]) if len(sys.argv) > 1 else DAYS)
