"""Commands that run a model: deploy, infer, monitor, gate, promote, rollback."""

from pathlib import Path
from typing import Annotated

import typer

from mlops_bikeshare.cli import screen
from mlops_bikeshare.cli.given import AsJson, CityName, EndpointName, opened


def _aliases(incomplete: str) -> list[str]:
    known = ("champion", "challenger", "previous_champion")
    return [alias for alias in known if alias.startswith(incomplete)]


Alias = Annotated[
    str,
    typer.Option(help="champion, challenger or a version.", autocompletion=_aliases),
]


def deploy(
    city: CityName = None,
    alias: Alias = "challenger",
    endpoint: EndpointName = None,
    initial: Annotated[bool, typer.Option(help="A first production deploy.")] = False,
    json_: AsJson = False,
) -> None:
    """Put a registered version on an endpoint, and verify what is there."""
    from mlops_bikeshare.flows import deploy as flow

    ws, where = opened(city)
    done = flow.deploy(ws, where, version=alias, endpoint=endpoint, initial=initial)
    text = f"{done.endpoint}: version {done.version}, {done.endpoint_config}"
    screen.show(done, text, as_json=json_)


def replay(
    recording: Annotated[Path, typer.Option(help="Folder of a recording.")],
    window_: Annotated[str, typer.Option("--window", help="START..END, UTC, end exclusive.")],
    city: CityName = None,
    json_: AsJson = False,
) -> None:
    """Live through a window of a recording: polls, batches and judgements on a simulated clock.

    Needs the workspace's endpoint host, and endpoints on it.
    """
    from mlops_bikeshare.domain.windows import Window
    from mlops_bikeshare.flows import replay as flow
    from mlops_bikeshare.sources.recorded import open_recording

    part, feed = Window.parse(window_, key="--window"), open_recording(recording)
    ws, where = opened(city, simulated=True)
    done = flow.replay(ws, where, feed, part, track=screen.track())
    screen.show(done, flow.summary(done), as_json=json_)


def infer(
    city: CityName = None,
    dt: Annotated[str | None, typer.Option(help="Decision time; default: now.")] = None,
    json_: AsJson = False,
) -> None:
    """One batch of predictions on every endpoint of the city.

    A batch that is there already is not made again.
    """
    from mlops_bikeshare.domain.windows import parse_time
    from mlops_bikeshare.flows import infer as flow

    at = parse_time(dt, key="--dt") if dt else None
    ws, where = opened(city)
    batches = flow.infer(ws, where, at=at)
    screen.show(batches, "\n".join(map(flow.summary, batches)), as_json=json_)


def monitor(city: CityName = None, json_: AsJson = False) -> None:
    """Quality of matured labels and drift, up to now."""
    from mlops_bikeshare.flows import monitor as flow

    ws, where = opened(city)
    seen = flow.monitor(ws, where, at=ws.now)
    screen.show(seen, flow.summary(seen), as_json=json_)


def gate(city: CityName = None, endpoint: EndpointName = None, json_: AsJson = False) -> None:
    """Judge what an endpoint showed: exit 0 pass, 1 fail, 3 unknown."""
    from mlops_bikeshare.flows import gate as flow

    ws, where = opened(city)
    report = flow.gate(ws, where, endpoint=endpoint)
    screen.show(report, flow.summary(report), as_json=json_)
    raise typer.Exit({"pass": 0, "fail": 1, "unknown": 3}[report.verdict])


def promote(
    city: CityName = None,
    dry_run: Annotated[bool, typer.Option(help="Print the plan only.")] = False,
    json_: AsJson = False,
) -> None:
    """Move the gated challenger to production; resumes where it was interrupted."""
    from mlops_bikeshare.flows import promote as flow

    ws, where = opened(city)
    if dry_run:
        steps = flow.plan(ws, where)
        screen.show(steps, flow.plan_summary(steps), as_json=json_)
        return
    done = flow.promote(ws, where)
    text = f"{done.endpoint}: version {done.from_version} → {done.to_version}"
    screen.show(done, text, as_json=json_)


def rollback(
    city: CityName = None,
    reason: Annotated[str, typer.Option(help="Kept in the audit.")] = "asked for by hand",
    json_: AsJson = False,
) -> None:
    """Put the previous champion back on production."""
    from mlops_bikeshare.flows import promote as flow

    ws, where = opened(city)
    done = flow.rollback(ws, where, reason=reason)
    text = f"{done.endpoint}: version {done.from_version} → {done.to_version}"
    screen.show(done, text, as_json=json_)
