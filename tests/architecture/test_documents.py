import importlib.util
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from mlops_bikeshare.cli import app, reference
from mlops_bikeshare.domain.dictionary import dictionary
from mlops_bikeshare.settings import keys

ROOT = Path(__file__).resolve().parents[2]
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = re.findall(r"^([a-z][a-z-]*):", MAKEFILE, flags=re.MULTILINE)
ENTRY_POINTS = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]


@pytest.mark.parametrize(
    ("page", "generated"),
    [
        ("commands.md", reference.commands),
        ("settings.md", reference.settings),
        ("data_dictionary.md", dictionary),
    ],
)
def test_a_generated_page_is_what_the_code_says(page: str, generated: Any) -> None:
    assert (ROOT / "docs" / page).read_text() == generated(), "run `make docs`"


def test_every_key_of_the_settings_file_is_documented() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    document = tomllib.loads((ROOT / "bikeshare.toml").read_text())
    cities = {key for city in document.pop("cities").values() for key in city}

    assert all(f"| `{key.rpartition('.')[2]}` |" in page for key in [*keys(), *cities])


def test_every_command_is_documented_and_has_a_make_target() -> None:
    page = (ROOT / "docs" / "commands.md").read_text()

    assert all(f"## bikeshare {name}\n" in page for name in COMMANDS)
    assert set(COMMANDS) <= set(TARGETS)


def test_every_make_target_is_phony_and_in_its_help() -> None:
    helped = re.findall(r"^([a-z][a-z-]*):.*## ", MAKEFILE, flags=re.MULTILINE)
    listed = re.search(r"^\.PHONY:(.*?)\n\n", MAKEFILE, flags=re.MULTILINE | re.DOTALL)

    assert set(TARGETS) == set(helped)
    assert listed is not None
    assert set(TARGETS) <= set(listed[1].replace("\\", " ").split())


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_every_entry_point_has_a_module_and_a_command_that_takes_its_parameters(name: str) -> None:
    command = COMMANDS["demo" if name == "main" else name]
    options = {option for param in command.params for option in param.opts}

    assert importlib.util.find_spec(f"projects.{name}") is not None
    assert f"python -m projects.{name} " in ENTRY_POINTS[name]["command"]
    for parameter in ENTRY_POINTS[name]["parameters"]:
        assert f"--{parameter.replace('_', '-')}" in options
        assert f"{{{parameter}}}" in ENTRY_POINTS[name]["command"]
