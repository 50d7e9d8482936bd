"""The simulator, and one poll of a live feed: parsed, validated, written.

The peer of the poll is the usual way: a DataFrame of the list, Pandera's schema of the table (the
same contract), snappy as pandas writes it. Both make the same raw and curated rows from the same
bytes of 2,400 stations, and both write to local files; before they are timed, they must agree.
"""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from mlops_bikeshare.domain.contract import to_frame
from mlops_bikeshare.domain.tables import STATION_STATUS, STATION_STATUS_RAW, pandera_schema
from mlops_bikeshare.domain.windows import stamp
from mlops_bikeshare.lake.lake import Lake
from mlops_bikeshare.lake.local import LocalStore
from mlops_bikeshare.lake.slots import poll_to_slot
from mlops_bikeshare.sources.gbfs import render
from mlops_bikeshare.sources.gbfs.documents import parse
from mlops_bikeshare.sources.gbfs.rows import status_rows
from mlops_bikeshare.sources.recorded import open_recording
from mlops_bikeshare.sources.simulator.simulate import simulate
from tests.bench.bed import Bed
from tests.bench.measure import BenchError, Row, compare

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

LIMIT_S = 10.0
START = date(2025, 6, 2)
STATIONS, FASTER = 2400, 3.0
AT = datetime(2021, 9, 1, 12, tzinfo=UTC)
_NUMBERS = [c.name for c in STATION_STATUS_RAW.columns if c.kind == "int16"]
_FLAGS = [c.name for c in STATION_STATUS_RAW.columns if c.kind == "bool"]


def simulated(bed: Bed) -> Iterator[Row]:
    work = partial(simulate, stations=300, days=21, seed=3, start=START, timezone="America/Toronto")
    (cost,) = compare(work, repeats=1 if bed.quick else 2)
    yield Row(name="sources.simulate", ours=cost.wall_s, peer=LIMIT_S, unit="s", against="limit")


def polled(bed: Bed) -> Iterator[Row]:
    body = _document(bed)
    with TemporaryDirectory(prefix="bikeshare-bench-") as folder:
        root, number = Path(folder), count()
        lake = Lake(LocalStore(root / "lake"))
        ours, theirs = partial(_ours, body, lake, number), partial(_theirs, body, root, number)
        _check_alike(ours(), theirs())
        mine, peer = compare(ours, theirs, repeats=5 if bed.quick else 25)
    yield Row(
        name="sources.poll",
        ours=mine.cpu_s * 1000,
        peer=peer.cpu_s * 1000,
        unit="CPU ms",
        goal=FASTER,
        against=f"pandas + Pandera + snappy, {STATIONS:,} stations, raw and curated",
    )


def _document(bed: Bed) -> bytes:
    """A document as a city of 2,400 stations publishes it: Boston six times over."""
    recording = open_recording(bed.recordings / "boston")
    rows = recording.poll(AT)
    if rows is None:
        raise BenchError(f"Boston has no poll at {AT:%F %H:%M}")
    document = render.status(rows, at=AT, version="2.3", ttl_s=60)
    once = document["data"]["stations"]
    copies = -(-STATIONS // len(once))
    tiled = [{**s, "station_id": f"{s['station_id']}-{i}"} for i in range(copies) for s in once]
    document["data"]["stations"] = tiled[:STATIONS]
    return json.dumps(document).encode()


def _ours(body: bytes, lake: Lake, number: "count[int]") -> "tuple[pa.Table, pa.Table]":
    fetched = AT + timedelta(seconds=next(number))
    document = parse(body)
    told = document.last_updated
    raw = status_rows(document.stations, fetched_at=fetched, observed_at=told).arrow
    slots = poll_to_slot(raw)
    lake.write(STATION_STATUS_RAW, raw, city="bench", name=stamp(fetched))
    lake.write(STATION_STATUS, slots, city="bench", name=stamp(fetched))
    return raw, slots


def _theirs(body: bytes, root: Path, number: "count[int]") -> "tuple[pd.DataFrame, pd.DataFrame]":
    import pandas as pd

    fetched = AT + timedelta(seconds=next(number))
    document = json.loads(body)
    frame = pd.DataFrame(document["data"]["stations"]).reindex(columns=STATION_STATUS_RAW.names)
    frame = frame.astype(dict.fromkeys(_NUMBERS, "Int16") | dict.fromkeys(_FLAGS, "boolean"))
    frame["last_reported"] = pd.to_datetime(frame["last_reported"], unit="s", utc=True)
    frame["observed_at"] = pd.to_datetime(document["last_updated"], unit="s", utc=True)
    frame["fetched_at"] = pd.Timestamp(fetched)
    frame = frame.sort_values("last_reported").drop_duplicates("station_id", keep="last")
    raw = pandera_schema(STATION_STATUS_RAW).validate(frame, lazy=True)
    slots = raw.assign(slot=raw["fetched_at"].dt.ceil("300s"))[STATION_STATUS.names]
    slots = pandera_schema(STATION_STATUS).validate(slots, lazy=True)
    raw.to_parquet(root / f"raw-{stamp(fetched)}.parquet", index=False)
    slots.to_parquet(root / f"slots-{stamp(fetched)}.parquet", index=False)
    return raw, slots


def _check_alike(
    ours: "tuple[pa.Table, pa.Table]", theirs: "tuple[pd.DataFrame, pd.DataFrame]"
) -> None:
    for mine, peer in zip(ours, theirs, strict=True):
        sums = [frame[_NUMBERS[:4]].sum().sum() for frame in (to_frame(mine), peer)]
        if len(mine) != len(peer) or sums[0] != sums[1]:
            raise BenchError(f"the peer made other rows: {len(mine)} and {len(peer)}, {sums}")
