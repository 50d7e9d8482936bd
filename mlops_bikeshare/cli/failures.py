"""Errors as one line: what, where, what to do; and the exit code that goes with it."""

from typing import Any

import typer

from mlops_bikeshare.domain import aws_errors
from mlops_bikeshare.domain.errors import BikeshareError
from mlops_bikeshare.domain.wording import masked

INTERRUPTED = "stopped by you; nothing is half-written, run the same command again"
BAD_INPUT = 2
_BEFORE_THE_COMMAND = ("--workspace", "--profile", "--log-format", "--log-level")


def explain(error: Exception) -> tuple[str, int] | None:
    """The line and the exit code of an error; None for one that nobody foresaw."""
    if isinstance(error, BikeshareError):
        return _line(str(error)), error.exit_code
    if hasattr(error, "format_message"):
        return _line(_usage(error)), BAD_INPUT
    if isinstance(error, OSError):
        return _line(_system(error)), BAD_INPUT
    if type(error).__module__.startswith("mlflow."):
        return _line(f"MLflow: {error}"), BAD_INPUT
    if type(error).__module__.startswith(("botocore.", "boto3.")):
        return _line(f"AWS: {aws_errors.said(error)}"), BAD_INPUT
    return None


def _usage(error: Any) -> str:
    """An error of the command line, which names its key, the value and what is allowed."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "bikeshare"
    option = getattr(error, "option_name", None)
    if option in _BEFORE_THE_COMMAND and command != "bikeshare":
        rest = command.removeprefix("bikeshare ")
        return f"{option} goes before the command: bikeshare {option} … {rest}"
    message = error.format_message().rstrip(".")
    if isinstance(error, typer.BadParameter) and error.param is not None:
        message = _bad_value(error, message)
    return f"{message}; see `{command} --help`"


def _bad_value(error: typer.BadParameter, message: str) -> str:
    param: Any = error.param
    names = "/".join(param.opts) or param.name
    if message.startswith("Missing"):
        return f"{names} is missing: {getattr(param, 'help', '') or 'it is required'}".rstrip(".")
    reasons: list[Any] = getattr(error.__cause__, "errors", list)()
    if not reasons:
        return f"{names}: {error.message.rstrip('.')}"
    reason = reasons[0]
    if reason["type"] == "value_error":
        return f"{names}: {reason['ctx']['error']}".rstrip(".")
    kind = "a whole number" if "int" in str(param.type_descriptor) else "a number"
    return f"{names}: expected {kind}{_bounds(param)}, got {reason['input']!r}"


def _bounds(param: Any) -> str:
    low, high = param.min, param.max
    if low is not None and high is not None:
        return f" from {low} to {high}"
    return "" if low is None else f" of at least {low}"


def _system(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}; `bikeshare doctor` checks this machine"


def _line(text: str) -> str:
    """One line, without the passwords that addresses may carry."""
    return masked(" ".join(text.split()))
