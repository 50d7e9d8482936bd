from typing import Any

import pytest

import projects
from mlops_bikeshare import cli


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        (["--city", "", "--rounds", ""], []),
        (["--city", "x", "--initial", ""], ["--city", "x"]),
        (["--initial", "true", "--city", "x"], ["--initial", "--city", "x"]),
        (["--initial", "False"], []),
        (["--initial", "perhaps"], ["--initial=perhaps"]),
    ],
)
def test_an_empty_parameter_is_not_given_and_a_switch_is_true_or_false(
    arguments: list[str], given: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[Any] = []
    monkeypatch.setattr(cli, "main", ran.append)

    with pytest.raises(SystemExit):
        projects.run("deploy", arguments, switches=["--initial"])

    assert ran == [["deploy", *given]]


def test_a_switch_with_another_value_is_refused_by_its_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as left:
        projects.run("deploy", ["--initial", "perhaps"], switches=["--initial"])

    assert left.value.code == 2
    assert "--initial" in capsys.readouterr().err
