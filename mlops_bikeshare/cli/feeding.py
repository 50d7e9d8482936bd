"""Commands around feeds: replay-feed."""

from pathlib import Path
from typing import Annotated

import typer

from mlops_bikeshare.cli import screen
from mlops_bikeshare.cli.given import CityName, settings


def replay_feed(
    recording: Annotated[Path, typer.Option(help="Folder of a recording.")],
    city: CityName = None,
    at: Annotated[
        str | None, typer.Option(help="UTC time at which it begins; default: its second day.")
    ] = None,
    speed: Annotated[float, typer.Option(help="How fast its clock runs.")] = 60.0,
    version: Annotated[str, typer.Option("--gbfs", help="2.3 or 3.0.")] = "2.3",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: a free one.")] = 0,
    fault: Annotated[
        list[str] | None, typer.Option(help="Of the next request; may be repeated.")
    ] = None,
    fault_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of requests that go wrong.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the faults by chance.")] = 0,
) -> None:
    """Serve a recorded city as a live GBFS feed on 127.0.0.1, until stopped.

    Faults: timeout error_500 truncated cut html frozen duplicated skew vanished not_modified
    bad_rows; while it runs, POST them to /control/faults.
    """
    from mlops_bikeshare.domain.windows import parse_time
    from mlops_bikeshare.flows import replay_feed as flow
    from mlops_bikeshare.flows.stopping import asked_to_stop

    wish = flow.Wish(
        version=version,
        speed=speed,
        port=port,
        share=fault_share,
        seed=seed,
        faults=tuple(fault or ()),
    )
    with asked_to_stop() as stop:
        delivered = flow.replay_feed(
            recording,
            settings().city(city),
            start=parse_time(at, key="--at") if at else None,
            wish=wish,
            stop=stop,
            ready=lambda url, begin: screen.say(f"{url} from {begin:%F %H:%M} UTC, x{speed:g}"),
        )
    screen.say(f"{delivered} documents of station_status delivered")
