"""Histories that people bring, in their own words and formats."""

import contextlib
import json
import os
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.domain.errors import InputError, SourceError
from mlops_bikeshare.domain.tables import QUARANTINED_ROWS, STATION_STATUS, STATION_STATUS_RAW
from mlops_bikeshare.flows.import_recording import Brought, import_history, summary
from mlops_bikeshare.lake.local import LocalStore
from mlops_bikeshare.settings import load
from mlops_bikeshare.sources.history import mapping_of, read
from mlops_bikeshare.sources.history_files import files_of

ROOT = Path(__file__).resolve().parents[3]
UTC = ZoneInfo("UTC")
MAPPING = {"observed_at": "time", "num_bikes_available": "bikes", "num_docks_available": "docks"}


def log(start: str = "2024-03-30", days: int = 1, stations: int = 3) -> pd.DataFrame:
    times = pd.date_range(start, periods=days * 96, freq="15min", tz="UTC")
    rows = [
        {"station_id": f"{i:03}", "time": at, "bikes": (i + n) % 9, "docks": 9 - (i + n) % 9}
        for n, at in enumerate(times)
        for i in range(stations)
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def bring(tmp_path: Path) -> Callable[..., tuple[Workspace, Brought]]:
    shutil.copy(ROOT / "bikeshare.toml", tmp_path)

    def run(source: Path, **named: Any) -> tuple[Workspace, Brought]:
        ws = open_workspace(load(tmp_path, {}, {}), simulated=True)
        named = {"mapping": MAPPING, **named}
        return ws, import_history(ws, ws.settings.city("paris"), source, **named)

    return run


def written(folder: Path, frame: pd.DataFrame, suffix: str) -> Path:
    path = folder / f"log{suffix}"
    if suffix == ".parquet":
        frame.to_parquet(path)
    elif suffix in {".csv", ".csv.gz"}:
        frame.to_csv(path, index=False)
    else:
        frame.to_json(path, orient="records", lines=suffix == ".jsonl", date_format="iso")
    return path


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".csv.gz", ".json", ".jsonl"])
def test_every_format_gives_the_same_rows(tmp_path: Path, suffix: str) -> None:
    frame = log()
    (chunk,) = read(written(tmp_path, frame, suffix), MAPPING, UTC)

    assert chunk.refused.empty
    assert chunk.good["station_id"].tolist() == frame["station_id"].tolist()
    assert chunk.good["num_bikes_available"].tolist() == frame["bikes"].tolist()
    assert (chunk.good["observed_at"].to_numpy() == frame["time"].to_numpy()).all()
    assert chunk.good["is_renting"].isna().all()


def test_a_gbfs_document_is_a_history_of_one_moment(tmp_path: Path) -> None:
    stations = [{"station_id": 7, "num_bikes_available": 2, "is_renting": 1}]
    path = tmp_path / "status.json"
    path.write_text(json.dumps({"last_updated": 1_700_000_000, "data": {"stations": stations}}))

    (chunk,) = read(path, {}, UTC)
    assert chunk.good["station_id"].tolist() == ["7"]
    assert chunk.good["observed_at"].tolist() == [pd.Timestamp(1_700_000_000, unit="s", tz="UTC")]


