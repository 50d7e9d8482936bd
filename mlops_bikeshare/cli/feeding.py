"""Commands around feeds and histories: try, live, replay-feed, import-recording."""

from pathlib import Path
from typing import Annotated

import typer

from mlops_bikeshare.cli import screen
from mlops_bikeshare.cli.given import AsJson, CityName, opened, settings


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
    from mlops_bikeshare.flows.process.stopping import asked_to_stop

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


def try_feed(
    url: Annotated[str, typer.Argument(help="Address of a gbfs.json.")], json_: AsJson = False
) -> None:
    """Look at any GBFS feed: a map of the risk now, and how to go on.

    The poll is kept in the workspace `try`; nothing else is touched.
    """
    from mlops_bikeshare.flows import trying as flow

    tried = flow.try_feed(settings(), url)
    screen.show(tried, flow.summary(tried), as_json=json_)


def live(
    city: Annotated[
        list[str] | None, typer.Option(help="City in bikeshare.toml; may be repeated.")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="Address of its gbfs.json; default: the city's own.")
    ] = None,
    replay_clock: Annotated[
        bool, typer.Option(help="Follow the clock of a replay-feed at --url.")
    ] = False,
    until: Annotated[str | None, typer.Option(help="UTC time at which to end.")] = None,
    json_: AsJson = False,
) -> None:
    """Poll live feeds, predict every ten minutes, judge, build features; until stopped.

    Ctrl-C or SIGTERM end it between two steps. Started again, it goes on.
    """
    from mlops_bikeshare.domain.windows import parse_time
    from mlops_bikeshare.flows import live_feed
    from mlops_bikeshare.flows.process.lived import summary
    from mlops_bikeshare.flows.process.stopping import asked_to_stop

    names = city or [settings().default_city]
    ws, _ = opened(names[0], simulated=replay_clock)
    with asked_to_stop() as stop:
        lived = live_feed.run(
            ws,
            names,
            url=url,
            replay_clock=replay_clock,
            until=parse_time(until, key="--until") if until else None,
            stop=stop,
        )
    screen.show(lived, summary(lived), as_json=json_)


def import_recording(
    source: Annotated[Path, typer.Argument(help="File or folder: CSV, JSON, Parquet.")],
    city: CityName = None,
    map_: Annotated[
        list[str] | None, typer.Option("--map", help="OURS=THEIRS; may be repeated.")
    ] = None,
    stations: Annotated[
        Path | None, typer.Option(help="CSV: station_id,name,lat,lon,capacity.")
    ] = None,
    zone: Annotated[str | None, typer.Option(help="Of times without offset; default UTC.")] = None,
    json_: AsJson = False,
) -> None:
    """Read a history of your own into the lake; run again, it goes on.

    Columns: station_id, observed_at, num_bikes_available and, if known, num_docks_available,
    num_bikes_disabled, num_docks_disabled, num_ebikes_available, is_installed, is_renting,
    is_returning. Exit code 1: a file among others could not be read.
    """
    from mlops_bikeshare.flows import import_recording as flow
    from mlops_bikeshare.sources.history import mapping_of

    mapping = mapping_of(map_ or [])
    ws, where = opened(city, simulated=True)
    done = flow.import_history(
        ws, where, source, mapping=mapping, stations=stations, zone=zone, track=screen.track()
    )
    screen.show(done, flow.summary(done), as_json=json_)
    if done.unreadable:
        raise typer.Exit(1)
