"""One station at a time: what is kept, what is refused, what is unknown."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from mlops_bikeshare.domain.tables import QUARANTINED_ROWS, STATION_STATUS_RAW
from mlops_bikeshare.lake.parquet import encode, validate
from mlops_bikeshare.sources.gbfs.rows import Rows, information_rows, status_rows

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
REPORTED = int((NOON - timedelta(minutes=3)).timestamp())


def station(**changes: Any) -> dict[str, Any]:
    row = {
        "station_id": "007",
        "num_bikes_available": 3,
        "num_docks_available": 9,
        "is_installed": True,
        "is_renting": True,
        "is_returning": True,
        "last_reported": REPORTED,
    }
    return {name: value for name, value in {**row, **changes}.items() if value is not ...}


def read(*stations: Any, observed_at: datetime | None = NOON) -> Rows:
    rows = status_rows(stations, fetched_at=NOON, observed_at=observed_at)
    encode(STATION_STATUS_RAW, validate(STATION_STATUS_RAW, rows.good))
    if rows.refused is not None:
        encode(QUARANTINED_ROWS, validate(QUARANTINED_ROWS, rows.refused))
    return rows


def only(rows: Rows) -> Any:
    assert rows.refused is None
    assert len(rows.good) == 1
    return rows.good.iloc[0]


def test_numbers_flags_and_times_of_version_1_read_as_those_of_version_2() -> None:
    old = station(is_installed=1, is_renting=0, is_returning=1)
    new = station(is_renting=False)

    pd.testing.assert_frame_equal(read(old).good, read(new).good)


def test_version_3_names_vehicles_and_writes_times_as_text() -> None:
    row = station(
        num_bikes_available=...,
        num_vehicles_available=3,
        num_vehicles_disabled=1,
        last_reported="2024-05-01T13:57:00+02:00",
    )

    found = only(read(row))
    assert (found["num_bikes_available"], found["num_bikes_disabled"]) == (3, 1)
    assert found["last_reported"] == pd.Timestamp(REPORTED, unit="s", tz="UTC")


def test_what_a_station_does_not_say_is_unknown() -> None:
    bare = {"station_id": 42, "num_bikes_available": 0}

    found = only(read(bare))
    assert found["station_id"] == "42"
    assert found["num_bikes_available"] == 0
    unknown = [n for n in STATION_STATUS_RAW.names if pd.isna(found[n])]
    assert len(unknown) == 8


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"num_bikes_available": -1},
            "num_bikes_available: expected a whole number from 0 to 2000",
        ),
        ({"num_bikes_available": ...}, "num_bikes_available: .*, got nothing"),
        ({"num_docks_available": "many"}, 'num_docks_available: .*, got "many"'),
        ({"num_docks_available": 2.5}, "num_docks_available: .*, got 2.5"),
        ({"num_bikes_disabled": True}, "num_bikes_disabled: .*, got true"),
        ({"num_docks_disabled": 10**400}, "num_docks_disabled: .*, got 1000"),
        ({"num_docks_available": 2001}, "from 0 to 2000, got 2001"),
        ({"is_renting": "sometimes"}, 'is_renting: expected true or false, got "sometimes"'),
        ({"is_renting": [1]}, r"is_renting: expected true or false, got \[1\]"),
        ({"station_id": ""}, "station_id: expected an id of 1 to 255 characters"),
        ({"station_id": None}, "station_id: .*, got nothing"),
        ({"station_id": "\ud800"}, "station_id: "),
    ],
)
def test_a_row_that_breaks_the_contract_is_refused_and_its_neighbours_go_on(
    change: dict[str, Any], reason: str
) -> None:
    rows = read(station(station_id="1"), station(**change), station(station_id="2"))

    assert rows.good["station_id"].tolist() == ["1", "2"]
    assert rows.refused is not None
    assert rows.refused["position"].tolist() == [1]
    assert rows.refused["reason"].str.contains(reason).all()


def test_entries_that_are_no_objects_are_refused_at_their_place() -> None:
    rows = read("x", station(), None, station(num_bikes_available=-1))

    assert rows.refused is not None
    assert rows.refused["position"].tolist() == [0, 2, 3]
    assert rows.refused["row"].tolist()[:2] == ['"x"', "null"]


def test_of_a_station_listed_twice_the_newest_report_stays_and_the_rest_is_counted() -> None:
    old = station(num_bikes_available=9, last_reported=86_400)
    rows = read(station(station_id="1"), old, station(), old)

    assert rows.good["num_bikes_available"].tolist() == [3, 3]
    assert rows.repeated == 2


def test_a_good_row_beats_a_newer_one_that_is_refused() -> None:
    rows = read(station(last_reported=REPORTED - 60), station(num_bikes_available=-4))

    assert rows.good["num_bikes_available"].tolist() == [3]
    assert rows.repeated == 0


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (REPORTED * 1000, REPORTED),  # milliseconds
        (str(REPORTED), REPORTED),
        (86_400, 86_400),  # long ago is kept: it ages the row
        (0, 0),
        (-1, None),
        (10**30, None),
        ("now", None),
        ("2024-13-45T00:00:00Z", None),
        ({"at": 1}, None),
        (int(NOON.timestamp()) + 120, int(NOON.timestamp()) + 120),  # clocks differ a little
        (int(NOON.timestamp()) + 3600, None),  # a wrong clock
    ],
)
def test_a_report_time_is_read_or_unknown_and_costs_no_row(value: Any, expected: Any) -> None:
    found = only(read(station(last_reported=value)))["last_reported"]

    if expected is None:
        assert pd.isna(found)
    else:
        assert found == pd.Timestamp(expected, unit="s", tz="UTC")


def test_a_document_without_a_time_is_as_old_as_its_newest_report() -> None:
    rows = read(station(), station(station_id="8", last_reported=REPORTED - 9), observed_at=None)

    assert set(rows.good["observed_at"]) == {pd.Timestamp(REPORTED, unit="s", tz="UTC")}
    silent = read(station(last_reported=...), observed_at=None)
    assert set(silent.good["observed_at"]) == {pd.Timestamp(NOON)}


@pytest.mark.parametrize(
    ("said", "electric"),
    [
        ({"num_ebikes_available": 2}, 2),
        ({"num_ebikes_available": "x"}, None),
        ({"num_ebikes_available": -2}, None),
        ({"num_bikes_available_types": [{"mechanical": 1}, {"ebike": 2}]}, 2),
        ({"vehicle_types_available": [{"vehicle_type_id": "e", "count": 2}, "?"]}, 2),
        ({"vehicle_types_available": [{"vehicle_type_id": "e", "count": "2"}]}, None),
        ({"vehicle_types_available": 5}, None),
        ({}, None),
    ],
)
def test_e_bikes_are_counted_apart_where_given_and_never_cost_a_row(
    said: dict[str, Any], electric: int | None
) -> None:
    rows = status_rows([station(**said)], fetched_at=NOON, observed_at=NOON, electric={"e"})

    found = only(rows)["num_ebikes_available"]
    assert pd.isna(found) if electric is None else found == electric


def place(**changes: Any) -> dict[str, Any]:
    return {"station_id": "1", "name": "Quay", "lat": 45.5, "lon": -73.6, "capacity": 9, **changes}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Quay", "Quay"),
        ([{"text": "Kaai", "language": "nl"}, {"text": "Quai", "language": "fr"}], "Quai"),
        ([{"text": "Kaai", "language": "nl"}], "Kaai"),
        ([], None),
        ([{"language": "fr"}, 3], None),
        (5, None),
        ("  ", None),
        ("a\ud800b", "a?b"),
    ],
)
def test_names_come_in_the_language_asked_for_else_in_the_first(name: Any, expected: Any) -> None:
    found = information_rows([place(name=name)], fetched_at=NOON, language="fr").good.iloc[0]

    assert pd.isna(found["name"]) if expected is None else found["name"] == expected


def test_a_station_at_zero_zero_has_no_place_and_one_off_the_earth_is_refused() -> None:
    rows = information_rows(
        [place(lat=0, lon=0.0, capacity=None), place(station_id="2", lat=123.4)], fetched_at=NOON
    )

    assert rows.good[["lat", "lon", "capacity"]].isna().all().all()
    assert rows.refused is not None
    assert "lat: expected a number from -90 to 90, got 123.4" in rows.refused["reason"].iloc[0]


def test_free_docks_of_a_virtual_station_without_a_capacity_have_no_number() -> None:
    place = {"name": "Quay", "lat": 42.0, "lon": -71.0}
    listed = [
        {**place, "station_id": "painted", "is_virtual_station": True, "capacity": 10},
        {**place, "station_id": "endless", "is_virtual_station": True},
        {**place, "station_id": "nought", "is_virtual_station": 1, "capacity": 0},
        {**place, "station_id": "real"},
    ]
    unlimited = information_rows(listed, fetched_at=NOON).unlimited
    assert unlimited == {"endless", "nought"}

    full = [station(station_id=one["station_id"], num_docks_available=0) for one in listed]
    rows = status_rows(full, fetched_at=NOON, observed_at=NOON, unlimited=unlimited).good
    docks = rows.set_index("station_id")["num_docks_available"]
    assert docks.isna().to_dict() == {"painted": False, "endless": True, "nought": True, "real": 0}
    assert set(docks.dropna()) == {0}
    assert set(rows["num_bikes_available"]) == {3}
