"""Parquet as the lake writes it, against pandas' defaults (snappy) on the same curated days.

The peer writes rows in the order in which polls arrive, as an ingest that appends them does. Both
read the columns that features are made of.
"""

import io
import statistics
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from mlops_bikeshare.domain.contract import to_frame
from mlops_bikeshare.domain.tables import STATION_STATUS, STATION_STATUS_RAW, Table
from mlops_bikeshare.domain.windows import Window, stamp
from mlops_bikeshare.lake import s3
from mlops_bikeshare.lake.compaction import compact_day
from mlops_bikeshare.lake.lake import Lake
from mlops_bikeshare.lake.local import LocalStore
from mlops_bikeshare.lake.parquet import decode, encode, validate
from mlops_bikeshare.sources.recorded import Recording, open_recording, poll_times
from tests.aws_wire import aws_on_the_wire
from tests.bench.bed import Bed
from tests.bench.measure import Row, compare, once

if TYPE_CHECKING:
    import pandas as pd

SMALLER, FASTER, FLAT = 2.0, 1.5, 0.8
DAYS, COPIES = 7, 6
NEEDED = {
    "station_id", "slot", "num_bikes_available", "num_docks_available", "is_installed",
    "is_renting", "is_returning", "last_reported", "fetched_at",
}  # fmt: skip
LARGE_FROM, LARGE_TO = datetime(2021, 6, 5, tzinfo=UTC), datetime(2021, 7, 4, tzinfo=UTC)


def parquet(bed: Bed) -> Iterator[Row]:
    days = [
        bed.ws.lake.read(STATION_STATUS, city=bed.city.name, window=Window.day(day))
        for day in bed.window.days()[:DAYS]
    ]
    against = f"pandas' snappy, {len(days)} curated days"
    yield from _layouts(STATION_STATUS, days, "parquet", against, repeats=3 if bed.quick else 9)


def parquet_large(bed: Bed) -> Iterator[Row]:
    """Twenty million raw rows: the polls of a month in a city of 2,400 stations."""
    recording = open_recording(bed.recordings / "boston")
    days = (_large_day(recording, day) for day in Window(LARGE_FROM, LARGE_TO).days())
    against = "pandas' snappy, 20 M raw rows in 29 days"
    yield from _layouts(STATION_STATUS_RAW, days, "parquet_large", against, repeats=3)


def _layouts(
    table: Table, days: "Iterable[pd.DataFrame]", name: str, against: str, *, repeats: int
) -> Iterator[Row]:
    import pandas as pd

    ours, theirs = [], []
    for day in days:
        ours.append(encode(table, validate(table, day)))
        theirs.append(_snappy(day.sort_values("fetched_at", kind="stable")))
    mb = [sum(map(len, bodies)) / 1e6 for bodies in (ours, theirs)]
    read = [name for name in table.names if name in NEEDED]
    mine, peer = compare(
        lambda: [len(decode(body, read)) for body in ours],
        lambda: [len(pd.read_parquet(io.BytesIO(body), columns=read)) for body in theirs],
        repeats=repeats,
    )
    common = {"against": against}
    yield Row(name=f"lake.{name}_size", ours=mb[0], peer=mb[1], unit="MB", goal=SMALLER, **common)
    yield Row(
        name=f"lake.{name}_read",
        ours=mine.cpu_s,
        peer=peer.cpu_s,
        unit="CPU s",
        goal=FASTER,
        **common,
    )


def _large_day(recording: Recording, day: date) -> "pd.DataFrame":
    """Six Bostons under ids of their own, each of another fortnight, so that none repeats one."""
    import pandas as pd

    parts = []
    for copy in range(COPIES):
        back = timedelta(days=14 * copy)
        rows = recording.polls(poll_times(Window.day(day + back)))
        moved = {name: rows[name] - back for name in ("fetched_at", "observed_at", "last_reported")}
        parts.append(rows.assign(station_id=f"{copy}-" + rows["station_id"], **moved))
    return pd.concat(parts, ignore_index=True)


def appends(bed: Bed) -> Iterator[Row]:
    """Polls written to S3 one by one: the last ones against the first ones."""
    yield _appended(bed, 200 if bed.quick else 500, "lake.s3_append")


def appends_large(bed: Bed) -> Iterator[Row]:
    """The same over ten thousand objects, five weeks of polls."""
    yield _appended(bed, 10_000, "lake.s3_append_large")


def _appended(bed: Bed, objects: int, name: str) -> Row:
    recording = open_recording(bed.recordings / "boston")
    poll = to_frame(recording.read_status(LARGE_FROM).rows)
    with aws_on_the_wire() as wire:
        client = s3.client("us-east-1", url=wire.url)
        client.create_bucket(Bucket="bikeshare-lake")
        lake = Lake(s3.S3Store(client, bucket="bikeshare-lake", folder="bench"))
        costs = [_append(lake, poll, number) for number in range(objects)]
    tenth = objects // 10
    # The very first put opens the connection.
    first, last = statistics.median(costs[1:tenth]), statistics.median(costs[-tenth:])
    against = f"the first of {objects:,} objects on moto's server; both in this process"
    return Row(name=name, ours=last, peer=first, unit="CPU ms", goal=FLAT, against=against)


def _append(lake: Lake, poll: "pd.DataFrame", number: int) -> float:
    at = LARGE_FROM + timedelta(minutes=5 * number)
    rows = poll.assign(fetched_at=at)
    cost = once(lambda: lake.write(STATION_STATUS_RAW, rows, city="bench", name=stamp(at)))
    return cost.cpu_s * 1000


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
        left = len(Lake(whole).keys(STATION_STATUS, city=city, day=day))
    against = f"the same day in {rows['slot'].nunique()} objects"
    one = f"limit: one of a table, city and day; {against}"
    yield Row(name="lake.compacted_objects", ours=left, peer=1, unit="objects", against=one)
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
