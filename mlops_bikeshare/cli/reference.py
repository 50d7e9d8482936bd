"""Pages that are generated: `python -m mlops_bikeshare.cli.reference`.

Output   Markdown as text; `write` stores it in a folder. A test compares the stored pages.
"""

import dataclasses
import sys
import types
import typing
from pathlib import Path
from typing import Annotated, Any

import typer

from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.dictionary import dictionary
from mlops_bikeshare.settings import Settings

_COLUMNS = 80
_GENERATED = "This page is generated (`make docs`); do not edit it."
_COMMANDS = f"""# Commands

{_GENERATED} `bikeshare COMMAND --help` says the same. Every command has a make target of its name:
`make train CITY=boston ARGS="--rounds 100"`.

Results go to stdout, log lines and progress to stderr. Each flow ends with one line that says what
it read, wrote and took; `--log-format json` makes every line one JSON object. An error is one line
on stderr that names what is wrong, where, and what to do.

Colour appears on terminals only and never with `NO_COLOR=1`. Completion of commands, options,
cities, workspaces and aliases: `bikeshare --install-completion`, then open a new shell.

`status`, `dashboard` and `mlflow-ui` look at the workspace that was named (`--workspace` or
`BIKESHARE_WORKSPACE`), else at the one of the settings, else, while that one does not exist, at the
demo's; they say so.
"""
_SETTINGS = f"""# Settings

{_GENERATED}

One file, `bikeshare.toml`; its folder is the root of everything. It is the nearest one upwards from
where a command starts, or the one in `BIKESHARE_HOME`. Precedence: flag, environment variable,
`.streamlit/secrets.toml` (its own keys only), `bikeshare.toml`, default. `bikeshare doctor` prints
every value with its origin. An unknown key is an error that names the known ones.
"""
_CITIES = """## `[cities.NAME]`

A city is a table of its own; names are lower-case letters, digits and hyphens.
"""
_OTHERS = """## Environment only

| variable | meaning |
|---|---|
| `BIKESHARE_HOME` | folder of `bikeshare.toml` |
| `MLFLOW_TRACKING_URI` | MLflow store, before `tracking_uri` |
| `BIKESHARE_LOG_FORMAT`, `BIKESHARE_LOG_LEVEL` | as `--log-format`, `--log-level` |
| `NO_COLOR` | no colour, on terminals either |
| `BIKESHARE_RECORDINGS` | folder of the real recordings that some tests need |

## `.streamlit/secrets.toml`

Read by the dashboard; each may also be an environment variable, such as `BIKESHARE_CITY`.
`.streamlit/secrets.example.toml` is one to copy; a key that is not here is refused.

| key | meaning | default |
|---|---|---|
| `sm_endpoint` | endpoint that is shown | the last promotion's |
| `city` | city that is shown | the one in the workspace |
| `street_tiles` | street map: `true` at once, `false` never, or where tiles are | on request |
| `athena_output` | `s3://` folder of results; it makes the dashboard read AWS | unset |
| `region` | AWS region | `region` |
| `aws_profile` | profile of Athena, CloudWatch and S3 | boto3's own |
| `db` | database of Athena | `lake.database` |
| `workgroup` | workgroup of Athena | `lake.workgroup` |
| `cw_custom_ns` | namespace of the model's metrics | `Bikeshare/Model` |
| `view_station_info_latest` | view of the stations | `v_station_information` |
| `view_predictions` | view of the newest batch | `v_predictions` |
| `view_quality` | view of the last day's quality | `v_quality` |
"""


def commands() -> str:
    """Every command with its help."""
    from mlops_bikeshare.cli import app

    root: Any = typer.main.get_command(app)
    parts = [_COMMANDS, _help(root, "bikeshare", None)]
    parent = root.context_class(root, info_name="bikeshare")
    for name, command in root.commands.items():
        parts.append(_help(command, name, parent))
        below = command.context_class(command, info_name=name, parent=parent)
        inner = getattr(command, "commands", {})
        parts += [_help(one, called, below) for called, one in inner.items()]
    return "\n".join(parts)


def settings() -> str:
    """Every key of bikeshare.toml."""
    fields = [
        f for f in dataclasses.fields(Settings) if f.name not in {"root", "cities", "origins"}
    ]
    hints = typing.get_type_hints(Settings, include_extras=True)
    top = [f for f in fields if typing.get_origin(hints[f.name]) is Annotated]
    parts = [_SETTINGS, "## Top level\n", _table(Settings, top, section="")]
    for item in fields:
        if item not in top:
            section = hints[item.name]
            parts += [f"## `[{item.name}]`\n", f"{section.__doc__}\n"]
            parts.append(_table(section, dataclasses.fields(section), section=item.name))
    cities = [f for f in dataclasses.fields(City) if f.name not in {"name", "label"}]
    parts += [_CITIES, _table(City, cities, section=None), _OTHERS]
    return "\n".join(parts)


def write(folder: Path) -> None:
    """Store commands.md, settings.md and data_dictionary.md."""
    (folder / "commands.md").write_text(commands(), encoding="utf-8")
    (folder / "settings.md").write_text(settings(), encoding="utf-8")
    (folder / "data_dictionary.md").write_text(dictionary(), encoding="utf-8")


def _help(command: Any, name: str, parent: Any) -> str:
    context = command.context_class(
        command,
        info_name=name,
        parent=parent,
        terminal_width=_COLUMNS,
        max_content_width=_COLUMNS,
        **command.context_settings,
    )
    title = context.command_path
    text = command.get_help(context)
    lines = "\n".join(line.rstrip() for line in text.splitlines())
    return f"## {title}\n\n```\n{lines}\n```\n"


def _table(owner: type, fields: typing.Iterable[Any], *, section: str | None) -> str:
    """One row a key; `section` None: keys that have no environment variable."""
    hints = typing.get_type_hints(owner, include_extras=True)
    with_variable = section is not None
    head = ["key", "type", "default", "meaning"] + (["environment"] if with_variable else [])
    lines = [_row(head), _row(["---"] * len(head))]
    for item in fields:
        kind, meaning, *bounds = typing.get_args(hints[item.name])
        words = " ".join([_kind(kind), *(bound.words for bound in bounds)])
        cells = [f"`{item.name}`", words, _default(item), meaning]
        if with_variable:
            prefix = f"{section}__" if section else ""
            cells.append(f"`BIKESHARE_{prefix}{item.name}`".upper())
        lines.append(_row(cells))
    return "\n".join(lines) + "\n"


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _kind(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return " or ".join(f"`{choice}`" for choice in typing.get_args(hint))
    if isinstance(hint, types.UnionType):
        return " or ".join(_kind(part) for part in typing.get_args(hint) if part is not type(None))
    return {str: "text", int: "whole number", float: "number"}[hint]


def _default(item: Any) -> str:
    if item.default is dataclasses.MISSING:
        return "required"
    return "unset" if item.default is None else f"`{item.default}`"


def write_ops(root: Path) -> None:
    """Store what is made of the catalogue of alarms, with the limits of the root's settings."""
    from mlops_bikeshare.flows import ops_files
    from mlops_bikeshare.settings import load

    ops_files.write(load(root, {}, {}), root)


if __name__ == "__main__":
    docs = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    write(docs)
    write_ops(docs.absolute().parent)
