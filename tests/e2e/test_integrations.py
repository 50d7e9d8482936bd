"""What docs/integrations.md shows is run as it stands there."""

from pathlib import Path

import pytest

from mlops_bikeshare.flows import publish
from tests.e2e.shown import every_block, shown
from tests.unit.flows import lived, tiny

LONGEST = 10


def test_no_part_needs_more_than_ten_lines() -> None:
    assert every_block()
    assert all(len(block.strip().splitlines()) <= LONGEST for block in every_block())


def test_an_app_reads_the_predictions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ws, city = tiny.workspace(tmp_path)
    lived.predict(ws)
    publish.publish(ws, city, lived.DT)
    monkeypatch.chdir(tmp_path)
    exec(shown("Predictions for rider apps"), {})  # noqa: S102 - the page is ours
    warned = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    empty = [s for s, n in zip(tiny.STATIONS, tiny.bikes(lived.DT), strict=True) if n <= 2]
    assert warned == empty
    assert warned
