"""Features on a cluster of processes: the same bytes, and a worker that dies costs nothing."""

import os
import signal
from datetime import date, timedelta
from functools import reduce
from pathlib import Path

import numpy as np
import pytest

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.cli import main
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.tables import PROFILES
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.features.profiles import ProfileState
from mlops_bikeshare.flows import features, features_on_dask
from mlops_bikeshare.flows.scaling import cluster, feature_blocks
from tests.e2e.shown import shown
from tests.unit.flows import tiny

DAYS = 6


def workspace(home: Path) -> tuple[Workspace, City]:
    home.mkdir()
    ws, city = tiny.workspace(home)
    for number in range(DAYS):
        start = tiny.START + timedelta(days=number)
        if number != 1:  # a day that the lake does not have
            tiny.poll(ws, Window(start, start + timedelta(days=1)))
    ws.advance(tiny.START + timedelta(days=DAYS))
    return ws, city


def objects(ws: Workspace) -> dict[str, bytes]:
    keys = ws.lake.store.keys(features.OFFLINE.location) + ws.lake.store.keys(PROFILES.location)
    return {key: ws.lake.store.read(key) for key in keys}


def days_of(ws: Workspace, city: City) -> list[date]:
    return features.whole_days(ws, city, None)


def test_blocks_hold_every_day_once_and_in_order() -> None:
    days = [date(2025, 6, 1) + timedelta(days=n) for n in range(90)]
    for workers in (1, 2, 40):
        blocks = feature_blocks.blocks_of(days, workers=workers)
        assert [day for block in blocks for day in block] == days
        assert max(map(len, blocks)) <= 7
        assert len(blocks) >= min(len(days), 2 * workers)


def test_what_blocks_learn_alone_adds_up_to_what_one_after_the_other_does(tmp_path: Path) -> None:
    ws, city = workspace(tmp_path / "home")
    days = days_of(ws, city)
    where = feature_blocks.Where(ws.settings, ws.clock, city)
    seen = [one for one, _ in feature_blocks.look(where, tuple(days)).days]
    whole = reduce(lambda state, one: features.learn(city, one, state), seen, ProfileState.empty())
    blocks = feature_blocks.blocks_of(days, workers=1)
    parts = [feature_blocks.look(where, block) for block in blocks]
    assert len(parts) > 2
    total = reduce(feature_blocks.learned, parts, ProfileState.empty())
    assert total.stations == whole.stations
    assert total.valid_from == whole.valid_from
    assert np.array_equal(total.sums, whole.sums)
    assert np.array_equal(total.counts, whole.counts)
    assert total.plus(ProfileState.empty()) is total


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one process makes."""
    ws, city = workspace(tmp_path_factory.mktemp("alone") / "home")
    features.build(ws, city)
    return objects(ws)


def test_two_processes_make_the_same_bytes_and_go_on_where_one_was_stopped(
    tmp_path: Path, alone: dict[str, bytes]
) -> None:
    pytest.importorskip("distributed", reason="Dask is not installed: `make dask`")
    ws, city = workspace(tmp_path / "home")
    first = days_of(ws, city)[:1]
    features.build(ws, city, window=Window.day(first[0]))
    done = features_on_dask.build(ws, city, workers=2)
    assert (done.days_there, done.days_written) == (1, DAYS - 2)
    assert objects(ws) == alone
    again = features_on_dask.build(ws, city, workers=2)
    assert (again.days_written, again.rows) == (0, 0)


def test_a_worker_that_is_killed_costs_nothing_and_a_stopped_build_goes_on_alone(
    tmp_path: Path, alone: dict[str, bytes]
) -> None:
    pytest.importorskip("distributed", reason="Dask is not installed: `make dask`")
    ws, city = workspace(tmp_path / "home")
    features.check_definition(ws, city)
    where = feature_blocks.Where(ws.settings, ws.clock, city)
    blocks = feature_blocks.blocks_of(days_of(ws, city), workers=2)
    assert len(blocks) == DAYS - 1
    with cluster.client(None, workers=2) as client:
        made = feature_blocks.build(client, where, blocks)
        rows = next(made)
        pids = client.run(os.getpid)
        busiest = max(pids, key=lambda name: len(client.has_what().get(name, ())))
        os.kill(pids[busiest], signal.SIGKILL)
        rows += next(made) + next(made)
        assert rows == sum(len(ws.lake.read(features.OFFLINE, city="demo", window=Window.day(d)))
                           for block in blocks[:3] for d in block)  # fmt: skip
    features.build(ws, city)  # whatever is left, and whatever the others had begun
    assert objects(ws) == alone


def test_a_scheduler_that_is_not_there_is_named(tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="Dask is not installed: `make dask`")
    ws, city = workspace(tmp_path / "home")
    with pytest.raises(InputError, match=r"expected an address such as tcp://host:8786"):
        features_on_dask.build(ws, city, scheduler="nonsense://1")


def test_without_dask_the_command_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ws, _ = workspace(tmp_path / "home")
    monkeypatch.setenv("BIKESHARE_HOME", str(ws.settings.root))
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    code = main(["--workspace", "demo", "features", "--city", "demo", "--engine", "dask"])
    assert code == 2
    assert "`make dask`" in capsys.readouterr().err


def test_the_page_shows_it(
    tmp_path: Path,
    alone: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("distributed", reason="Dask is not installed: `make dask`")
    ws, _ = workspace(tmp_path / "home")
    monkeypatch.setenv("BIKESHARE_HOME", str(ws.settings.root))
    monkeypatch.setenv("BIKESHARE_WORKSPACE", "demo")
    monkeypatch.setenv("BIKESHARE_DEFAULT_CITY", "demo")
    monkeypatch.setenv("BIKESHARE_TRAINING__ROUNDS", "2")
    exec(shown("Dask"), {"__name__": "__main__"})  # noqa: S102 - the page is ours
    assert objects(ws) == alone
    told = capsys.readouterr()
    assert "demo: version 1 (" in told.out, told.err
