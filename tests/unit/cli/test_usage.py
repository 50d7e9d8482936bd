import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from mlops_bikeshare.cli import app, main

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def test_help_costs_less_than_a_second_of_cpu_and_names_the_exit_codes(
    environment: dict[str, str],
) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "mlops_bikeshare", "--help"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)

    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0
    assert "Exit codes:" in done.stdout
    assert "3   the gate cannot know" in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_examples_that_call_it(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name, "--help"]) == 0

    shown = capsys.readouterr().out
    examples = shown.partition("Examples:")[2]
    assert name in examples
    assert all(len(line) <= 100 for line in shown.splitlines())


def test_without_a_command_there_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "Usage: bikeshare" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["trian"],
            "No such command 'trian'. Did you mean 'train', 'retrain'?; see `bikeshare --help`",
        ),
        (["train", "--cty", "x"], "No such option: --cty (Possible options: --city)"),
        (["train", "--rounds", "abc"], "--rounds: expected a number of at least 1, got 'abc'"),
        (["train", "--rounds", "0"], "--rounds: expected a number of at least 1, got '0'"),
        (["dashboard", "--port", "0"], "--port: expected a whole number from 1 to 65535, got '0'"),
        (["demo", "--days", "x"], "--days: expected a whole number, got 'x'"),
        (["ingest"], "--recording is missing: Folder of a recording"),
        (["train", "--workspace", "x"], "--workspace goes before the command"),
        (["--log-format", "xml", "train"], "--log-format: 'xml' is not one of 'rich', 'plain'"),
        (["infer", "--dt", "soon"], "--dt: expected a UTC date or time such as"),
        (["train", "--test", "soon"], "--test: expected START..END such as"),
        (["gate", "now"], "Got unexpected extra argument(s) (now)"),
    ],
)
def test_a_mistake_in_the_command_line_is_one_line_that_names_it(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2

    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"bikeshare: {line}")
    assert said.err.count("\n") == 1


def test_the_version_is_the_installed_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("bikeshare 0.")


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("bikeshare tr", "train"),
        ("bikeshare train --city bos", "boston"),
        ("bikeshare deploy --alias champ", "champion"),
        ("bikeshare --workspace mi", "mine"),
    ],
)
def test_the_shell_completes_commands_cities_aliases_and_workspaces(
    words: str, offered: str, home: Path, environment: dict[str, str]
) -> None:
    (home / "var" / "mine").mkdir(parents=True)
    (home / "var" / "mine" / "workspace.json").write_text('{"clock": "real"}')
    asked = {
        "_BIKESHARE_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-m", "mlops_bikeshare"],
        cwd=home,
        env={**environment, **asked},
        capture_output=True,
        text=True,
        check=False,
    )

    assert offered in done.stdout.split()


def test_a_reader_that_left_is_no_error(environment: dict[str, str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "mlops_bikeshare", "status", "--json"],
        env=environment,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)

    assert (done.returncode, done.stderr) == (0, "")
