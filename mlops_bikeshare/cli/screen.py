"""What people and machines see: results on stdout; log lines and progress bars on stderr.

Log lines come as `rich` (colour, above a running bar), `plain` or `json` (one object a line: time,
level, event, message, and the fields of a flow). Colour only on terminals, and never with NO_COLOR.
"""

import json
import logging
import os
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from mlops_bikeshare.flows.process.progress import Track, silent

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

T = TypeVar("T")
_running: "list[Progress]" = []


class LogFormat(StrEnum):
    """How log lines look."""

    RICH = "rich"
    PLAIN = "plain"
    JSON = "json"


class LogLevel(StrEnum):
    """The least important lines that are shown."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def start(log_format: LogFormat | None, level: LogLevel) -> None:
    """Send log lines to stderr in this form; None: rich on terminals, plain elsewhere."""
    chosen = log_format or (LogFormat.RICH if sys.stderr.isatty() else LogFormat.PLAIN)
    handler = _Rich() if chosen is LogFormat.RICH else logging.StreamHandler()
    handler.setFormatter(_Json() if chosen is LogFormat.JSON else _Plain())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("mlops_bikeshare").setLevel(level.upper())
    # It warns of each new attempt; the poll says in our words what came of them.
    logging.getLogger("stamina").setLevel(logging.ERROR)
    # Other people's warnings are lines like all others, not three lines across a bar.
    logging.captureWarnings(capture=True)


def track() -> Track:
    """Bars with the time left on terminals; nothing where nobody watches."""
    root = logging.getLogger()
    watched = sys.stderr.isatty() and not any(isinstance(h.formatter, _Json) for h in root.handlers)
    return _bar if watched else silent


def clear() -> None:
    """Take a bar away that an error left behind."""
    while _running:
        _running.pop().stop()


def show(value: Any, text: str, *, as_json: bool) -> None:
    """Print a result for people, or as JSON."""
    if as_json:
        from mlops_bikeshare.domain.reports import to_json

        say(json.dumps(to_json(value), indent=2))
    else:
        say(text)


def say(text: str) -> None:
    """Print to stdout; whoever stopped reading (`| head`) does not change how a command ends."""
    try:
        typer.echo(text)
        sys.stdout.flush()
    except BrokenPipeError:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a descriptor, not a file
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


def paint(text: str, colour: str) -> str:
    """Colour for stdout, if it is a terminal and NO_COLOR is not set."""
    plain = (
        not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    )
    return text if plain else typer.style(text, fg=colour)


class _Plain(logging.Formatter):
    """`12:00:01 warning mlops_bikeshare.flows.ingest: …`, one line; our INFO is the event alone."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        said = " ".join(record.getMessage().split())
        if record.levelno > logging.INFO:
            said = f"{record.levelname.lower()}: {said}"
        return f"{at:%H:%M:%S} {said}"


class _Json(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "event": getattr(record, "event", record.name),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class _Rich(logging.Handler):
    """Lines that appear above a running bar."""

    _styles = ((logging.ERROR, "red"), (logging.WARNING, "yellow"), (logging.INFO, "default"))

    def emit(self, record: logging.LogRecord) -> None:
        style = next((s for level, s in self._styles if record.levelno >= level), "dim")
        _console().print(self.format(record), style=style, markup=False, soft_wrap=True)


@cache
def _console() -> "Console":
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def _bar(items: Iterable[T], *, label: str, total: int) -> Iterator[T]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    progress = Progress(*columns, console=_console(), transient=True)
    _running.append(progress)
    try:
        with progress:
            yield from progress.track(items, total=total, description=label)
    finally:
        if progress in _running:
            _running.remove(progress)
