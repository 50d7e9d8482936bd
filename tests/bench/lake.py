"""Parquet as the lake writes it, against pandas' defaults (snappy) on the same curated days.

The peer writes rows in the order in which polls arrive, as an ingest that appends them does.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from mlops_bikeshare.domain.tables import STATION_STATUS
from mlops_bikeshare.domain.windows import Window, stamp
from mlops_bikeshare.lake.compaction import compact_day
from mlops_bikeshare.lake.lake import Lake
from mlops_bikeshare.lake.local import LocalStore
from mlops_bikeshare.lake.parquet import decode, encode
from tests.bench.bed import Bed
from tests.bench.measure import Row, compare

if TYPE_CHECKING:
    import pandas as pd

SMALLER, FASTER = 2.0, 1.5
DAYS = 7


def parquet(bed: Bed) -> Iterator[Row]:
    import pandas as pd

    days = [
        bed.ws.lake.read(STATION_STATUS, city=bed.city.name, window=Window.day(day))
        for day in bed.window.days()[:DAYS]
    ]
    ours = [encode(STATION_STATUS, day) for day in days]
    theirs = [_snappy(day.sort_values("fetched_at", kind="stable")) for day in days]
    mb = [sum(map(len, bodies)) / 1e6 for bodies in (ours, theirs)]
    names = STATION_STATUS.names
    mine, peer = compare(
        lambda: [decode(body, names) for body in ours],
        lambda: [pd.read_parquet(io.BytesIO(body)) for body in theirs],
        repeats=3 if bed.quick else 9,
    )
    against = f"pandas' snappy, {len(days)} curated days"
    yield Row(
        name="lake.parquet_size", ours=mb[0], peer=mb[1], unit="MB", goal=SMALLER, against=against
    )
    yield Row(
        name="lake.parquet_read",
        ours=mine.cpu_s,
        peer=peer.cpu_s,
        unit="CPU s",
        goal=FASTER,
        against=against,
    )


def compaction(bed: Bed) -> Iterator[Row]:
    """A day of polls, an object each, against the same day compacted."""
    day, city = bed.window.days()[0], bed.city.name
    rows = bed.ws.lake.read(STATION_STATUS, city=city, window=Window.day(day))
    with TemporaryDirectory() as folder:
        parts, whole = (LocalStore(Path(folder) / name) for name in ("parts", "whole"))
        for _, poll in rows.groupby("slot"):
            name = stamp(poll["slot"].iloc[0])
            for store in (parts, whole):
                Lake(store).write(STATION_STATUS, poll, city=city, name=name)
        compact_day(Lake(whole), STATION_STATUS, city=city, day=day)
        mine, peer = compare(
            lambda: Lake(whole).read(STATION_STATUS, city=city),
            lambda: Lake(parts).read(STATION_STATUS, city=city),
            repeats=3,
        )
        mb = [_bytes(store) / 1e6 for store in (whole, parts)]
    against = f"the same day in {rows['slot'].nunique()} objects"
    yield Row(name="lake.compacted_size", ours=mb[0], peer=mb[1], unit="MB", against=against)
    yield Row(
        name="lake.compacted_read", ours=mine.cpu_s, peer=peer.cpu_s, unit="CPU s", against=against
    )


def _bytes(store: LocalStore) -> int:
    return sum(len(store.read(key)) for key in store.keys(STATION_STATUS.location))


def _snappy(frame: "pd.DataFrame") -> bytes:
    sink = io.BytesIO()
    frame.to_parquet(sink, index=False)
    return sink.getvalue()
