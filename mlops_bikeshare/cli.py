"""`bikeshare`: arguments to flow to exit code.

Exit codes: 0 done; 1 a decision went against (gate failed, promotion refused); 2 bad input, or
something is missing; 3 the gate cannot know. Errors are one line on stderr.
"""

import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlops_bikeshare import cli_backtest
from mlops_bikeshare.domain.errors import BikeshareError

if TYPE_CHECKING:
    from mlops_bikeshare.backends import Workspace
    from mlops_bikeshare.domain.city import City
    from mlops_bikeshare.domain.windows import Window

INTERRUPTED = "stopped by you; what was finished is kept, run the same command to continue"

app = typer.Typer(
    name="bikeshare",
    help="Predict bike and dock stockouts, and keep the model that does so healthy.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_flags: dict[str, Any] = {}

CityName = Annotated[str | None, typer.Option("--city", help="City in bikeshare.toml.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Folder = Annotated[Path | None, typer.Option("--recording", help="Folder of a recording.")]
Range = Annotated[str | None, typer.Option(help="START..END, UTC, end exclusive.")]


@app.callback()
def options(
    workspace: Annotated[str | None, typer.Option(help="State lives in var/NAME.")] = None,
    profile: Annotated[str | None, typer.Option(help="local or aws.")] = None,
) -> None:
    """Options before the command hold for every command."""
    _flags.update(workspace=workspace, profile=profile)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")


@app.command()
def demo(
    recording: Folder = None,
    city: CityName = None,
    day: Annotated[str | None, typer.Option(help="UTC day to replay.")] = None,
    stations: Annotated[int, typer.Option(help="Of the simulated city.")] = 300,
    days: Annotated[int, typer.Option(help="Of the simulated city.")] = 21,
    json_: AsJson = False,
) -> None:
    """The whole lifecycle: train, deploy, replay a day, gate, promote, roll back, report.

    Without --recording the city is simulated.
    """
    from mlops_bikeshare.flows import demo as flow

    report = flow.demo(
        _settings(),
        city=city,
        recording=recording,
        day=day,
        simulation=flow.Simulation(stations=stations, days=days),
        track=_track(),
    )
    _show(report, flow.summary(report), json_=json_)
    if report["gate"]["verdict"] != "pass":
        raise typer.Exit(1)


@app.command()
def ingest(
    recording: Annotated[Path, typer.Option(help="Folder of a recording.")],
    city: CityName = None,
    window: Range = None,
    json_: AsJson = False,
) -> None:
    """Read the days of a recording into the lake."""
    from mlops_bikeshare.flows import ingest as flow

    ws, where = _open(city, simulated=True)
    done = flow.import_recording(ws, where, recording, window=_window(window), track=_track())
    _show(
        done,
        f"{done.city} {done.window}: {done.rows:,} rows, {done.days_written} new days, "
        f"{done.days_there} there already",
        json_=json_,
    )


@app.command()
def features(city: CityName = None, window: Range = None, json_: AsJson = False) -> None:
    """Build the features of the days in the lake."""
    from mlops_bikeshare.flows import features as flow

    ws, where = _open(city)
    done = flow.build(ws, where, window=_window(window), track=_track())
    _show(
        done,
        f"{done.city} {done.window}: {done.rows:,} rows, {done.days_written} new days, "
        f"{done.days_there} there already",
        json_=json_,
    )


@app.command()
def train(
    train_: Annotated[str | None, typer.Option("--train", help="START..END, UTC.")] = None,
    calibrate: Range = None,
    test: Range = None,
    city: CityName = None,
    rounds: Annotated[float | None, typer.Option(min=1, help="Most trees per target.")] = None,
    json_: AsJson = False,
) -> None:
    """Train both targets, evaluate against persistence, and register a challenger."""
    from mlops_bikeshare.flows import train as flow

    ws, where = _open(city, {"training.rounds": rounds})
    split = flow.choose_split(
        ws, where, train=_window(train_), calibrate=_window(calibrate), test=_window(test)
    )
    trained = flow.train(ws, where, split)
    _show(trained, flow.summary(trained), json_=json_)


@app.command()
def deploy(
    city: CityName = None,
    alias: Annotated[str, typer.Option(help="champion, challenger or a version.")] = "challenger",
    endpoint: Annotated[str | None, typer.Option(help="Default: the city's staging.")] = None,
    initial: Annotated[bool, typer.Option(help="A first production deploy.")] = False,
    json_: AsJson = False,
) -> None:
    """Put a registered version on an endpoint, and verify what is there."""
    from mlops_bikeshare.flows import deploy as flow

    ws, where = _open(city)
    done = flow.deploy(ws, where, version=alias, endpoint=endpoint, initial=initial)
    _show(done, f"{done.endpoint}: version {done.version}, {done.endpoint_config}", json_=json_)


@app.command()
def infer(
    city: CityName = None,
    dt: Annotated[str | None, typer.Option(help="Decision time; default: now.")] = None,
    json_: AsJson = False,
) -> None:
    """One batch of predictions on every endpoint of the city."""
    from mlops_bikeshare.domain.windows import parse_time
    from mlops_bikeshare.flows import infer as flow

    ws, where = _open(city)
    batches = flow.infer(ws, where, at=parse_time(dt, key="--dt") if dt else None)
    _show(batches, "\n".join(map(flow.summary, batches)), json_=json_)


@app.command()
def monitor(city: CityName = None, json_: AsJson = False) -> None:
    """Quality of matured labels and drift, up to now."""
    from mlops_bikeshare.flows import monitor as flow

    ws, where = _open(city)
    seen = flow.monitor(ws, where, at=ws.now)
    _show(seen, flow.summary(seen), json_=json_)


@app.command()
def gate(
    city: CityName = None,
    endpoint: Annotated[str | None, typer.Option(help="Default: the city's staging.")] = None,
    json_: AsJson = False,
) -> None:
    """Judge what an endpoint showed: exit 0 pass, 1 fail, 3 unknown."""
    from mlops_bikeshare.flows import gate as flow

    ws, where = _open(city)
    report = flow.gate(ws, where, endpoint=endpoint)
    _show(report, flow.summary(report), json_=json_)
    raise typer.Exit({"pass": 0, "fail": 1, "unknown": 3}[report.verdict])


@app.command()
def promote(
    city: CityName = None,
    dry_run: Annotated[bool, typer.Option(help="Print the plan only.")] = False,
    json_: AsJson = False,
) -> None:
    """Move the gated challenger to production; resumes where it was interrupted."""
    from mlops_bikeshare.flows import promote as flow

    ws, where = _open(city)
    if dry_run:
        steps = flow.plan(ws, where)
        _show(steps, flow.plan_summary(steps), json_=json_)
        return
    done = flow.promote(ws, where)
    _show(done, f"{done.endpoint}: version {done.from_version} → {done.to_version}", json_=json_)


@app.command()
def rollback(
    city: CityName = None,
    reason: Annotated[str, typer.Option(help="Kept in the audit.")] = "asked for by hand",
    json_: AsJson = False,
) -> None:
    """Put the previous champion back on production."""
    from mlops_bikeshare.flows import promote as flow

    ws, where = _open(city)
    done = flow.rollback(ws, where, reason=reason)
    _show(done, f"{done.endpoint}: version {done.from_version} → {done.to_version}", json_=json_)


@app.command()
def serve(
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0: a free one.")] = None,
    background: Annotated[bool, typer.Option(help="Return when it is ready.")] = False,
    replay_clock: Annotated[bool, typer.Option(help="Stamp metrics with the batch's dt.")] = False,
) -> None:
    """Run the local endpoint host until stopped."""
    from mlops_bikeshare.flows import serve as flow

    ws, _ = _open(None, {"serving.port": port})
    if background:
        typer.echo(f"endpoint host at {flow.start(ws, replay_clock=replay_clock)}")
    else:
        flow.run(ws, replay_clock=replay_clock)


@app.command()
def stop() -> None:
    """Stop the local endpoint host of the workspace."""
    from mlops_bikeshare.flows import serve as flow

    ws, _ = _open(None)
    typer.echo("endpoint host stopped" if flow.stop(ws) else "no endpoint host was running")


cli_backtest.register(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code. The only place that turns errors into messages."""
    command = typer.main.get_command(app)
    try:
        command.main(args=list(arguments) if arguments is not None else None, prog_name="bikeshare")
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0
    except BikeshareError as error:
        print(f"bikeshare: {' '.join(str(error).split())}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"bikeshare: {INTERRUPTED}", file=sys.stderr)
        return 2
    return 0


def _settings(flags: dict[str, Any] | None = None) -> Any:
    from mlops_bikeshare.settings import load

    return load(Path.cwd(), os.environ, {**_flags, **(flags or {})})


def _open(
    city: str | None, flags: dict[str, Any] | None = None, *, simulated: bool | None = None
) -> "tuple[Workspace, City]":
    from mlops_bikeshare.backends import open_workspace

    settings = _settings(flags)
    where = settings.city(city)
    return open_workspace(settings, simulated=simulated), where


def _window(text: str | None) -> "Window | None":
    from mlops_bikeshare.domain.windows import Window

    return Window.parse(text, key="range") if text else None


def _track() -> Any:
    from mlops_bikeshare.flows.progress import bar, silent

    return bar if sys.stderr.isatty() else silent


def _show(value: Any, text: str, *, json_: bool) -> None:
    if json_:
        from mlops_bikeshare.domain.reports import to_json

        typer.echo(json.dumps(to_json(value), indent=2))
    else:
        typer.echo(text)
