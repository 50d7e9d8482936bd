"""`bikeshare`: arguments to flow to exit code.

A command parses, opens, calls one flow and prints what it returned. `main` is the only place that
turns errors into messages: one line on stderr, and the exit code of domain.errors. Nothing heavy is
imported before a command runs.
"""

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from mlops_bikeshare.cli import commands, given, screen
from mlops_bikeshare.cli.failures import BAD_INPUT, INTERRUPTED, explain
from mlops_bikeshare.cli.screen import LogFormat, LogLevel
from mlops_bikeshare.flows.process import stopping

_SIGINT = 130
_BUG = 70
EXIT_CODES = """\b
Exit codes:
  0   done
  1   a decision went against: gate failed, promotion or rollback refused
  2   bad input, something is missing, or stopped by you
  3   the gate cannot know
  70  a mistake in bikeshare itself"""

app = typer.Typer(
    name="bikeshare",
    help="Predict bike and dock stockouts, and keep the model that does so healthy.",
    epilog=EXIT_CODES,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["--help", "-h"]},
)


@app.callback(invoke_without_command=True)
def options(
    context: typer.Context,
    workspace: Annotated[
        str | None, typer.Option(help="State lives in var/NAME.", autocompletion=given.workspaces)
    ] = None,
    profile: Annotated[str | None, typer.Option(help="local or aws.")] = None,
    log_format: Annotated[
        LogFormat | None,
        typer.Option(
            envvar="BIKESHARE_LOG_FORMAT",
            help="Of lines on stderr; default: rich on terminals, else plain.",
        ),
    ] = None,
    log_level: Annotated[
        LogLevel, typer.Option(envvar="BIKESHARE_LOG_LEVEL", help="The least that is shown.")
    ] = LogLevel.INFO,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Predict bike and dock stockouts, and keep the model that does so healthy.

    Options before the command hold for every command.
    """
    given.keep(workspace=workspace, profile=profile)
    screen.start(log_format, log_level)
    if version:
        from importlib.metadata import version as installed

        screen.say(f"bikeshare {installed('mlops_bikeshare')}")
    elif context.invoked_subcommand is None:
        screen.say(context.get_help())


commands.add_to(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    # Threads that spin while they wait make training ten times slower on a machine that others use.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    command = typer.main.get_command(app)
    given_ = list(arguments) if arguments is not None else None
    try:
        with stopping.heard():
            code = command.main(args=given_, prog_name="bikeshare", standalone_mode=False)
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        code = _SIGINT
    except Exception as error:
        screen.clear()
        explained = explain(error)
        if explained is None:
            traceback.print_exc()
            explained = (f"unforeseen {type(error).__name__}: please report the lines above", _BUG)
        line, code = explained
        print(f"bikeshare: {line}", file=sys.stderr)
        return code
    screen.clear()
    if code == _SIGINT:
        print(f"bikeshare: {INTERRUPTED}", file=sys.stderr)
        return BAD_INPUT
    return code if isinstance(code, int) else 0
