"""What was given on the command line, and what it opens: settings, a city, a workspace.

Options before the command (`--workspace`, `--profile`) hold for all of them; they are kept here
from the start of a command to its end.
"""

import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from mlops_bikeshare.backends import Workspace
    from mlops_bikeshare.domain.city import City
    from mlops_bikeshare.domain.windows import Window
    from mlops_bikeshare.settings import Settings

_flags: dict[str, Any] = {}


def keep(**flags: Any) -> None:
    """Remember the options before the command; those of an earlier command are forgotten."""
    _flags.clear()
    _flags.update(flags)


def settings(flags: Mapping[str, Any] | None = None) -> "Settings":
    """The settings, with the flags of this command first."""
    from mlops_bikeshare.settings import load

    return load(Path.cwd(), os.environ, {**_flags, **(flags or {})})


def opened(
    city: str | None,
    flags: Mapping[str, Any] | None = None,
    *,
    simulated: bool | None = None,
) -> "tuple[Workspace, City]":
    """The workspace and the city to work on; an unknown city leaves no workspace behind."""
    from mlops_bikeshare.backends import open_workspace

    found = settings(flags)
    if city is not None:
        found.city(city)
    ws = open_workspace(found, simulated=simulated)
    return ws, ws.settings.city(city)


def window(text: str | None, key: str) -> "Window | None":
    """A range; `key` is the flag that a message names."""
    from mlops_bikeshare.domain.windows import Window

    return Window.parse(text, key=key) if text else None


class Engine(StrEnum):
    """Who computes."""

    LOCAL = "local"
    DASK = "dask"


def cluster(engine: Engine, scheduler: str | None, workers: int | None) -> dict[str, Any] | None:
    """What a flow on Dask is told; None where this process computes."""
    from mlops_bikeshare.domain.errors import InputError

    asked = {"scheduler": scheduler, "workers": workers}
    told = {name: value for name, value in asked.items() if value is not None}
    if engine is Engine.LOCAL and told:
        raise InputError(
            f"--{min(told)} is of a Dask cluster; add --engine dask, or leave --{min(told)} out"
        )
    if len(told) > 1:
        raise InputError("--workers are started here, --scheduler has its own; give one of the two")
    return None if engine is Engine.LOCAL else told


def examples(*lines: str) -> str:
    r"""The end of a command's help; \b keeps its lines apart."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def _cities(incomplete: str) -> list[str]:
    return [name for name in settings().cities if name.startswith(incomplete)]


def workspaces(incomplete: str) -> list[str]:
    """Names of workspaces, for shell completion."""
    folders = settings().workspaces.glob("*/workspace.json")
    return sorted(f.parent.name for f in folders if f.parent.name.startswith(incomplete))


CityName = Annotated[
    str | None,
    typer.Option("--city", help="City in bikeshare.toml.", autocompletion=_cities),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Folder = Annotated[Path | None, typer.Option("--recording", help="Folder of a recording.")]
Range = Annotated[str | None, typer.Option(help="START..END, UTC, end exclusive.")]
EndpointName = Annotated[str | None, typer.Option(help="Default: the city's staging.")]
OnEngine = Annotated[Engine, typer.Option("--engine", help="dask: by the workers of a cluster.")]
Scheduler = Annotated[
    str | None, typer.Option(help="Of a Dask cluster, tcp://host:8786; default: one here.")
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Worker processes of a cluster here; default: 2.")
]
