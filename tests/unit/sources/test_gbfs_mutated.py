"""Real documents, spoiled at random: no unhandled error, and every row that was left alone stays.

Three hundred mutations with a seed in every run, ten thousand in the long one.
"""

import copy
import json
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mlops_bikeshare.domain.errors import SourceError
from mlops_bikeshare.domain.tables import (
    QUARANTINED_ROWS,
    STATION_INFORMATION_RAW,
    STATION_STATUS_RAW,
)
from mlops_bikeshare.lake.parquet import encode, validate
from mlops_bikeshare.sources.gbfs.discovery import discover
from mlops_bikeshare.sources.gbfs.documents import parse
from mlops_bikeshare.sources.gbfs.ebikes import electric_types
from mlops_bikeshare.sources.gbfs.rows import Rows, information_rows, status_rows

NOW = datetime(2026, 6, 1, tzinfo=UTC)
MOST_STATIONS = 40  # of a document: a mutation is one in forty, and ten thousand take a minute
ODD: list[Any] = [
    None, True, False, -1, 0, 1e308, -0.5, 2**31, 10**20, 10**400, "", "x", "5", "\ud800", "\x00",
    [], {}, [1], {"a": 1}, "2024-01-01T00:00:00Z", "9999-12-31T23:59:59+23:59", "now", 1e-320,
]  # fmt: skip


def read(body: bytes, kind: str) -> Rows:
    document = parse(body)
    if kind == "status":
        electric = electric_types(document.data) or {"ebike"}
        return status_rows(
            document.stations, fetched_at=NOW, observed_at=document.last_updated, electric=electric
        )
    return information_rows(document.stations, fetched_at=NOW, language="en")


def stored(rows: Rows, kind: str) -> set[str]:
    """The ids kept, after the way into the lake was gone to its end."""
    table = STATION_STATUS_RAW if kind == "status" else STATION_INFORMATION_RAW
    encode(table, validate(table, rows.good))
    if rows.refused is not None:
        encode(QUARANTINED_ROWS, validate(QUARANTINED_ROWS, rows.refused))
    return set(rows.good["station_id"])


def shortened(path: Path) -> Any:
    document = json.loads(path.read_bytes())
    document["data"]["stations"] = document["data"]["stations"][:MOST_STATIONS]
    return document


def spoil_station(document: Any, rng: random.Random) -> set[str]:
    """Change one station in some way; the ids of the others."""
    stations = document["data"]["stations"]
    place = rng.randrange(len(stations))
    kept = {str(s["station_id"]) for i, s in enumerate(stations) if i != place}
    station = stations[place]
    how = rng.randrange(4)
    if how == 0:
        stations[place] = copy.deepcopy(rng.choice(ODD))
    elif how == 1:
        station.pop(rng.choice(list(station)))
    elif how == 2:  # another key, or a known one in the wrong place
        station[rng.choice(["", "data", "num_ebikes_available", "vehicle_types_available"])] = (
            copy.deepcopy(rng.choice(ODD))
        )
    else:
        station[rng.choice(list(station))] = copy.deepcopy(rng.choice(ODD))
    return kept - {str(station.get("station_id"))}


def spoil_envelope(document: Any, rng: random.Random) -> None:
    target = rng.choice([document, document["data"]])
    target[rng.choice(list(target))] = copy.deepcopy(rng.choice(ODD))


def spoil_bytes(body: bytes, rng: random.Random) -> bytes:
    place, size = rng.randrange(len(body)), rng.choice([1, 1, 4, 40])
    how = rng.randrange(4)
    if how == 0:
        return body[:place]
    if how == 1:
        return body[:place] + rng.randbytes(size) + body[place + size :]
    if how == 2:
        return body[:place] + body[place + size :]
    return body[:place] + body[place : place + size] * 3 + body[place:]


def mutate(paths: dict[Path, str], *, times: int, seed: int) -> tuple[int, int]:
    """How many mutated documents were read, and refused."""
    rng = random.Random(seed)
    originals = {path: json.dumps(shortened(path)) for path in paths}
    read_, refused = 0, 0
    for _ in range(times):
        path = rng.choice(list(paths))
        document, kept = json.loads(originals[path]), set[str]()
        kind = paths[path]
        how = rng.choice(["station", "station", "envelope", "bytes"])
        if how == "station":
            kept = spoil_station(document, rng)
        elif how == "envelope":
            spoil_envelope(document, rng)
        body = json.dumps(document).encode()
        try:
            rows = read(spoil_bytes(body, rng) if how == "bytes" else body, kind)
        except SourceError:
            assert how != "station"
            refused += 1
            continue
        assert stored(rows, kind) >= kept
        read_ += 1
    return read_, refused


@pytest.fixture(scope="module")
def station_documents(recordings: Path) -> dict[Path, str]:
    folder = recordings / "gbfs_documents"
    if not folder.is_dir():
        pytest.skip("these recordings have no gbfs_documents")
    named = {"station_status": "status", "station_information": "information"}
    return {
        path: kind
        for path in sorted(folder.rglob("*.json"))
        for word, kind in named.items()
        if word in path.name
    }


@pytest.mark.recordings
def test_mutated_documents_keep_every_good_row(station_documents: dict[Path, str]) -> None:
    read_, refused = mutate(station_documents, times=300, seed=1)

    assert read_ > 150
    assert refused > 30


@pytest.mark.long
@pytest.mark.recordings
def test_ten_thousand_mutated_documents_keep_every_good_row(
    station_documents: dict[Path, str],
) -> None:
    assert sum(mutate(station_documents, times=10_000, seed=2)) == 10_000


@pytest.mark.recordings
def test_mutated_discovery_documents_are_read_or_refused(recordings: Path) -> None:
    rng = random.Random(5)
    bodies = [p.read_bytes() for p in (recordings / "gbfs_documents").rglob("*gbfs.json")]
    refused = 0
    for _ in range(400):
        try:
            assert discover(parse(spoil_bytes(rng.choice(bodies), rng)), base="http://x/").urls
        except SourceError:
            refused += 1
    assert 0 < refused < 400
