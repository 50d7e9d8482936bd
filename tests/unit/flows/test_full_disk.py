"""The disk really runs full, under ingest, compaction and live mode; nothing is stored by half."""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pandas as pd
import pytest

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.errors import LakeError
from mlops_bikeshare.domain.tables import STATION_STATUS, STATION_STATUS_RAW, Table
from mlops_bikeshare.flows import compact, curating, ingest
from mlops_bikeshare.flows.live import live
from mlops_bikeshare.flows.process.lived import Lived, summary
from mlops_bikeshare.settings import load
from mlops_bikeshare.sources.recorded import Recording
from tests.full_disk import fill, on_small_disk
from tests.served import NOON, small_city

ROOT = Path(__file__).resolve().parents[3]
FIVE = timedelta(minutes=5)


@dataclass
class Hand:
    """A clock that is moved by hand, of a workspace whose time is real."""

    at: datetime
    kind: Literal["real"] = "real"

    def now(self) -> datetime:
        """Where it was moved to."""
        return self.at


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    return small_city(tmp_path / "city", hours=4)


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    shutil.copy(ROOT / "bikeshare.toml", tmp_path)
    opened = Workspace(load(tmp_path, {}, {}), Hand(NOON))
    opened.path.mkdir(parents=True)
    return opened


def rows(ws: Workspace, table: Table) -> pd.DataFrame:
    found = ws.lake.read(table, city="boston")
    return found.sort_values(["fetched_at", "station_id"]).reset_index(drop=True)


def halves(ws: Workspace) -> list[str]:
    return [path.name for path in ws.path.rglob("*") if path.suffix == ".tmp"]


def test_polls_onto_a_full_disk_store_all_or_nothing_and_are_made_again(
    ws: Workspace, recording: Recording
) -> None:
    city, times = ws.settings.city("boston"), [NOON + i * FIVE for i in range(12)]

    def act() -> tuple[int, str, list[str], pd.DataFrame, pd.DataFrame]:
        lake = ws.path / "lake"
        _ = ws.metrics
        filler, failed, why = fill(lake, leave=24 * 1024), 0, ""
        for at in times:
            try:
                ingest.poll(ws, city, recording, at)
            except LakeError as error:
                failed, why = failed + 1, str(error)
        left = halves(ws)
        filler.unlink()
        curating.catch_up(ws, city)
        for at in times:
            ingest.poll(ws, city, recording, at)
        return failed, why, left, rows(ws, STATION_STATUS_RAW), rows(ws, STATION_STATUS)

    (ws.path / "lake").mkdir()
    failed, why, left, raw, curated = on_small_disk(ws.path / "lake", 1024, act)

    assert 0 < failed < len(times)
    assert "No space left on device; nothing was stored" in why
    assert left == []
    for table in (raw, curated):
        assert table.groupby("fetched_at").size().to_dict() == dict.fromkeys(times, 30)


def test_a_compaction_onto_a_full_disk_changes_nothing_and_is_made_again(
    ws: Workspace, recording: Recording
) -> None:
    city = ws.settings.city("boston")

    def act() -> tuple[str, list[str], list[pd.DataFrame], int]:
        for i in range(6):
            ingest.poll(ws, city, recording, NOON + i * FIVE)
        assert isinstance(ws.clock, Hand)
        ws.clock.at = NOON + timedelta(days=1)
        before, filler = rows(ws, STATION_STATUS), fill(ws.path / "lake", leave=0)
        with pytest.raises(LakeError) as failed:
            compact.compact(ws, city)
        left, full = halves(ws), rows(ws, STATION_STATUS)
        filler.unlink()
        compact.compact(ws, city)
        keys = ws.lake.keys(STATION_STATUS, city=city.name, day=NOON.date())
        return str(failed.value), left, [before, full, rows(ws, STATION_STATUS)], len(keys)

    (ws.path / "lake").mkdir()
    why, left, (before, full, after), keys = on_small_disk(ws.path / "lake", 1024, act)

    assert "No space left on device" in why
    assert (left, keys) == ([], 1)
    pd.testing.assert_frame_equal(full, before)
    pd.testing.assert_frame_equal(after, before)


@dataclass
class Filling:
    """An hour's pace; the disk of the workspace is full from ten minutes on, for half an hour."""

    ws: Workspace
    filler: Path | None = None

    def now(self) -> datetime:
        """The clock's time."""
        return self.ws.now

    def wait_until(self, at: datetime) -> bool:
        """Move the clock; fill the disk, and make room again."""
        assert isinstance(self.ws.clock, Hand)
        self.ws.clock.at = max(at, self.ws.clock.at)
        since = at.astimezone(UTC) - NOON
        if self.filler is None and since >= 2 * FIVE:
            self.filler = fill(self.ws.path, leave=0)
        if self.filler is not None and since >= 8 * FIVE:
            self.filler.unlink(missing_ok=True)
        return since <= 12 * FIVE


def test_live_mode_outlives_a_full_disk_and_says_what_it_could_not_store(
    ws: Workspace, recording: Recording
) -> None:
    city = ws.settings.city("boston")

    def act() -> tuple[Lived, pd.DataFrame]:
        (done,) = live(ws, [city], {"boston": recording}, Filling(ws), poll_s=300)
        return done, rows(ws, STATION_STATUS)

    done, kept = on_small_disk(ws.path, 2048, act)

    lost = sum(done.lost.values())
    assert done.polls == 12
    assert 5 <= lost <= 7
    assert all(reason.startswith("not stored: ") for reason in done.lost)
    assert f"{lost} polls lost" in summary([done])
    assert kept.groupby("fetched_at").size().tolist() == [30] * (12 - lost)
