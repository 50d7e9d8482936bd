"""One module per MLproject entry point; each hands its parameters to the command of its name.

MLflow passes every parameter as text and checks none. An empty one means "not given". A switch,
which the command line takes without a value, is `true` or `false`. The command line checks the rest
and names the key, the value and what is allowed.
"""

import sys
from collections.abc import Sequence


def run(command: str, arguments: Sequence[str], *, switches: Sequence[str] = ()) -> None:
    """Run `bikeshare <command>` with MLproject's arguments; ends the process with its exit code."""
    from mlops_bikeshare.cli import main

    given: list[str] = []
    pairs = list(arguments)
    while pairs:
        flag = pairs.pop(0)
        value = pairs.pop(0) if pairs and not pairs[0].startswith("--") else ""
        given += _switch(flag, value) if flag in switches else [flag, value] if value else []
    sys.exit(main([command, *given]))


def _switch(flag: str, value: str) -> list[str]:
    """The flag alone, or nothing; the command line refuses any other value by its name."""
    words = {"": [], "false": [], "true": [flag]}
    return words.get(value.lower(), [f"{flag}={value}"])
