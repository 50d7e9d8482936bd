import json
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.cli import screen
from mlops_bikeshare.cli.screen import LogFormat, LogLevel
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.flows.process.logged import Told, logged
from mlops_bikeshare.flows.process.progress import counted, silent
from mlops_bikeshare.settings import load

T = TypeVar("T")
CITY = City("here", "Europe/Oslo", "NO")


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    (tmp_path / "bikeshare.toml").write_text('workspace = "w"\n')
    return open_workspace(load(tmp_path, {}, {}))


@pytest.fixture(autouse=True)
def _as_before() -> object:
    root, ours = logging.getLogger(), logging.getLogger("mlops_bikeshare")
    handlers, levels = root.handlers[:], (root.level, ours.level)
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


@logged("count", lambda rows: Told(read={"rows": rows}, wrote={"objects": 1}))
def inner(ws: Workspace, city: City, rows: int) -> int:  # noqa: ARG001
    return rows


@logged("day", lambda rows: Told(read={"polls": rows}, wrote={"batches": None}))
def outer(ws: Workspace, city: City) -> int:
    return inner(ws, city, 1200) + inner(ws, city, 5)


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_a_flow_says_in_one_line_what_it_read_wrote_and_took(
    ws: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    screen.start(LogFormat.PLAIN, LogLevel.INFO)
    inner(ws, CITY, 1200)

    (line,) = lines(capsys)
    assert line[9:] == "count here: read rows 1,200; wrote objects 1; took 0.0 s"


def test_a_flow_inside_a_flow_is_silent_and_a_failed_one_too(
    ws: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    screen.start(LogFormat.PLAIN, LogLevel.INFO)
    outer(ws, CITY)
    with pytest.raises(TypeError):
        inner(ws, CITY)  # type: ignore[call-arg]
    inner(ws, CITY, 1)

    assert [line[9:14] for line in lines(capsys)] == ["day h", "count"]


def test_json_lines_carry_time_level_event_and_fields(
    ws: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    screen.start(LogFormat.JSON, LogLevel.INFO)
    inner(ws, CITY, 1200)
    logging.getLogger("mlops_bikeshare.flows.ingest").warning("poll\nfailed")

    told, warned = map(json.loads, lines(capsys))
    assert (told["event"], told["level"], told["city"]) == ("count", "info", "here")
    assert (told["workspace"], told["read"], told["wrote"]) == ("w", {"rows": 1200}, {"objects": 1})
    assert told["time"].endswith("Z")
    assert (warned["event"], warned["message"]) == ("mlops_bikeshare.flows.ingest", "poll\nfailed")


def test_other_peoples_chatter_is_silent_and_their_warnings_are_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    screen.start(LogFormat.PLAIN, LogLevel.INFO)
    logging.getLogger("somebody.else").info("context impl")
    logging.getLogger("somebody.else").warning("two\nlines")

    assert [line[9:] for line in lines(capsys)] == ["warning: two lines"]


def test_no_bar_where_nobody_watches() -> None:
    assert screen.track() is silent


def test_work_that_ends_early_ends_its_bar() -> None:
    seen: list[str] = []

    def track(items: Iterable[T], *, label: str, total: int) -> Iterator[T]:  # noqa: ARG001
        for item in items:
            yield item
            seen.append(str(item))

    with counted(track, label="grow", total=5) as tick:
        tick()
        tick()
        assert seen == ["0", "1"]
    assert seen == ["0", "1", "2", "3", "4"]
