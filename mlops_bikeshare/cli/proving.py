"""Commands that prove: backtest, cold-start, verify-features; a city need not be configured."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlops_bikeshare.cli import given, screen
from mlops_bikeshare.cli.given import AsJson, Engine, OnEngine, Scheduler, Workers, cluster
from mlops_bikeshare.domain.bounds import COUNTRY
from mlops_bikeshare.domain.errors import InputError

if TYPE_CHECKING:
    from mlops_bikeshare.domain.city import City
    from mlops_bikeshare.settings import Settings
    from mlops_bikeshare.training.split import Split

Folder = Annotated[Path, typer.Option("--recording", help="Folder of a recording.")]
CityName = Annotated[str, typer.Option("--city", help="Name of the city; need not be configured.")]
Zone = Annotated[str | None, typer.Option("--timezone", help="IANA name; default: configured.")]
Country = Annotated[str | None, typer.Option("--country", help="ISO 3166 code, for holidays.")]


def backtest(
    recording: Folder,
    city: CityName,
    train: Annotated[str, typer.Option(help="START..END, UTC, end exclusive.")],
    calibrate: Annotated[str, typer.Option(help="START..END after train.")],
    test: Annotated[str, typer.Option(help="START..END after calibrate.")],
    timezone: Zone = None,
    country: Country = None,
    horizon: Annotated[int, typer.Option(help="Minutes ahead that the report is about.")] = 30,
    cadence: Annotated[int, typer.Option(help="Minutes between decision times.")] = 10,
    folds: Annotated[int, typer.Option(min=1, help="Rolling-origin tests, back in time.")] = 1,
    threads: Annotated[int | None, typer.Option(min=1, help="Of LightGBM.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
    engine: OnEngine = Engine.LOCAL,
    scheduler: Scheduler = None,
    workers: Workers = None,
    json_: AsJson = False,
) -> None:
    """Train and test on a recording: model against persistence, climatology and their blend.

    On Dask, folds run beside each other, a thread each.
    """
    from mlops_bikeshare.flows import backtest as flow
    from mlops_bikeshare.flows import backtest_on_dask
    from mlops_bikeshare.flows.backtesting import backtest_report
    from mlops_bikeshare.flows.train import plan_of
    from mlops_bikeshare.sources.recorded import open_recording

    settings = settings_with(threads)
    where = city_of(settings, city, timezone=timezone, country=country)
    split = split_of(train, calibrate, test)
    check_report(report)
    there = cluster(engine, scheduler, workers)
    asked: dict[str, Any] = {
        "plan": plan_of(settings),
        "horizon_min": horizon,
        "cadence_min": cadence,
        "folds": folds,
        "track": screen.track(),
    }
    recorded = open_recording(recording)
    if there is None:
        done = flow.backtest(recorded, where, split, **asked)
    else:
        done = backtest_on_dask.backtest(recorded, where, split, **there, **asked)
    if report is not None:
        backtest_report.write(done, report)
    screen.show(done, backtest_report.table(done), as_json=json_)


def cold_start(
    recording: Folder,
    city: CityName,
    train_on: Annotated[
        list[str], typer.Option(help="DIR:CITY of a configured city to learn from; repeat.")
    ],
    timezone: Zone = None,
    country: Country = None,
    days: Annotated[int, typer.Option(min=1, help="First days of the city to judge.")] = 2,
    learn_days: Annotated[int, typer.Option(help="First days of the others to learn from.")] = 10,
    horizon: Annotated[int, typer.Option(help="Minutes ahead that the report is about.")] = 30,
    cadence: Annotated[int, typer.Option(help="Minutes between decision times.")] = 10,
    threads: Annotated[int | None, typer.Option(min=1, help="Of LightGBM.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
    json_: AsJson = False,
) -> None:
    """Judge a model of other cities on the first days of a city that it never saw."""
    from mlops_bikeshare.flows import cold_start as flow
    from mlops_bikeshare.flows.backtesting import backtest_report, cold_start_report
    from mlops_bikeshare.flows.backtesting.recorded_days import RecordedCity
    from mlops_bikeshare.flows.train import plan_of
    from mlops_bikeshare.sources.recorded import open_recording

    settings = settings_with(threads)
    where = city_of(settings, city, timezone=timezone, country=country)
    named = [_recorded(text, settings) for text in train_on]
    check_report(report)
    done = flow.cold_start(
        RecordedCity(open_recording(recording), where, cadence),
        [RecordedCity(open_recording(folder), other, cadence) for folder, other in named],
        plan=plan_of(settings),
        days=days,
        learn_days=learn_days,
        horizon_min=horizon,
        track=screen.track(),
    )
    if report is not None:
        backtest_report.write(done, report)
    screen.show(done, cold_start_report.table(done), as_json=json_)


def _recorded(text: str, settings: "Settings") -> "tuple[Path, City]":
    """The folder and the configured city of DIR:CITY."""
    folder, colon, name = text.rpartition(":")
    if not (folder and colon and name):
        raise InputError(f"--train-on {text!r}: expected DIR:CITY, such as ../mine:paris")
    if name not in settings.cities:
        known = ", ".join(settings.cities) or "none"
        msg = f"--train-on {text!r}: city {name!r} is not configured (known: {known})"
        raise InputError(f"{msg}; add [cities.{name}] to bikeshare.toml")
    return Path(folder), settings.cities[name]


def split_of(train: str, calibrate: str, test: str) -> "Split":
    """The three ranges; a message names the flag of a wrong one."""
    from mlops_bikeshare.domain.windows import Window
    from mlops_bikeshare.training.split import Split

    given = {"--train": train, "--calibrate": calibrate, "--test": test}
    return Split(*(Window.parse(text, key=flag) for flag, text in given.items()))


def check_report(path: Path | None) -> None:
    """InputError before any work when a report could not be written after it."""
    if path is not None and not path.absolute().parent.is_dir():
        raise InputError(f"--report {path}: the folder {path.parent} does not exist; make it")


def verify_features(
    city: CityName,
    recording: Annotated[
        Path | None, typer.Option(help="Folder of a recording; default: the workspace's lake.")
    ] = None,
    timezone: Zone = None,
    country: Country = None,
    day: Annotated[str | None, typer.Option(help="UTC day; default: one in the middle.")] = None,
    times: Annotated[int, typer.Option(min=1, help="Decision times to sample.")] = 6,
    json_: AsJson = False,
) -> None:
    """Prove on your own data that features know no future: exit 1 when a proof fails."""
    from mlops_bikeshare.domain.reports import to_json
    from mlops_bikeshare.flows import verify as flow

    settings = settings_with()
    where = city_of(settings, city, timezone=timezone, country=country)
    if recording is not None:
        from mlops_bikeshare.sources.recorded import open_recording

        source = open_recording(recording)
        polls, chosen = flow.recorded(source, where, day=day)
        stations = source.information(source.span.start)
    else:
        from mlops_bikeshare.backends import open_workspace

        ws = open_workspace(settings)
        polls, chosen = flow.stored(ws, where, day=day)
        stations = flow.stations_of(ws, where)
    done = flow.verify(polls, where, chosen, stations, times=times, track=screen.track())
    shown = {"holds": done.holds, **to_json(done)}
    screen.show(shown, flow.summary(done), as_json=json_)
    if not done.holds:
        raise typer.Exit(1)


def city_of(
    settings: "Settings", name: str, *, timezone: str | None, country: str | None
) -> "City":
    """The city as configured, with what the flags say instead."""
    import dataclasses

    from mlops_bikeshare.domain.city import City

    known = settings.cities.get(name)
    if known is None and not (timezone and country):
        msg = f"city {name!r} is not configured: give --timezone and --country"
        raise InputError(f"{msg} (for example --timezone America/New_York --country US)")
    if country is not None and not COUNTRY.holds(country):
        raise InputError(f"--country {country!r}: expected an ISO 3166 code such as US")
    flags = {"timezone": timezone, "country": country}
    changes = {key: value for key, value in flags.items() if value}
    base = known or City(name=name, timezone="UTC", country="US", label=settings.labels)
    found = dataclasses.replace(base, **changes)  # type: ignore[arg-type]
    try:
        _ = found.zone
    except (KeyError, ValueError, OSError):
        msg = f"--timezone {found.timezone!r}: no such time zone; expected an IANA name"
        raise InputError(f"{msg} such as America/New_York") from None
    return found


def settings_with(threads: int | None = None) -> "Settings":
    """The settings of the checkout, or the defaults outside of one."""
    import dataclasses

    from mlops_bikeshare.domain.errors import SettingsError
    from mlops_bikeshare.settings import Settings, find_root

    try:
        find_root(Path.cwd(), os.environ)
    except SettingsError:
        plain = Settings(root=Path.cwd())
        training = dataclasses.replace(plain.training, threads=threads or plain.training.threads)
        return dataclasses.replace(plain, training=training)
    return given.settings({"training.threads": threads})


def drill(
    stations: Annotated[int, typer.Option(help="Of the simulated city.")] = 300,
    days: Annotated[int, typer.Option(help="1 to 7; fewer days, fewer faults.")] = 7,
    seed: Annotated[int, typer.Option(help="Of the simulated city.")] = 3,
    json_: AsJson = False,
) -> None:
    """A week of production with faults: what should happen, and what did.

    The workspace is always `drill`, made anew. Exit 1 when something did not hold.
    """
    from mlops_bikeshare.cli.given import settings
    from mlops_bikeshare.flows import drill as flow

    plan = flow.Plan(stations=stations, days=days, seed=seed)
    done = flow.drill(settings(), plan, track=screen.track())
    screen.show(done, flow.summary(done), as_json=json_)
    raise typer.Exit(0 if done["held"] else 1)
