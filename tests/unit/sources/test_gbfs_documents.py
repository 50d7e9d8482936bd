"""Real and published documents of every version, and what is refused."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from mlops_bikeshare.domain.errors import SourceError
from mlops_bikeshare.domain.tables import STATION_INFORMATION_RAW, STATION_STATUS_RAW
from mlops_bikeshare.lake.parquet import validate
from mlops_bikeshare.sources.gbfs import render
from mlops_bikeshare.sources.gbfs.discovery import STATUS, discover
from mlops_bikeshare.sources.gbfs.documents import parse
from mlops_bikeshare.sources.gbfs.ebikes import electric_types
from mlops_bikeshare.sources.gbfs.rows import information_rows, status_rows

NOW = datetime(2026, 6, 1, tzinfo=UTC)
BASE = "https://gbfs.example.org/v/gbfs.json"


def documents(recordings: Path, kind: str) -> list[Path]:
    folder = recordings / "gbfs_documents"
    if not folder.is_dir():
        pytest.skip("these recordings have no gbfs_documents")
    return sorted(path for path in folder.rglob("*.json") if kind in path.name)


@pytest.mark.recordings
def test_every_published_station_status_parses_whole(recordings: Path) -> None:
    paths = documents(recordings, "station_status")
    assert {path.parent.name for path in paths} >= {"v2.1", "v2.3", "v3.0", "v3.1-RC3", "velib"}
    for path in paths:
        document = parse(path.read_bytes())
        rows = status_rows(
            document.stations, fetched_at=NOW, observed_at=document.last_updated, electric=None
        )
        assert rows.refused is None, path
        assert len(rows.good) + rows.repeated == len(document.stations), path
        validate(STATION_STATUS_RAW, rows.good)


@pytest.mark.recordings
def test_every_published_station_information_parses_whole(recordings: Path) -> None:
    for path in documents(recordings, "station_information"):
        document = parse(path.read_bytes())
        rows = information_rows(document.stations, fetched_at=NOW, language="en")
        assert rows.refused is None, path
        assert len(rows.good) == len(document.stations), path
        named = [place["station_id"] for place in document.stations if "name" in place]
        assert rows.good.dropna(subset=["name"])["station_id"].tolist() == list(map(str, named))
        validate(STATION_INFORMATION_RAW, rows.good)


@pytest.mark.recordings
def test_every_published_discovery_document_lists_its_feeds(recordings: Path) -> None:
    paths = [p for p in documents(recordings, "gbfs") if "versions" not in p.name]
    assert len(paths) > 10
    for path in paths:
        if path.name == "entur_invalid_gbfs.json":
            with pytest.raises(SourceError, match="lists no feed"):
                discover(parse(path.read_bytes()), base=BASE)
        elif path.name != "not_json_404_body.json":
            assert discover(parse(path.read_bytes()), base=BASE).urls, path


@pytest.mark.recordings
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ecobici/not_json_404_body.json", "not valid JSON .* it begins '404 Not Found'"),
        ("v2.3/entur_free_bike_status_with_error.json", "data.stations; data holds bikes"),
    ],
)
def test_invalid_documents_are_refused_with_the_reason(
    recordings: Path, name: str, reason: str
) -> None:
    documents(recordings, "")
    with pytest.raises(SourceError, match=reason):
        _ = parse((recordings / "gbfs_documents" / name).read_bytes()).stations


@pytest.mark.recordings
def test_velib_without_last_updated_and_with_keys_of_its_own(recordings: Path) -> None:
    documents(recordings, "")
    path = recordings / "gbfs_documents" / "velib" / "velib_station_status.sample.json"
    document = parse(path.read_bytes())
    rows = status_rows(document.stations, fetched_at=NOW, observed_at=document.last_updated).good

    assert document.last_updated == datetime.fromtimestamp(1772634590, UTC)
    first = rows[rows["station_id"] == "213688169"].iloc[0]
    assert (first["num_bikes_available"], first["num_ebikes_available"]) == (13, 3)


def envelope(data: str) -> bytes:
    return ('{"last_updated": 1700000000, "ttl": 60, "data": ' + data + "}").encode()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "it is empty"),
        (b"\n <!DOCTYPE html><p>Down", "got HTML or XML"),
        (b'{"data": {"stations": [{"station_id": "1"', "not valid JSON"),
        (b"[1, 2]", "expected a JSON object, got a list"),
        (b'{"last_updated": 1, "ttl": 1}', "expected an object `data`, got nothing"),
        (b'{"data": {"x": NaN}}', "NaN is not JSON"),
        (b"\xff\xfe\x00", "not valid JSON"),
        (b"[" * 100_000, "nested too deep"),
        (envelope('{"stations": {}}'), "expected a list data.stations"),
        (envelope('{"stations": []}'), "nothing was observed"),
    ],
)
def test_what_is_no_station_document_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        _ = parse(body).stations


def test_a_byte_order_mark_and_a_missing_version_do_no_harm() -> None:
    document = parse(b"\xef\xbb\xbf" + envelope('{"stations": [{}]}'))

    assert (document.version, document.ttl_s) == ("1.0", 60)


@pytest.mark.parametrize("ttl", ["-5", '"60"', "true", "1e3", "null"])
def test_a_ttl_that_is_no_number_of_seconds_counts_as_none(ttl: str) -> None:
    assert parse(f'{{"ttl": {ttl}, "data": {{}}}}'.encode()).ttl_s == 0


LISTED = '[{"name": "station_status", "url": "%s"}]'


def test_the_language_asked_for_is_chosen_else_the_first() -> None:
    inner = ", ".join(f'"{lang}": {{"feeds": {LISTED % lang}}}' for lang in ("nl", "fr"))
    document = parse(envelope("{" + inner + "}"))

    assert discover(document, base=BASE, language="fr").language == "fr"
    assert discover(document, base=BASE, language="de").language == "nl"
    # A relative address is one below the document that names it.
    assert discover(document, base=BASE).url(STATUS) == "https://gbfs.example.org/v/nl"


def test_a_document_of_version_3_names_feeds_without_a_language() -> None:
    found = discover(parse(envelope('{"feeds": ' + LISTED % "https://x/s" + "}")), base=BASE)

    assert found.urls == {STATUS: "https://x/s"}


def test_a_system_without_stations_says_what_it_lists() -> None:
    listed = '{"feeds": [{"name": "free_bike_status", "url": "https://x/y"}, 7, {"name": 1}]}'
    found = discover(parse(envelope(listed)), base=BASE)

    with pytest.raises(SourceError, match="no station_status; it lists free_bike_status"):
        found.url(STATUS)


def test_electric_bikes_are_neither_scooters_nor_plain_bicycles() -> None:
    kinds = [
        ("b", "bicycle", "human"),
        ("e", "bicycle", "electric_assist"),
        ("c", "cargo_bicycle", "electric"),
        ("s", "scooter", "electric"),
    ]
    listed: list[object] = [
        {"vehicle_type_id": name, "form_factor": form, "propulsion_type": power}
        for name, form, power in kinds
    ]

    assert electric_types({"vehicle_types": [*listed, None]}) == {"e", "c"}
    assert electric_types({"vehicle_types": "none"}) == frozenset()


@pytest.mark.recordings
def test_vehicle_types_tell_which_bikes_are_electric(recordings: Path) -> None:
    documents(recordings, "")
    folder = recordings / "gbfs_documents"
    oslo = parse((folder / "oslo/station_status_1733010167.json").read_bytes())
    told = status_rows(
        oslo.stations, fetched_at=NOW, observed_at=oslo.last_updated, electric={"ebike"}
    ).good
    unknown = status_rows(oslo.stations, fetched_at=NOW, observed_at=oslo.last_updated).good
    assert told["num_ebikes_available"].notna().all()
    assert (told["num_ebikes_available"] <= told["num_bikes_available"]).all()
    assert unknown["num_ebikes_available"].isna().all()
    assert np.array_equal(told["num_bikes_available"], unknown["num_bikes_available"])


@pytest.mark.parametrize("version", render.VERSIONS)
def test_a_region_comes_through_and_one_that_is_no_id_is_not_given(version: str) -> None:
    listed = [
        {"station_id": str(i), "lat": 42.0, "lon": -71.0, "region_id": region}
        for i, region in enumerate(("8", 9, None, ["x"], ""))
    ]
    rows = information_rows([*listed, {"station_id": "bare"}], fetched_at=NOW).good
    known = rows["region_id"].astype(object).where(rows["region_id"].notna(), None)
    assert known.tolist() == ["8", "9", None, None, None, None]
    served = render.information(rows, at=NOW, version=render.checked(version), ttl_s=60)
    again = information_rows(served["data"]["stations"], fetched_at=NOW).good
    assert again["region_id"].equals(rows["region_id"])
    validate(STATION_INFORMATION_RAW, again)
