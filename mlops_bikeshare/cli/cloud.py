"""Commands of an account of AWS: its stacks and what it costs."""

from pathlib import Path
from typing import Annotated

import typer

from mlops_bikeshare.cli import given, screen
from mlops_bikeshare.cli.given import AsJson

Env = Annotated[str, typer.Option("--env", help="dev, staging or prod.")]
Image = Annotated[
    str | None, typer.Option(help="Tag of the jobs' image; without one the jobs are left out.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def deploy(env: Env, image: Image = None, yes: Yes = False, json_: AsJson = False) -> None:
    """Bring an environment to its templates; the plan is shown first.

    Run it again after an interruption: it goes on where it was.
    """
    from mlops_bikeshare.cloud.cloudformation import client
    from mlops_bikeshare.cloud.stacks import Stacks
    from mlops_bikeshare.flows import aws as flow

    settings = given.settings()
    found = flow.load(settings, env)
    stacks = Stacks(client(found.region))
    plans = flow.plan(stacks, flow.wanted(settings, found, image=image))
    left = flow.left_over(stacks, found, flow.made(settings, found))
    told = [flow.summary(plans), flow.left_behind([one.name for one in left])]
    typer.echo("\n".join(filter(None, told)), err=True)
    if any(one.action != "nothing" for one in plans) and not yes:
        typer.confirm(f"Do this in {found.region}?", abort=True, err=True)
    done = flow.deploy(stacks, plans, told=_told)
    screen.show(done, "\n".join(f"{name}: {what}" for name, what in done.items()), as_json=json_)


def diff(env: Env, image: Image = None, json_: AsJson = False) -> None:
    """What a deploy would change, and what was changed by hand; fails unless nothing is."""
    from mlops_bikeshare.cloud.cloudformation import client
    from mlops_bikeshare.cloud.stacks import Stacks
    from mlops_bikeshare.flows import aws as flow

    settings = given.settings()
    found = flow.load(settings, env)
    stacks = Stacks(client(found.region))
    left = flow.left_over(stacks, found, flow.made(settings, found))
    told = flow.diff(stacks, flow.wanted(settings, found, image=image), left=left)
    screen.show(flow.facts(told), flow.compared(told), as_json=json_)
    if not told.none:
        raise typer.Exit(1)


def pipeline(city: given.CityName = None) -> None:
    """Print the definition of SageMaker's Pipeline: features, train, evaluate, register."""
    from mlops_bikeshare.cloud.pipeline import definition

    settings = given.settings()
    screen.show(definition(settings, settings.city(city).name), "", as_json=True)


def destroy(
    env: Env,
    data: Annotated[
        bool,
        typer.Option("--data", help="Buckets (they must be empty), their key and MLflow, too."),
    ] = False,
    city: Annotated[
        str | None,
        typer.Option(help="Only this city's stacks, whether or not the file still names it."),
    ] = None,
    confirm: Annotated[
        str | None, typer.Option(help="The environment's name again; else it is asked for.")
    ] = None,
    json_: AsJson = False,
) -> None:
    """Delete an environment's stacks; what cannot be made again stays unless --data is given."""
    from mlops_bikeshare.cloud.cloudformation import client
    from mlops_bikeshare.cloud.stacks import Stacks
    from mlops_bikeshare.domain.errors import InputError
    from mlops_bikeshare.flows import aws as flow

    settings = given.settings()
    found = flow.load(settings, env)
    said = confirm or typer.prompt(f"Type {env} to delete its stacks in {found.region}", err=True)
    if said != env:
        raise InputError(f"nothing was deleted: expected {env!r}, got {said!r}")
    stacks, made = Stacks(client(found.region)), flow.made(settings, found)
    if city is None:
        chosen = [*made, *flow.left_over(stacks, found, made)]
    else:
        chosen = flow.of_city(found, city)
    done = flow.destroy(stacks, chosen, data=data)
    screen.show(done, "\n".join(f"{name}: {what}" for name, what in done.items()), as_json=json_)


def cost(
    env: Env,
    prices: Annotated[
        Path | None, typer.Option(help="Prices of yours; default: ops/prices.toml.")
    ] = None,
    latency: Annotated[
        Path | None,
        typer.Option(help="JSON rows of instance_type, p95_ms, command, as they were measured."),
    ] = None,
    json_: AsJson = False,
) -> None:
    """What an environment costs in a month, and what each knob saves; asks nothing of AWS."""
    from mlops_bikeshare.flows import aws
    from mlops_bikeshare.flows import cost as flow

    settings = given.settings()
    found = flow.estimate(settings, aws.load(settings, env), prices=prices, latencies=latency)
    screen.show(found, flow.summary(found), as_json=json_)


def _told(line: str) -> None:
    typer.echo(line, err=True)
