"""The feature kernel against pandas and DuckDB: the same rows in, the same columns out.

Compared are the lags, changes, flows and rolling statistics that the definition has; every side
makes exactly these, so nothing is scaled. Each side materialises float32 columns; before they are
timed, they must agree.
"""

import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.contract import to_arrow
from mlops_bikeshare.domain.tables import STATION_STATUS
from mlops_bikeshare.domain.windows import Window, to_seconds
from mlops_bikeshare.features.block import Block
from mlops_bikeshare.features.definition import FEATURES, LAGS_MIN, WINDOWS_MIN, compute
from mlops_bikeshare.features.grid import LOOKBACK, MISSING
from mlops_bikeshare.features.offline import build_day
from mlops_bikeshare.features.profiles import ProfileState
from mlops_bikeshare.features.rows import known_grid
from mlops_bikeshare.flows.features import OFFLINE, profiles_for
from mlops_bikeshare.lake.parquet import encode
from tests.bench import peers
from tests.bench.bed import Bed
from tests.bench.measure import BenchError, Row, compare, once
from tests.bench.tiles import tiled_stations, tiled_status

if TYPE_CHECKING:
    import pandas as pd

FASTER, FASTER_THAN_POLARS = 5.0, 4.0
WRITE_SHARE = 0.4  # the build may cost at most 2.5 times the writing of its result
ONLINE_STATIONS = 2400
_PAST = tuple(
    f"{name}_{word}_{minutes}"
    for name in ("bikes", "docks")
    for words, of in (
        (("lag", "delta"), LAGS_MIN),
        (("in", "out", "mean", "std", "min", "max"), WINDOWS_MIN),
    )
    for word in words
    for minutes in of
)
COMPARED = tuple(feature for feature in FEATURES if feature.name in _PAST)
WANTED = frozenset(feature.name for feature in COMPARED)


def offline(bed: Bed) -> Iterator[Row]:
    import pandas as pd

    dts = pd.DatetimeIndex(list(bed.window.steps())).as_unit("ms")
    ours = _by_day(bed)
    works: dict[str, Callable[[], pd.DataFrame]] = {
        "": lambda: peers.pandas_grouped(bed.status, dts, WANTED),
        "_wide": lambda: peers.pandas_wide(bed.status, dts, WANTED),
    }
    told = {"": "groupby", "_wide": "a slots x stations frame"}
    mine = pd.concat(ours())
    for suffix, work in works.items():
        _check_alike(mine, work())
        cost, peer = compare(ours, work, repeats=1 if suffix == "" or bed.quick else 3)
        yield Row(
            name=f"features.offline{suffix}",
            ours=cost.cpu_s,
            peer=peer.cpu_s,
            unit="CPU s",
            goal=FASTER,
            against=f"pandas, {told[suffix]}, {bed.days} days, {len(COMPARED)} features",
        )


def offline_polars(bed: Bed) -> Iterator[Row]:
    """Against Polars, which is not locked: in an environment of its own, thrown away after."""
    import pandas as pd

    ours, repeats = _by_day(bed), 1 if bed.quick else 3
    ask: dict[str, Any] = {
        "status": str(bed.home / "status.parquet"),
        "dts": [dt.isoformat() for dt in bed.window.steps()],
        "wanted": sorted(WANTED),
        "lags": LAGS_MIN,
        "windows": WINDOWS_MIN,
        "repeats": repeats,
    }
    read = ["station_id", "slot", "last_reported", *peers.COUNTS.values()]
    bed.status[read].to_parquet(ask["status"], index=False)
    told = _asked_polars(bed.home, ask)
    _check_sums(pd.concat(ours()), told["sums"])
    yield Row(
        name="features.offline_polars",
        ours=statistics.median(once(ours).cpu_s for _ in range(repeats)),
        peer=statistics.median(told["cpu_s"]),
        unit="CPU s",
        goal=FASTER_THAN_POLARS,
        against=f"Polars {told['version']}, {bed.days} days, {len(COMPARED)} features",
    )


def _asked_polars(home: Path, ask: dict[str, Any]) -> dict[str, Any]:
    uv, folder, question = shutil.which("uv"), home / "polars", home / "polars.json"
    if uv is None:
        raise BenchError("uv is not installed, which makes the environment of Polars")
    question.write_text(json.dumps(ask), encoding="utf-8")
    python = folder / "bin" / "python"
    script = Path(__file__).with_name("polars_peer.py")
    said = b""
    for command in (
        [uv, "venv", "--quiet", "--python", sys.executable, str(folder)],
        [uv, "pip", "install", "--quiet", "--python", str(python), "polars"],
        [str(python), str(script), str(question)],
    ):
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode:
            raise BenchError(f"Polars could not be run: {done.stderr.decode()[-300:]}")
        said = done.stdout
    told: dict[str, Any] = json.loads(said)
    return told


