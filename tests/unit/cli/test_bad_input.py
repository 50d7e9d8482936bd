import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from mlops_bikeshare.cli.failures import explain
from mlops_bikeshare.domain.errors import Refused, SettingsError

Bikeshare = Callable[..., "subprocess.CompletedProcess[str]"]


def one_line(done: "subprocess.CompletedProcess[str]") -> str:
    """What a failed command said, which must be one line and exit code 2."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("bikeshare: ")
    return done.stderr


def test_an_unknown_city_is_named_with_the_known_ones_and_leaves_no_workspace(
    bikeshare: Bikeshare, home: Path
) -> None:
    said = one_line(bikeshare("train", "--city", "atlantis"))

    assert "city 'atlantis' is not in bikeshare.toml; known: boston, demo" in said
    assert not (home / "var").exists()


def test_an_unknown_key_is_named_with_its_file(inside: Bikeshare, home: Path) -> None:
    with (home / "bikeshare.toml").open("a") as file:
        file.write("\n[alarms]\nloud = true\n")

    assert "alarms.loud: unknown key (bikeshare.toml)" in one_line(inside("status"))


@pytest.mark.parametrize("workspace", ["../../evil", ""])
def test_a_workspace_cannot_lie_outside_var(inside: Bikeshare, home: Path, workspace: str) -> None:
    said = one_line(inside("--workspace", workspace, "serve", "--background"))

    assert (
        f"workspace: expected text of lower-case letters, digits and hyphens, got {workspace!r}"
        in said
    )
    assert not (home / "var").exists()


def test_a_port_in_the_environment_is_checked_like_the_flag(inside: Bikeshare) -> None:
    said = one_line(inside("serve", BIKESHARE_SERVING__PORT="99999"))

    assert "serving.port: expected a whole number from 0 to 65535, got '99999' (environment" in said


def test_the_local_profile_is_told_that_it_needs_no_catalogue(inside: Bikeshare) -> None:
    said = one_line(inside("catalog", "apply"))

    assert "DuckDB reads the lake without a catalogue" in said
    assert "--profile aws" in said


def test_a_registry_that_is_not_used_names_its_setting(bikeshare: Bikeshare) -> None:
    said = one_line(bikeshare("registry", "sync", BIKESHARE_REGISTRY__SAGEMAKER="yes"))

    assert 'it needs profile aws and registry.sagemaker = "yes"' in said


def test_a_missing_recording_is_named_with_what_it_should_hold(
    inside: Bikeshare, home: Path
) -> None:
    said = one_line(inside("ingest", "--recording", str(home / "none")))

    assert f"no recording at {home / 'none'}: station_status.parquet is missing" in said


@pytest.mark.parametrize(
    ("frame", "complaint"),
    [
        (pd.DataFrame({"station_id": ["1"]}), "lacks the columns ['observed_at'"),
        (None, "is not a readable Parquet file"),
    ],
)
def test_a_malformed_recording_is_named_with_its_columns(
    inside: Bikeshare, home: Path, frame: pd.DataFrame | None, complaint: str
) -> None:
    path = home / "station_status.parquet"
    if frame is None:
        path.write_text("no parquet")
    else:
        frame.to_parquet(path)

    said = one_line(inside("ingest", "--recording", str(home)))

    assert str(path) in said
    assert complaint in said


def test_a_command_that_found_nothing_does_not_settle_the_clock_of_a_workspace(
    bikeshare: Bikeshare, home: Path
) -> None:
    assert "no features of boston" in one_line(bikeshare("train"))

    said = one_line(bikeshare("ingest", "--recording", str(home / "none")))

    assert "no recording at" in said


def test_without_a_host_the_message_says_how_to_start_it(bikeshare: Bikeshare) -> None:
    said = one_line(bikeshare("gate"))

    assert "no endpoint host runs for workspace 'main'" in said
    assert "`bikeshare --workspace main serve --background`" in said


@pytest.mark.parametrize("command", [["serve"], ["serve", "--background"], ["dashboard"]])
def test_a_port_that_is_taken_is_named(bikeshare: Bikeshare, command: list[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])

        said = one_line(bikeshare(*command, "--port", port))

    assert port in said
    assert said.count("bikeshare:") == 1


def test_mlflow_ui_without_runs_says_what_makes_some(bikeshare: Bikeshare) -> None:
    assert "run `make demo`" in one_line(bikeshare("mlflow-ui"))


def test_a_full_disk_or_a_lack_of_rights_is_one_line() -> None:
    explained = explain(OSError(28, "No space left on device", "/var/x"))

    assert explained == (
        "/var/x: No space left on device; `bikeshare doctor` checks this machine",
        2,
    )


def test_a_refusal_ends_with_1_and_a_password_is_never_shown() -> None:
    assert explain(Refused("no\n pass")) == ("no pass", 1)
    said = explain(SettingsError("https://me:secret@host/x does not answer"))
    assert said == ("https://***@host/x does not answer", 2)
    odd = explain(SettingsError("no answer from postgresql://u:p@ss/wo@rd@db:5432/x"))
    assert odd == ("no answer from postgresql://***@db:5432/x", 2)


def test_what_nobody_foresaw_is_left_to_the_traceback() -> None:
    assert explain(ZeroDivisionError("x")) is None


def test_a_parameter_of_mlproject_is_refused_by_its_key(
    home: Path, environment: dict[str, str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "projects.train", "--city", "", "--rounds", "abc"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "--rounds: expected a number of at least 1, got 'abc'" in one_line(done)
    assert not (home / "var").exists()


def test_ctrl_c_ends_a_demo_in_one_line_and_the_next_one_starts_anew(
    home: Path, environment: dict[str, str]
) -> None:
    command = [sys.executable, "-m", "mlops_bikeshare", "demo", "--stations", "20", "--days", "9"]
    for until in ("ingest demo", "features demo"):
        with subprocess.Popen(
            command, cwd=home, env=environment, stdout=-1, stderr=-1, text=True
        ) as demo:
            assert demo.stderr is not None
            assert any(until in line for line in demo.stderr)
            demo.send_signal(signal.SIGINT)
            rest = demo.stderr.read()

        assert demo.returncode == 2, rest
        assert rest.splitlines()[-1].startswith(
            "bikeshare: stopped by you; nothing is half-written"
        )
        assert "Traceback" not in rest
    assert not list(home.glob("var/*/host.json"))


def test_a_gate_names_a_window_that_is_no_hours_and_a_waiver_without_an_end(
    inside: Bikeshare,
) -> None:
    assert "--window: expected hours such as 24h" in one_line(inside("gate", "--window", "2d"))
    said = one_line(inside("gate", "--waive", "PSI", "--reason", "a marathon"))
    assert "--until: expected a UTC date or time" in said
