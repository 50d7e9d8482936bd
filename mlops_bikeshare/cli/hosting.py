"""Commands of endpoints and of the API: serve, stop, api, split, merge."""

from typing import Annotated

import typer

from mlops_bikeshare.cli import screen
from mlops_bikeshare.cli.given import AsJson, CityName, opened


def serve(
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0: a free one.")] = None,
    background: Annotated[bool, typer.Option(help="Return when it is ready.")] = False,
    replay_clock: Annotated[
        bool, typer.Option(help="Refuse to run unless the workspace's clock is a replay's.")
    ] = False,
    with_parent: Annotated[
        bool, typer.Option(hidden=True, help="Stop when standard input closes.")
    ] = False,
) -> None:
    """Run the local endpoint host until stopped."""
    from mlops_bikeshare.flows import serve as flow

    ws, _ = opened(None, {"serving.port": port})
    if background:
        screen.say(f"endpoint host at {flow.start(ws)}")
    else:
        flow.run(ws, replay_clock=replay_clock, with_parent=with_parent)


def stop() -> None:
    """Stop the local endpoint host of the workspace."""
    from mlops_bikeshare.flows import serve as flow

    ws, _ = opened(None)
    of = f"endpoint host of workspace {ws.settings.workspace!r}"
    screen.say(f"{of} stopped" if flow.stop(ws) else f"no {of} was running")


def api(
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0: a free one.")] = None,
) -> None:
    """Run the operations API until stopped: the flows over HTTP, with a queue of jobs.

    Beyond loopback (api.host) only with a token: BIKESHARE_API__TOKEN.
    """
    from mlops_bikeshare.api import server

    ws, _ = opened(None, {"api.port": port})
    server.run(ws, ready=lambda url: screen.say(f"operations API at {url}"))


def split(
    candidate: Annotated[str, typer.Option(help="Alias or version, served by staging.")],
    weight: Annotated[float, typer.Option(help="Its share of the traffic, 0 to 1.")],
    endpoint: Annotated[str, typer.Option(help="One that is no city's production.")],
    city: CityName = None,
    json_: AsJson = False,
) -> None:
    """Give a version a share of an endpoint's traffic; again, to change the share.

    Production is shared out by `promote --canary`.
    """
    from mlops_bikeshare.flows import split as flow

    ws, where = opened(city)
    done = flow.split(ws, where, candidate=candidate, share=weight, endpoint=endpoint)
    screen.show(done, flow.summary(done), as_json=json_)


def merge(
    endpoint: Annotated[str, typer.Option(help="The one that was split.")],
    city: CityName = None,
    json_: AsJson = False,
) -> None:
    """End a split: all traffic goes back to what was served before it."""
    from mlops_bikeshare.flows import split as flow

    ws, where = opened(city)
    done = flow.merge(ws, where, endpoint=endpoint)
    screen.show(done, flow.summary(done), as_json=json_)
