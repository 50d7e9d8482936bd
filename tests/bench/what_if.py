"""What-if through the real endpoint: one station, another count, request kept; the host is real.

`as it is` is asked once before, as the page of a station does; what is timed is a slider's move.
"""

import statistics
from collections.abc import Iterator
from datetime import timedelta
from functools import partial

from mlops_bikeshare.flows import serve, what_if
from mlops_bikeshare.flows.releasing import placing
from mlops_bikeshare.flows.supposing.changes import Changes
from mlops_bikeshare.registry import versions
from tests.bench.bed import Bed
from tests.bench.measure import Row, once

LIMIT_MS = 100.0
MOVES, QUICK_MOVES = 41, 11


def moved(bed: Bed) -> Iterator[Row]:
    version = versions.find(bed.city.registered_model, bed.version.version)
    endpoint = bed.ws.settings.endpoint("prod", bed.city.name)
    with serve.hosting(bed.ws):
        placing.place(bed.ws, bed.city, version, endpoint=endpoint)
        known = what_if.prepare(bed.ws, bed.city, at=bed.window.end - timedelta(hours=4))
        bikes = zip(known.grid.stations, known.grid.bikes[-1].tolist(), strict=True)
        station = next(name for name, now in bikes if now > 0)
        most = known.holds(station)[1]
        ask = partial(what_if.ask, bed.ws, known, station_id=station)
        ask(Changes(bikes=0))
        count = QUICK_MOVES if bed.quick else MOVES
        waits = [
            1000 * once(partial(ask, Changes(bikes=i % (most + 1)))).wall_s for i in range(count)
        ]
    yield Row(
        name="dashboard.what_if",
        ours=statistics.median(waits),
        peer=LIMIT_MS,
        unit="ms",
        against=f"limit, one station of {len(known.grid.stations)}, features to kept request,"
        f" worst of {count} {max(waits):.0f} ms",
    )
