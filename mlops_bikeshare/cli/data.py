"""Commands from data to a model: demo, ingest, features, tune, train."""

from pathlib import Path
from typing import Annotated, Any

import typer

from mlops_bikeshare.cli import screen
from mlops_bikeshare.cli.given import (
    AsJson,
    CityName,
    Engine,
    Folder,
    OnEngine,
    Range,
    Scheduler,
    Workers,
    cluster,
    opened,
    settings,
    window,
)


def demo(
    recording: Folder = None,
    city: CityName = None,
    day: Annotated[str | None, typer.Option(help="UTC day to replay.")] = None,
    stations: Annotated[int, typer.Option(help="Of the simulated city.")] = 300,
    days: Annotated[int, typer.Option(help="Of the simulated city.")] = 21,
    json_: AsJson = False,
) -> None:
    """The whole lifecycle: train, deploy, replay a day, gate, promote, roll back, report.

    Without --recording the city is simulated. The workspace is always `demo`, made anew.
    """
    from mlops_bikeshare.flows import demo as flow

    report = flow.demo(
        settings(),
        city=city,
        recording=recording,
        day=day,
        simulation=flow.Simulation(stations=stations, days=days),
        track=screen.track(),
    )
    screen.show(report, flow.summary(report), as_json=json_)
    if report["gate"]["verdict"] != "pass":
        raise typer.Exit(1)


def ingest(
    recording: Annotated[Path, typer.Option(help="Folder of a recording.")],
    city: CityName = None,
    window_: Annotated[
        str | None, typer.Option("--window", help="START..END, UTC, end exclusive.")
    ] = None,
    json_: AsJson = False,
) -> None:
    """Read the days of a recording into the lake.

    Days that are there already are left alone.
    """
    from mlops_bikeshare.flows import ingest as flow

    part = window(window_, "--window")
    ws, where = opened(city, simulated=True)
    done = flow.import_recording(ws, where, recording, window=part, track=screen.track())
    screen.show(
        done,
        f"{done.city} {done.window}: {done.rows:,} rows, {done.days_written} new days, "
        f"{done.days_there} there already",
        as_json=json_,
    )


def compact(
    city: CityName = None,
    window_: Annotated[
        str | None, typer.Option("--window", help="START..END, UTC, end exclusive.")
    ] = None,
    json_: AsJson = False,
) -> None:
    """Merge the objects of each table and day that is over into one.

    Removes polls, online features and quarantine older than lake.keep_raw_days, if that is set.
    """
    from mlops_bikeshare.flows import compact as flow

    part = window(window_, "--window")
    ws, where = opened(city)
    done = flow.compact(ws, where, window=part, track=screen.track())
    screen.show(done, flow.summary(done), as_json=json_)


def catalog_apply(json_: AsJson = False) -> None:
    """Create or update the database, tables and views of Glue and Athena over the lake on S3."""
    from mlops_bikeshare.flows import catalog as flow

    ws, _ = opened(None)
    done = flow.apply(ws)
    screen.show(done, flow.summary(done), as_json=json_)


def features(
    city: CityName = None,
    window_: Annotated[
        str | None, typer.Option("--window", help="START..END, UTC, end exclusive.")
    ] = None,
    engine: OnEngine = Engine.LOCAL,
    scheduler: Scheduler = None,
    workers: Workers = None,
    json_: AsJson = False,
) -> None:
    """Build the features of the days in the lake.

    Days that are there already are left alone. On Dask, blocks of days are built beside each other.
    """
    from mlops_bikeshare.flows import features as flow
    from mlops_bikeshare.flows import features_on_dask

    part, there = window(window_, "--window"), cluster(engine, scheduler, workers)
    ws, where = opened(city)
    asked: dict[str, Any] = {"window": part, "track": screen.track()}
    if there is None:
        done = flow.build(ws, where, **asked)
    else:
        done = features_on_dask.build(ws, where, **there, **asked)
    screen.show(
        done,
        f"{done.city} {done.window}: {done.rows:,} rows, {done.days_written} new days, "
        f"{done.days_there} there already",
        as_json=json_,
    )


def train(
    train_: Annotated[
        str | None, typer.Option("--train", help="START..END, UTC, end exclusive.")
    ] = None,
    calibrate: Range = None,
    test: Range = None,
    city: CityName = None,
    rounds: Annotated[float | None, typer.Option(min=1, help="Most trees per target.")] = None,
    peer: Annotated[
        str | None, typer.Option(help="xgboost: train it on the same rows and report it beside.")
    ] = None,
    engine: OnEngine = Engine.LOCAL,
    scheduler: Scheduler = None,
    workers: Workers = None,
    json_: AsJson = False,
) -> None:
    """Train both targets, evaluate against persistence, and register a challenger.

    Without ranges, the last sixth of the days tests, the sixth before it calibrates. On Dask, trees
    grow on rows that workers share; the trees are others, as good.
    """
    from mlops_bikeshare.flows import train as flow
    from mlops_bikeshare.flows import train_on_dask

    parts = {
        "train": window(train_, "--train"),
        "calibrate": window(calibrate, "--calibrate"),
        "test": window(test, "--test"),
    }
    there = cluster(engine, scheduler, workers)
    ws, where = opened(city, {"training.rounds": rounds, "training.peer": peer})
    split = flow.choose_split(ws, where, **parts)
    if there is None:
        trained = flow.train(ws, where, split, track=screen.track())
    else:
        trained = train_on_dask.train(ws, where, split, **there, track=screen.track())
    screen.show(trained, flow.summary(trained), as_json=json_)


def tune(
    window_: Annotated[
        str | None,
        typer.Option("--window", help="START..END, UTC; default: all days but the test's."),
    ] = None,
    city: CityName = None,
    trials: Annotated[float, typer.Option(min=1, help="Candidates in all.")] = 20,
    folds: Annotated[float, typer.Option(min=1, help="Rolling-origin folds.")] = 3,
    rounds: Annotated[float | None, typer.Option(min=1, help="Most trees per target.")] = None,
    engine: OnEngine = Engine.LOCAL,
    scheduler: Scheduler = None,
    workers: Workers = None,
    json_: AsJson = False,
) -> None:
    """Search better training settings on held-out days; the same command resumes.

    Every candidate is a nested MLflow run. The days that `bikeshare train` tests on are not used.
    On Dask, the folds of a candidate are scored beside each other.
    """
    from mlops_bikeshare.flows import tune as flow
    from mlops_bikeshare.flows import tune_on_dask

    part, there = window(window_, "--window"), cluster(engine, scheduler, workers)
    ws, where = opened(city, {"training.rounds": rounds})
    numbers = {"trials": int(trials), "folds": int(folds)}
    asked: dict[str, Any] = {"window": part, "track": screen.track(), **numbers}
    if there is None:
        done = flow.tune(ws, where, **asked)
    else:
        done = tune_on_dask.tune(ws, where, **there, **asked)
    screen.show(done, flow.summary(done), as_json=json_)
