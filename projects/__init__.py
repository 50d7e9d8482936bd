"""One module per MLproject entry point; each hands its parameters to the command of its name.

MLflow passes every parameter as text and checks none. An empty one means "not given". The command
line checks the rest and names the key, the value and what is allowed.
"""

import sys
from collections.abc import Sequence


def run(command: str, arguments: Sequence[str]) -> None:
    """Run `bikeshare <command>` with MLproject's arguments; ends the process with its exit code."""
    from mlops_bikeshare.cli import main

    given: list[str] = []
    pairs = list(arguments)
    while pairs:
        flag = pairs.pop(0)
        value = pairs.pop(0) if pairs and not pairs[0].startswith("--") else ""
        given += [flag, value] if value else []
    sys.exit(main([command, *given]))