def test_local_times_are_those_of_the_zone_and_the_hour_struck_twice_is_unknown(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log.csv"
    times = [
        "2024-03-30 12:00:00",
        "2024-10-27 02:30:00",
        "2024-07-01T12:00:00+00:00",
        "1700000000",
    ]
    path.write_text("station_id,time,bikes\n" + "".join(f"1,{at},3\n" for at in times))

    mapping = {ours: theirs for ours, theirs in MAPPING.items() if theirs != "docks"}
    (chunk,) = read(path, mapping, ZoneInfo("Europe/Paris"))
    found = [at.isoformat() for at in chunk.good["observed_at"]]
    assert found[0] == "2024-03-30T11:00:00+00:00"
    assert found[1] == "2024-07-01T12:00:00+00:00"
    assert chunk.refused["position"].tolist() == [1]
    assert "observed_at" in chunk.refused["reason"].iloc[0]


def test_an_import_fills_the_lake_and_again_adds_only_what_is_new(
    tmp_path: Path, bring: Callable[..., tuple[Workspace, Brought]]
) -> None:
    source = tmp_path / "exports"
    source.mkdir()
    bad = log().iloc[:2].assign(bikes=[-4, 5], station_id=["000", ""])
    pd.concat([log(days=2), bad]).to_csv(source / "a.csv", index=False)

    ws, first = bring(source)
    again = bring(source)[1]
    log("2024-04-01").to_csv(source / "b.csv", index=False)
    added = bring(source)[1]

    assert (first.files, first.refused, first.reports) == (1, 2, 576)
    assert (first.days_written, first.rows) == (2, 3 * 574)
    assert (again.files_there, again.days_written, again.rows) == (1, 0, 0)
    # The first export ended at 23:45: what it lacked of its last day is brought as well.
    assert (added.files_there, added.days_written, added.rows) == (1, 2, 3 * (2 + 286))
    put_aside = ws.lake.read(QUARANTINED_ROWS, city="paris")
    assert put_aside["position"].tolist() == [576, 577]
    slots = ws.lake.read(STATION_STATUS, city="paris")
    assert not slots.duplicated(["station_id", "slot"]).any()


def test_a_file_brought_later_fills_the_gap_in_which_nothing_was_invented(
    tmp_path: Path, bring: Callable[..., tuple[Workspace, Brought]]
) -> None:
    source = tmp_path / "exports"
    source.mkdir()
    for start in ("2024-01-01", "2024-04-02"):  # a month between them has no report at all
        log(start).to_csv(source / f"{start}.csv", index=False)

    ws, first = bring(source)
    gap = first.days_written, first.days_there, ws.lake.days(STATION_STATUS, city="paris")
    log("2024-02-10").to_csv(source / "between.csv", index=False)
    ws, added = bring(source)

    assert gap == (2, 0, [date(2024, 1, 1), date(2024, 4, 2)])
    assert (added.days_written, added.days_there, added.late) == (1, 2, 0)
    slots = ws.lake.read(STATION_STATUS, city="paris")
    brought = slots[slots["slot"].dt.strftime("%F") == "2024-02-10"]
    assert len(brought) == 3 * 286  # the last report is of 23:45
    assert (brought["slot"] - brought["last_reported"]).max() < pd.Timedelta(minutes=15)


def test_reports_of_times_that_were_imported_change_nothing_and_are_told(
    tmp_path: Path, bring: Callable[..., tuple[Workspace, Brought]]
) -> None:
    source = tmp_path / "exports"
    source.mkdir()
    log().to_csv(source / "a.csv", index=False)
    bring(source)
    (source / "b").mkdir()
    log().assign(station_id="one more").to_csv(source / "b" / "a.csv", index=False)

    ws, done = bring(source)

    assert (done.files_there, done.late, done.rows) == (1, 3 * 96, 0)
    assert "288 reports of new files lie at times that were imported before" in summary(done)
    assert bring(source)[1].late == 0  # told once
    assert "one more" not in set(ws.lake.read(STATION_STATUS, city="paris")["station_id"])


@pytest.mark.parametrize("step", range(1, 9))  # the last one is after all of them
def test_an_import_stopped_at_any_object_goes_on_and_brings_the_same(
    tmp_path: Path,
    bring: Callable[..., tuple[Workspace, Brought]],
    monkeypatch: pytest.MonkeyPatch,
    step: int,
) -> None:
    source = tmp_path / "exports"
    source.mkdir()
    pd.concat([log(days=2), log().iloc[:1].assign(bikes=-1)]).to_csv(source / "a.csv", index=False)
    created = 0

    def dying(store: LocalStore, key: str, body: bytes, real: Any = LocalStore.create) -> bool:
        nonlocal created
        created += 1
        if created == step:
            raise KeyboardInterrupt
        made: bool = real(store, key, body)
        return made

    monkeypatch.setattr(LocalStore, "create", dying)
    with contextlib.suppress(KeyboardInterrupt):
        bring(source)
    monkeypatch.undo()
    ws, done = bring(source)

    assert (done.late, created) == (0, min(step, 7))
    for table in (STATION_STATUS, STATION_STATUS_RAW):
        rows = ws.lake.read(table, city="paris")
        assert len(rows) == 3 * 574
        assert not rows.duplicated(["station_id", "observed_at"]).any()
    assert len(ws.lake.read(QUARANTINED_ROWS, city="paris")) == 1


def test_files_of_one_name_size_and_time_in_two_folders_are_two(
    tmp_path: Path, bring: Callable[..., tuple[Workspace, Brought]]
) -> None:
    source = tmp_path / "exports"
    for day in ("2024-04-01", "2024-04-02"):
        (source / day).mkdir(parents=True)
        path = source / day / "part-0.csv"
        log(day).to_csv(path, index=False)
        os.utime(path, (1_700_000_000, 1_700_000_000))

    assert bring(source)[1].reports == 2 * 288


def test_a_file_read_otherwise_than_before_is_refused_and_a_changed_one_takes_its_place(
    tmp_path: Path, bring: Callable[..., tuple[Workspace, Brought]]
) -> None:
    path = written(tmp_path, log(), ".csv")
    bring(path)

    with pytest.raises(InputError, match="imported before, with other columns or in another zone"):
        bring(path, zone="Europe/Paris")
    log(days=2).to_csv(path, index=False)
    ws, grown = bring(path)

    assert (grown.reports, grown.late) == (576, 288)
    assert len(list((ws.path / "imports" / "paris").glob("*.parquet"))) == 1


def test_one_file_that_cannot_be_read_is_told_and_the_others_go_on(
    tmp_path: Path, bring: Callable[..., tuple[Workspace, Brought]]
) -> None:
    source = tmp_path / "exports"
    source.mkdir()
    log().to_csv(source / "b.csv", index=False)
    (source / "a.json").write_text("<html>404</html>")
    (source / "c.json").write_text("[]")  # nothing, which is not the same

    done = bring(source)[1]

    assert (done.reports, len(done.unreadable)) == (288, 1)
    assert "not read: " in summary(done)
    assert "a.json: expected JSON, got HTML" in done.unreadable[0]


def csv(*rows: str, header: str = "station_id,time,bikes,docks") -> bytes:
    return "\n".join([header, *rows, ""]).encode()


ROW = "1,2024-01-01T00:00:00Z,3,4"


@pytest.mark.parametrize(
    ("name", "body", "good", "reasons"),
    [
        ("A.CSV", csv(ROW), 1, []),
        ("a.csv", csv(*[ROW.replace(",", ";")], header="station_id;time;bikes;docks"), 1, []),
        ("a.csv", b"\xef\xbb\xbf" + csv(ROW), 1, []),
        ("a.csv", csv("NA,2024-01-01T00:00:00Z,3,NA"), 1, []),  # an id is an id
        ("a.csv", csv("1,1704067200.0,3.0,"), 1, []),
        ("a.csv", csv("1,01/02/2024 10:00,3,4"), 0, ["observed_at: expected a time such as"]),
        ("a.csv", csv(",2024-01-01T00:00:00Z,x,4"), 0, ["got nothing; num_bikes", 'got "x"']),
        ("a.jsonl", b'{"station_id": 1, "time": 1704067200, "bikes": 1, "docks": 2}\n{"st', 1,
         ["station_id: expected an id"]),
    ],
)  # fmt: skip
def test_odd_files_are_read_or_refused_row_by_row_with_what_was_expected(
    tmp_path: Path, name: str, body: bytes, good: int, reasons: list[str]
) -> None:
    path = tmp_path / name
    path.write_bytes(body)

    chunks = list(read(path, MAPPING, UTC))

    assert sum(len(chunk.good) for chunk in chunks) == good
    said = "".join(reason for chunk in chunks for reason in chunk.refused["reason"])
    assert all(reason in said for reason in reasons)
    assert bool(said) == bool(reasons)


@pytest.mark.parametrize(
    ("name", "body", "why"),
    [
        ("a.csv", csv(f"{ROW},9,9"), "rows have more fields than the header"),
        ("a.csv", csv(ROW, f"{ROW},9"), "line 3, saw 5"),
        ("a.csv", csv(ROW) + b"2,2024-01-01T00:00:00Z,3,\xe9", "save it as UTF-8"),
        ("a.csv", csv(ROW, header="station_id,time,bikes,dcks"), "lacks docks; it has"),
        ("a.json", b"[" * 100_000, "nested too deep"),
        ("a.json", b"<html>", "got HTML or XML: it begins '<html>'"),
        ("a.json", b"5", r"a\.json: expected a JSON object, got 5"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_says_why(
    tmp_path: Path, name: str, body: bytes, why: str
) -> None:
    path = tmp_path / name
    path.write_bytes(body)

    with pytest.raises(SourceError, match=why):
        list(read(path, MAPPING, UTC))


def test_a_mapped_column_goes_before_one_that_is_called_so(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    frame = log().iloc[:3].assign(observed_at=pd.Timestamp(0, tz="UTC"), station_id=[1.0, 2.0, 3.0])
    frame.set_index("station_id").to_parquet(path)

    (chunk,) = read(path, MAPPING, UTC)

    assert (chunk.good["observed_at"].to_numpy() == frame["time"].to_numpy()).all()
    assert chunk.good["station_id"].tolist() == ["1", "2", "3"]


def test_documents_of_version_3_are_read_under_the_names_of_version_2(tmp_path: Path) -> None:
    stations = [
        {"station_id": "a", "num_vehicles_available": 3, "num_ebikes_available": 1},
        {"station_id": "b", "num_vehicles_available": 4, "num_bikes_available": 2},
    ]
    path = tmp_path / "status.json"
    at = "2024-01-01T00:00:00Z"
    path.write_text(json.dumps({"last_updated": at, "data": {"stations": stations}}))

    (chunk,) = read(path, {}, UTC)
    assert chunk.good["num_bikes_available"].tolist() == [3, 2]
    assert chunk.good["num_ebikes_available"].tolist() == [1, pd.NA]


def test_what_cannot_be_imported_says_what_to_do(
    tmp_path: Path, bring: Callable[..., tuple[Workspace, Brought]]
) -> None:
    path = written(tmp_path, log(), ".csv")

    with pytest.raises(SourceError, match="lacks observed_at, num_bikes_available; it has"):
        bring(path, mapping={})
    with pytest.raises(SourceError, match="nothing to import"):
        files_of(tmp_path / "nowhere")
    with pytest.raises(InputError, match="--map bikes=x: expected OURS=THEIRS"):
        mapping_of(["bikes=x"])
    with pytest.raises(InputError, match="name it once"):
        mapping_of(["is_renting=a", "is_renting=b"])
    (tmp_path / "places.csv").write_text("id,name\n")
    with pytest.raises(SourceError, match=r"--stations .*places\.csv lacks station_id; it has id"):
        bring(path, stations=tmp_path / "places.csv")
    with pytest.raises(InputError, match="--zone Mars"):
        bring(path, zone="Mars")
    (tmp_path / "broken.parquet").write_bytes(b"no")
    with pytest.raises(SourceError, match=r"broken\.parquet cannot be read"):
        bring(tmp_path / "broken.parquet")
