import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlops_bikeshare.cli import main
from mlops_bikeshare.sources.simulator import simulate

if TYPE_CHECKING:
    from subprocess import CompletedProcess

Bikeshare = Callable[..., "CompletedProcess[str]"]


def test_a_cold_start_is_written_and_shown_as_json(bikeshare: Bikeshare, home: Path) -> None:
    for seed, (name, zone) in enumerate((("paris", "Europe/Paris"), ("taipei", "Asia/Taipei"))):
        made = simulate(stations=12, days=5, seed=seed, start=date(2025, 6, 2), timezone=zone)
        made.write(home / name)
    done = bikeshare(
        "cold-start",
        *("--recording", "paris", "--city", "lyon", "--timezone", "Europe/Paris"),
        *("--country", "FR", "--train-on", "taipei:taipei", "--learn-days", "5"),
        *("--cadence", "30", "--threads", "1", "--report", "out.json", "--json"),
        BIKESHARE_TRAINING__ROUNDS="5",
    )
    told = json.loads(done.stdout)
    assert told == json.loads((home / "out.json").read_text())
    assert [e["city"] for e in told["learned_from"]] == ["taipei"]
    assert set(told["targets"]) == {"bikeout", "dockout"}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--train-on", "somewhere"), "expected DIR:CITY"),
        (("--train-on", "somewhere:"), "expected DIR:CITY"),
        (("--train-on", "somewhere:nowhere"), "'nowhere' is not configured (known: boston"),
        (("--train-on", "x:taipei", "--report", "none/out.json"), "does not exist; make it"),
        (("--train-on", "x:taipei"), "no recording at absent"),
    ],
)
def test_what_cannot_be_learned_from_is_one_line_and_exit_2(
    home: Path,
    flags: tuple[str, ...],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setenv("BIKESHARE_HOME", str(home))
    assert main(["cold-start", "--recording", "absent", "--city", "paris", *flags]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert len(said.splitlines()) == 1
