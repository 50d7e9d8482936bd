import json
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlops_bikeshare.cli import looking
from mlops_bikeshare.flows.doctor import examine
from mlops_bikeshare.flows.status import looked_at
from mlops_bikeshare.settings import load

if TYPE_CHECKING:
    from subprocess import CompletedProcess

Bikeshare = Callable[..., "CompletedProcess[str]"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def made(home: Path, workspace: str, *, data: bool = False) -> None:
    folder = home / "var" / workspace
    (folder / "lake" if data else folder).mkdir(parents=True)
    (folder / "workspace.json").write_text('{"clock": "simulated", "now": "2025-06-23T00:00:00Z"}')


def test_status_of_nothing_says_so_says_what_to_type_and_makes_nothing(
    bikeshare: Bikeshare, home: Path
) -> None:
    done = bikeshare("status")

    assert done.returncode == 0
    assert "workspace   main (none yet)" in done.stdout
    assert "last gate   none yet" in done.stdout
    assert "bikeshare --workspace main ingest --recording FOLDER" in done.stdout
    assert not (home / "var").exists()


def test_status_of_an_empty_workspace_is_honest_in_json_too(inside: Bikeshare, home: Path) -> None:
    made(home, "main")
    seen = json.loads(inside("status", "--json").stdout)

    assert (seen["exists"], seen["clock"], seen["now"]) == (
        True,
        "simulated",
        "2025-06-23T00:00:00Z",
    )
    assert seen["host"] is seen["gate"] is None
    assert all(table["at"] is table["age_s"] is None for table in seen["tables"])
    assert set(seen["models"].values()) == {None}


@pytest.mark.parametrize(
    ("there", "environ", "flags", "looked"),
    [
        ([], {}, {}, "main"),
        (["demo"], {}, {}, "demo"),
        (["demo", "main"], {}, {}, "main"),
        (["demo", "an empty main"], {}, {}, "demo"),
        (["demo"], {"BIKESHARE_WORKSPACE": "other"}, {}, "other"),
        (["demo"], {}, {"workspace": "main"}, "main"),
    ],
)
def test_the_demo_is_looked_at_while_there_is_nothing_else_and_nothing_was_named(
    home: Path, there: list[str], environ: dict[str, str], flags: dict[str, str], looked: str
) -> None:
    for name in there:
        made(home, name.removeprefix("an empty "), data="empty" not in name)

    chosen, why = looked_at(load(home, environ, flags))

    assert chosen.workspace == looked
    assert (why is not None) == (looked == "demo")


def test_doctor_names_the_origin_of_settings_and_shows_no_password(
    bikeshare: Bikeshare, home: Path
) -> None:
    text = (home / "bikeshare.toml").read_text()
    (home / "bikeshare.toml").write_text('tracking_uri = "http://me:sec@ret@127.0.0.1:1"\n' + text)
    done = bikeshare("doctor", "--city", "taipei", BIKESHARE_GATE__PSI="0.3")

    assert done.returncode == 2
    assert "ret@" not in done.stdout + done.stderr
    assert "fail  tracking store      http://***@127.0.0.1:1: no answer" in done.stdout
    assert "0.3  (environment BIKESHARE_GATE__PSI)" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("1 to mend")


def test_the_password_of_a_store_is_no_argument_that_others_can_read(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    became: list[tuple[list[str], Mapping[str, str]]] = []
    monkeypatch.setattr(os, "execve", lambda _, command, environ: became.append((command, environ)))
    monkeypatch.setenv("BIKESHARE_HOME", str(home))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:secret@127.0.0.1:1/mlflow")

    looking.mlflow_ui(port=free_port())

    ((command, environ),) = became
    assert command[1:4] == ["-m", "mlflow", "ui"]
    assert not any("secret" in argument for argument in command)
    assert environ["MLFLOW_BACKEND_STORE_URI"] == "postgresql://me:secret@127.0.0.1:1/mlflow"


def test_doctor_sees_a_taken_port_a_misspelt_variable_and_a_city_without_a_feed(
    home: Path,
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = load(home, {}, {"serving.port": port})
        found = examine(settings, {"BIKESHARE_GATE__PSY": "1"}, city="taipei")

    said = {finding.name: finding for finding in found.findings}
    assert said["port of the host"].verdict == "warn"
    assert str(port) in said["port of the host"].seen
    assert said["environment"].seen == "BIKESHARE_GATE__PSY is ignored"
    assert said["feed of taipei"].verdict == "ok"
    assert said["packages"].verdict == said["python"].verdict == said["var"].verdict == "ok"
    assert all(finding.todo for finding in found.findings if finding.verdict != "ok")
