"""What docs/integrations.md shows is run as it stands there."""

import re
from pathlib import Path

import pytest

from mlops_bikeshare.flows import publish
from tests.unit.flows import lived, tiny

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "integrations.md").read_text()
LONGEST = 10


def shown(title: str, language: str = "python") -> str:
    """The one block of code of a part."""
    part = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert part is not None
    (block,) = re.findall(rf"^```{language}\n(.*?)^```", part[1], flags=re.MULTILINE | re.DOTALL)
    return str(block)


def test_no_part_needs_more_than_ten_lines() -> None:
    blocks = re.findall(r"^```\w+\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert blocks
    assert all(len(block.strip().splitlines()) <= LONGEST for block in blocks)


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
