"""Commands that only look: status, doctor, explain, dashboard, mlflow-ui.

Without --workspace they look at the workspace of the settings, or at the demo's while that one does
not exist yet; they say which, and they make none.
"""

import os
import sys
from typing import Annotated

import typer

from mlops_bikeshare.cli import screen
from mlops_bikeshare.cli.given import AsJson, CityName, opened, settings
from mlops_bikeshare.domain.errors import SettingsError

Port = Annotated[int, typer.Option(min=1, max=65535, help="On 127.0.0.1.")]
COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}
DASHBOARD_PORT, MLFLOW_PORT = 8501, 5000


def status(city: CityName = None, json_: AsJson = False) -> None:
    """One screen: clock, tables, batches, endpoints, models, last gate, and what to type next."""
    from mlops_bikeshare.flows import status as flow
    from mlops_bikeshare.flows.status_text import summary

    seen = flow.status(settings(), city=city)
    screen.show(seen, summary(seen), as_json=json_)


def doctor(city: CityName = None, json_: AsJson = False) -> None:
    """Check this machine, the settings and what they point to; exit 2 when something fails."""
    from mlops_bikeshare.flows import doctor as flow

    found = flow.examine(settings(), os.environ, city=city)
    screen.show(found, flow.summary(found, paint=_verdict), as_json=json_)
    if found.failures:
        raise typer.Exit(2)


def explain(
    station: Annotated[str, typer.Option(help="Id of the station.")],
    dt: Annotated[str, typer.Option(help="Decision time, UTC.")],
    city: CityName = None,
    alias: Annotated[
        str | None, typer.Option(help="Alias or version; default: champion, else challenger.")
    ] = None,
    horizon: Annotated[int, typer.Option(help="Minutes ahead.")] = 30,
    top: Annotated[int, typer.Option(min=1, help="Features to show.")] = 8,
    json_: AsJson = False,
) -> None:
    """Why a model expects a stockout at a station: what moved its answers, by TreeSHAP."""
    from mlops_bikeshare.domain.windows import parse_time
    from mlops_bikeshare.flows import explain as flow

    at = parse_time(dt, key="--dt")
    ws, where = opened(city)
    found = flow.explain(
        ws, where, station_id=station, at=at, reference=alias, horizon_min=horizon, top=top
    )
    screen.show(found, flow.summary(found), as_json=json_)


def dashboard(port: Port = DASHBOARD_PORT) -> None:
    """Open the City Map on a workspace, until Ctrl-C."""
    from mlops_bikeshare.flows.status import looked_at

    chosen, why = looked_at(settings())
    _free(port)
    screen.say(f"City Map of {_where(chosen.workspace, why)}: http://127.0.0.1:{port}")
    arguments = ["--port", str(port), "--workspace", chosen.workspace]
    _become([sys.executable, "-m", "dashboards", *arguments], BIKESHARE_HOME=str(chosen.root))


def mlflow_ui(port: Port = MLFLOW_PORT) -> None:
    """Open MLflow on a workspace's runs and models, until Ctrl-C."""
    from mlops_bikeshare.flows.status import looked_at, store_of

    chosen, why = looked_at(settings())
    if store_of(chosen) is None:
        msg = f"nothing was tracked in {chosen.mlflow_home / 'mlflow.db'} yet"
        raise SettingsError(f"{msg}; run `make demo`, or `bikeshare train` on a city of yours")
    _free(port)
    screen.say(f"MLflow of {_where(chosen.workspace, why)}: http://127.0.0.1:{port}/#/experiments")
    command = [sys.executable, "-m", "mlflow", "ui"]
    command += ["--artifacts-destination", str(chosen.mlflow_home / "mlartifacts")]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    # Its job runner and its warnings to developers are nothing to a person who opens a window.
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PYTHONWARNINGS": "ignore"}
    # The address may carry a password, and everyone on a machine may read arguments.
    store = {"MLFLOW_BACKEND_STORE_URI": chosen.mlflow_uri}
    _become(command, MLFLOW_DISABLE_TELEMETRY="true", **quiet, **store)


def _verdict(verdict: str) -> str:
    return screen.paint(f"{verdict:<5}", COLOURS[verdict])


def _where(workspace: str, why: str | None) -> str:
    return f"workspace {workspace!r}" + (f" ({why})" if why else "")


def _free(port: int) -> None:
    from mlops_bikeshare.flows.probes import is_free

    if not is_free(port):
        msg = f"port {port} of 127.0.0.1 is taken by another program"
        raise SettingsError(f"{msg}; choose another with --port")


def _become(command: list[str], **environment: str) -> None:
    """Let the other program take this process's place: Ctrl-C and SIGTERM reach it directly."""
    sys.stdout.flush()
    os.execve(command[0], command, {**os.environ, **environment})  # noqa: S606 - no shell
