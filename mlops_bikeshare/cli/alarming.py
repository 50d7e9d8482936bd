"""Commands of operations: alarms, alarms apply, notify test, exporter, schedule."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from mlops_bikeshare.cli import screen
from mlops_bikeshare.cli.given import AsJson, CityName, opened, settings


def alarms(context: typer.Context, city: CityName = None, json_: AsJson = False) -> None:
    """The alarms as they are now: exit 0 all quiet, 1 one fires, 3 one cannot know."""
    if context.invoked_subcommand is not None:
        return
    from mlops_bikeshare.flows import alarms as flow

    ws, where = opened(city)
    found = flow.now(ws, where)
    screen.show(found, flow.summary(found), as_json=json_)
    raise typer.Exit(flow.exit_code(found))


def alarms_apply(
    city: CityName = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be put, as JSON.")
    ] = False,
    json_: AsJson = False,
) -> None:
    """Put the alarms into CloudWatch; those that the catalogue no longer has are deleted."""
    from mlops_bikeshare.flows import alarms as flow

    if dry_run:
        known = settings()
        screen.show(flow.definitions(known, known.city(city)), "", as_json=True)
        return
    ws, where = opened(city)
    done = flow.apply(ws, where)
    text = "\n".join(f"{what} {name}" for name, what in done.items())
    screen.show(done, text, as_json=json_)


def notify_test(city: CityName = None, json_: AsJson = False) -> None:
    """Send a test message to every channel: exit 1 when one does not take it."""
    from mlops_bikeshare.flows import notify as flow

    ws, where = opened(city)
    told = flow.test(ws, where)
    screen.show(told, flow.summary(told), as_json=json_)
    if any(one.failure for one in told):
        raise typer.Exit(1)


def exporter(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: a free one.")] = 9108,
) -> None:
    """Show everything in the metric store to Prometheus, until stopped.

    At http://127.0.0.1:PORT/metrics, whether the endpoint host runs or not.
    """
    from mlops_bikeshare.flows import exporter as flow
    from mlops_bikeshare.flows.process.stopping import asked_to_stop

    ws, _ = opened(None)
    with asked_to_stop() as stop:
        flow.run(ws, port=port, stop=stop, ready=screen.say)


def schedule_cron(city: CityName = None) -> None:
    """Print a crontab of [schedule]: `bikeshare schedule cron | crontab -` replaces yours."""
    from mlops_bikeshare.flows import schedule as flow

    known = settings()
    screen.say(flow.cron(known, [known.city(city)], program=_program()).rstrip())


def schedule_systemd(
    city: CityName = None,
    into: Annotated[
        Path | None, typer.Option(help="Folder to write the units to; default: print them.")
    ] = None,
) -> None:
    """Print or write systemd's services and timers of [schedule]."""
    from mlops_bikeshare.flows import schedule as flow

    known = settings()
    units = flow.systemd(known, [known.city(city)], program=_program())
    for name, text in units.items():
        if into is None:
            screen.say(f"# {name}\n{text}")
        else:
            into.mkdir(parents=True, exist_ok=True)
            (into / name).write_text(text, encoding="utf-8")
            screen.say(str(into / name))


def schedule_airflow(
    city: CityName = None,
    into: Annotated[
        Path | None, typer.Option(help="Folder of the DAGs; default: print the plan.")
    ] = None,
) -> None:
    """Print or write the plan of [schedule] that ops/airflow/bikeshare_dags.py makes DAGs of."""
    from mlops_bikeshare.flows import schedule_airflow as flow

    known = settings()
    plan = flow.plan(known, [known.city(city)], program=_program())
    if into is None:
        screen.show(plan, "", as_json=True)
        return
    into.mkdir(parents=True, exist_ok=True)
    (into / flow.FILE).write_text(json.dumps(plan, indent=2) + "\n", encoding="utf-8")
    screen.say(str(into / flow.FILE))


def poll(city: CityName = None, json_: AsJson = False) -> None:
    """One poll of the city's feed, for the interval that ends next; for cron and systemd."""
    from mlops_bikeshare.flows import live_feed as flow

    ws, where = opened(city, simulated=False)
    polled = flow.poll(ws, where)
    text = f"{where.name} {polled.at:%F %H:%M}: {polled.failure or f'{polled.rows:,} rows'}"
    screen.show(polled, text, as_json=json_)
    if polled.failure:
        raise typer.Exit(1)


def _program() -> Path:
    return Path(sys.argv[0]).absolute()