def _by_day(bed: Bed) -> "Callable[[], list[pd.DataFrame]]":
    """Ours: day by day, as the offline build goes."""
    days = bed.window.days()
    parts = [_of_day(bed.status, day) for day in days]
    steps = [list(Window.day(day).steps()) for day in days]

    def ours() -> "list[pd.DataFrame]":
        return [
            kernel(part, dts=of_day, stations=bed.stations, city=bed.city)
            for part, of_day in zip(parts, steps, strict=True)
        ]

    return ours


def offline_write(bed: Bed) -> Iterator[Row]:
    """Every feature of a day, against the cost of writing them as Parquet."""
    day = bed.window.days()[-1]
    part, profiles = _of_day(bed.status, day), profiles_for(bed.ws, bed.city, day)

    def build() -> "pd.DataFrame":
        return build_day(part, day=day, stations=bed.stations, city=bed.city, profiles=profiles)

    rows = build()
    ours, writing = compare(build, lambda: encode(OFFLINE, to_arrow(OFFLINE, rows)), repeats=5)
    yield Row(
        name="features.offline_write",
        ours=ours.cpu_s,
        peer=writing.cpu_s,
        unit="CPU s",
        goal=WRITE_SHARE,
        against=f"writing the result of a day, {len(FEATURES)} features",
    )


def online(bed: Bed) -> Iterator[Row]:
    import duckdb

    dt = bed.window.end - timedelta(hours=12)
    window = Window(dt - LOOKBACK, dt + timedelta(seconds=1))
    recent = bed.ws.lake.read(STATION_STATUS, city=bed.city.name, window=window)
    status = tiled_status(recent, bed.stations, count=ONLINE_STATIONS)
    stations = tiled_stations(bed.stations, count=ONLINE_STATIONS)
    connection = duckdb.connect()
    connection.execute("SET TimeZone='UTC'")

    def ours() -> "pd.DataFrame":
        return kernel(status, dts=[dt], stations=stations, city=bed.city)

    works: dict[str, Callable[[], pd.DataFrame]] = {
        "pandas": lambda: peers.pandas_online(status, dt, WANTED),
        "duckdb": lambda: peers.duckdb_online(connection, status, dt, WANTED),
    }
    for name, work in works.items():
        _check_alike(ours(), work())
        cost, peer = compare(ours, work, repeats=5 if bed.quick else 25)
        yield Row(
            name=f"features.online_{name}",
            ours=cost.cpu_s * 1000,
            peer=peer.cpu_s * 1000,
            unit="CPU ms",
            goal=FASTER,
            against=f"{name}, a dt of {len(stations):,} stations, {len(COMPARED)} features",
        )


def kernel(
    status: "pd.DataFrame", *, dts: Sequence[datetime], stations: "pd.DataFrame", city: City
) -> "pd.DataFrame":
    """The compared features by the project's own grid and definition, as a frame."""
    import pandas as pd

    window = Window(min(dts) - LOOKBACK, max(dts) + timedelta(seconds=1))
    grid = known_grid(status, window=window, stations=stations)
    seconds = np.array([to_seconds(dt) for dt in dts], dtype=np.int64)
    profiles = ProfileState.empty()
    block = Block.of(grid, dts=seconds, stations=stations, city=city, profiles=profiles)
    rows = compute(block, grid.bikes[block.places] != MISSING, COMPARED).T
    return pd.DataFrame(rows, columns=[f.name for f in COMPARED], copy=False)


def _of_day(status: "pd.DataFrame", day: date) -> "pd.DataFrame":
    whole = Window.day(day)
    known = (status["slot"] >= whole.start - LOOKBACK) & (status["slot"] < whole.end)
    return status[known].reset_index(drop=True)


def _check_alike(ours: "pd.DataFrame", theirs: "pd.DataFrame") -> None:
    _check_sums(ours, {name: np.nansum(theirs[name].to_numpy(np.float64)) for name in WANTED})


def _check_sums(ours: "pd.DataFrame", theirs: Mapping[str, float]) -> None:
    """Sums over all rows that exist; BenchError when a tool made something else."""
    for name, peer in sorted(theirs.items()):
        mine = np.nansum(ours[name].to_numpy(np.float64))
        if not np.isclose(mine, peer, rtol=1e-3, atol=1.0):
            raise BenchError(f"{name} differs from the peer's: {mine:.6g} and {peer:.6g}")
