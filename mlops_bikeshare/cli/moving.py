"""Commands for who acts on predictions: moves, moves-backtest, feedback, what-if."""

from pathlib import Path
from typing import Annotated

import typer

from mlops_bikeshare.cli import screen
from mlops_bikeshare.cli.given import AsJson, CityName, opened
from mlops_bikeshare.cli.proving import CityName as AnyCity
from mlops_bikeshare.cli.proving import (
    Country,
    Folder,
    Zone,
    check_report,
    city_of,
    settings_with,
    split_of,
)

Vans = Annotated[int, typer.Option(min=1, max=100, help="Vans that are out.")]
Capacity = Annotated[int, typer.Option(min=1, max=100, help="Bikes that a van holds.")]


def moves(
    city: CityName = None,
    vans: Vans = 2,
    capacity: Capacity = 20,
    top: Annotated[int, typer.Option(min=1, help="Moves to show.")] = 20,
    endpoint: Annotated[str | None, typer.Option(help="Default: the city's prod.")] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV, all moves.")] = False,
    json_: AsJson = False,
) -> None:
    """Which bikes to move where in the next round, from the newest predictions."""
    from mlops_bikeshare.domain.errors import InputError
    from mlops_bikeshare.flows import moves as flow

    if csv and json_:
        raise InputError("give --csv or --json, one of the two")
    ws, where = opened(city)
    found = flow.suggest(ws, where, vans=vans, capacity=capacity, endpoint=endpoint)
    text = flow.as_csv(found).rstrip("\n") if csv else flow.summary(found, top=top)
    screen.show(found, text, as_json=json_)


def moves_backtest(
    recording: Folder,
    city: AnyCity,
    train: Annotated[str, typer.Option(help="START..END, UTC, end exclusive.")],
    calibrate: Annotated[str, typer.Option(help="START..END after train.")],
    test: Annotated[str, typer.Option(help="START..END after calibrate.")],
    timezone: Zone = None,
    country: Country = None,
    vans: Vans = 2,
    capacity: Capacity = 20,
    every: Annotated[int, typer.Option(min=10, help="Minutes between rounds.")] = 120,
    arrive: Annotated[int, typer.Option(min=5, max=60, help="Minutes until a van is there.")] = 20,
    threads: Annotated[int | None, typer.Option(min=1, help="Of LightGBM.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
    json_: AsJson = False,
) -> None:
    """Judge plans of moves on recorded days: minutes saved per bike, against two baselines."""
    from mlops_bikeshare.flows import moves_backtest as flow
    from mlops_bikeshare.flows.backtesting import backtest_report, moves_report
    from mlops_bikeshare.flows.train import plan_of
    from mlops_bikeshare.rebalancing.fleet import Fleet
    from mlops_bikeshare.sources.recorded import open_recording

    settings = settings_with(threads)
    where = city_of(settings, city, timezone=timezone, country=country)
    check_report(report)
    done = flow.score(
        open_recording(recording),
        where,
        split_of(train, calibrate, test),
        plan=plan_of(settings),
        fleet=Fleet(vans=vans, capacity=capacity),
        every_min=every,
        arrive_min=arrive,
        track=screen.track(),
    )
    if report is not None:
        backtest_report.write(done, report)
    screen.show(done, moves_report.table(done), as_json=json_)


def feedback(
    station: Annotated[str, typer.Option(help="Id of the station.")],
    what: Annotated[str, typer.Option(help="handled: somebody went there; wrong: it was not so.")],
    note: Annotated[str | None, typer.Option(help="In your own words.")] = None,
    city: CityName = None,
    json_: AsJson = False,
) -> None:
    """Say what was seen or done at a station.

    Labels of a handled station are not judged for an hour: a van made them.
    """
    from mlops_bikeshare.flows import feedback as flow

    ws, where = opened(city)
    said = flow.say(ws, where, station_id=station, what=what, note=note)
    screen.show(said, flow.summary(said), as_json=json_)


def what_if(
    station: Annotated[str | None, typer.Option(help="Id; default: the whole city.")] = None,
    bikes: Annotated[int | None, typer.Option(help="Bikes at the station now.")] = None,
    bikes_more: Annotated[int | None, typer.Option(help="Added to every station.")] = None,
    temperature_c: Annotated[float | None, typer.Option(help="Air temperature.")] = None,
    humidity_pct: Annotated[float | None, typer.Option(help="Relative humidity.")] = None,
    precipitation_mm: Annotated[float | None, typer.Option(help="Rain of the hour.")] = None,
    hour: Annotated[int | None, typer.Option(help="Local hour, 0 to 23.")] = None,
    weekday: Annotated[int | None, typer.Option(help="Monday is 0.")] = None,
    month: Annotated[int | None, typer.Option(help="1 to 12.")] = None,
    horizon: Annotated[int, typer.Option(help="Minutes ahead that are shown.")] = 30,
    endpoint: Annotated[str | None, typer.Option(help="Default: the city's prod.")] = None,
    city: CityName = None,
    json_: AsJson = False,
) -> None:
    """Ask the endpoint about inputs that are not so: a station's, or the whole city's.

    Every request is kept in the table whatif_requests, apart from predictions.
    """
    from mlops_bikeshare.domain.errors import InputError
    from mlops_bikeshare.domain.targets import HORIZONS_MIN
    from mlops_bikeshare.flows import what_if as flow
    from mlops_bikeshare.flows.supposing.changes import Changes

    if horizon not in HORIZONS_MIN:
        known = ", ".join(map(str, HORIZONS_MIN))
        raise InputError(f"--horizon {horizon}: expected one of {known} minutes")
    changes = Changes(
        bikes=bikes,
        bikes_more=bikes_more,
        temperature_c=temperature_c,
        humidity_pct=humidity_pct,
        precipitation_mm=precipitation_mm,
        hour=hour,
        weekday=weekday,
        month=month,
    )
    ws, where = opened(city)
    basis = flow.prepare(ws, where, endpoint=endpoint)
    told = flow.ask(ws, basis, changes, station_id=station)
    screen.show(flow.to_json(told), flow.summary(told, horizon_min=horizon), as_json=json_)
