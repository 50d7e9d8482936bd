"""Whatever the documents tell people to type exists, with its options and their values."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from mlops_bikeshare.cli import app, main
from mlops_bikeshare.flows import doctor
from mlops_bikeshare.settings import keys

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    *("README.md", "CONTRIBUTING.md", "docs/tutorial.md", "docs/security.md"),
    *("docs/cost.md", "docs/cities.md", "docs/release.md", "docs/runbook.md"),
)
# Commands that ask nobody and change nothing: they are run.
HARMLESS = {"cost", "schedule"}
PROGRAMS = ("make", "bikeshare", "mlflow", "pre-commit")
MAKEFILE = (ROOT / "Makefile").read_text()
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
ENTRY_POINTS = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]


def typed(page: str) -> Iterator[list[str]]:
    """The words of every command in code blocks and code spans."""
    text = (ROOT / page).read_text()
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`([^`]+)`", prose)
    plain = "\n".join(block for language, block in blocks if not language)
    for line in [*plain.splitlines(), *spans]:
        words = shlex.split(line, comments=True)
        if words and words[0].removeprefix(".venv/bin/") in PROGRAMS and len(words) > 1:
            yield [words[0].removeprefix(".venv/bin/"), *words[1:]]


TYPED = [(page, words) for page in PAGES for words in typed(page)]


def check_make(words: list[str]) -> None:
    targets = re.findall(r"^([a-z][a-z-]*):", MAKEFILE, flags=re.MULTILINE)
    variables = re.findall(r"^([A-Z]+) \?=", MAKEFILE, flags=re.MULTILINE)
    for word in words:
        name, is_variable, _ = word.partition("=")
        assert name in (variables if is_variable else targets)


def check_bikeshare(words: list[str]) -> None:
    root: Any = typer.main.get_command(app)
    context = root.make_context("bikeshare", list(words))
    name, command, rest = root.resolve_command(context, context._protected_args + context.args)
    command.make_context(name, rest, parent=context)


def check_mlflow(words: list[str]) -> None:
    assert words[:3] == ["run", ".", "-e"]
    entry = ENTRY_POINTS[words[3]]
    given = [words[i + 1].partition("=")[0] for i, word in enumerate(words) if word == "-P"]
    assert set(given) <= set(entry["parameters"])
    assert words[words.index("--env-manager") + 1] in {"local", "uv"}


def check_pre_commit(words: list[str]) -> None:
    assert words == ["install"]
    config = ROOT / ".pre-commit-config.yaml"
    done = subprocess.run(
        [sys.executable, "-m", "pre_commit", "validate-config", config], check=False
    )
    assert done.returncode == 0
    ((hook,),) = [repo["hooks"] for repo in yaml.safe_load(config.read_text())["repos"]]
    assert (hook["entry"], hook["always_run"]) == ("make check", True)
    check_make(hook["entry"].split()[1:])


CHECKS = dict(
    zip(PROGRAMS, (check_make, check_bikeshare, check_mlflow, check_pre_commit), strict=True)
)


@pytest.mark.parametrize(
    ("page", "words"), TYPED, ids=[f"{page}: {' '.join(words)}" for page, words in TYPED]
)
def test_what_a_document_tells_people_to_type_exists(page: str, words: list[str]) -> None:
    assert page in PAGES
    CHECKS[words[0]](words[1:])


@pytest.mark.parametrize(
    "words",
    [words for _, words in TYPED if words[0] == "bikeshare" and words[1] in HARMLESS],
    ids=" ".join,
)
def test_what_a_document_tells_people_to_type_runs(
    words: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BIKESHARE_HOME", str(ROOT))
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "ops" / "prices.toml", "mine.toml")

    assert main(words[1:]) == 0


def test_the_documents_were_read() -> None:
    commands = {(words[0], words[1]) for _, words in TYPED}

    assert {"make", "bikeshare", "mlflow", "pre-commit"} == {program for program, _ in commands}
    assert {("make", "demo"), ("bikeshare", "promote"), ("mlflow", "run")} <= commands


@pytest.mark.parametrize(
    "words",
    [["bikeshare", "trian"], ["bikeshare", "train", "--horizn", "3"], ["make", "demmo"]],
)
def test_a_misspelt_command_would_be_found(words: list[str]) -> None:
    with pytest.raises(Exception, match=r"trian|horizn|demmo"):
        CHECKS[words[0]](words[1:])


def test_the_list_of_targets_runs_without_an_environment_and_names_them() -> None:
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert all(f"  make {name} " in done.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_make_target_hands_the_city_on_wherever_it_means_something(name: str) -> None:
    options = {option for param in COMMANDS[name].params for option in param.opts}
    recipe = re.search(rf"^{name}:.*\n((?:\t.*\n)+)", MAKEFILE, flags=re.MULTILINE)
    assert recipe is not None

    assert ("$(city)" in recipe[1]) == ("--city" in options)
    assert ("BIKESHARE_CITY=$(CITY)" in recipe[1]) == (name == "dashboard")


def test_python_is_the_same_range_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    low, below = doctor.PYTHON, doctor.BELOW
    assert project["requires-python"] == f">={low[0]}.{low[1]},<{below[0]}.{below[1]}"
    assert f"{low} <= sys.version_info[:2] < {below}" in MAKEFILE
    for page in (MAKEFILE, (ROOT / "README.md").read_text()):
        assert f"Python 3.{low[1]} or 3.{below[1] - 1}" in page


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_no_default_of_mlproject_overrides_a_setting(name: str) -> None:
    settings = {key.rpartition(".")[2] for key in keys()}

    for parameter, described in ENTRY_POINTS[name]["parameters"].items():
        assert parameter not in settings or described["default"] == ""


@pytest.mark.parametrize("name", ["deploy", "train"])
def test_mlproject_takes_every_option_that_changes_what_is_done(name: str) -> None:
    options = {
        param.opts[0].removeprefix("--").replace("-", "_") for param in COMMANDS[name].params
    }

    where = {"engine", "scheduler", "workers"}  # not what, and its environment has no Dask
    assert options - {"json"} - where == set(ENTRY_POINTS[name]["parameters"])
