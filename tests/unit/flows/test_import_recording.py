"""Histories that people bring, in their own words and formats."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.domain.errors import InputError, SourceError
from mlops_bikeshare.domain.tables import QUARANTINED_ROWS, STATION_STATUS
from mlops_bikeshare.flows.import_recording import Brought, import_history
from mlops_bikeshare.settings import load
from mlops_bikeshare.sources.history import files_of, mapping_of, read

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

    (chunk,) = read(path, MAPPING, ZoneInfo("Europe/Paris"))
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
    with pytest.raises(InputError, match="--zone Mars"):
        bring(path, zone="Mars")
    (tmp_path / "broken.parquet").write_bytes(b"no")
    with pytest.raises(SourceError, match=r"broken\.parquet cannot be read"):
        bring(tmp_path / "broken.parquet")
