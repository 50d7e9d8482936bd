"""What is read with: SQL over the lake and the metric store, the same two in both profiles.

Output   `connect`: Clients, made once and shared by all visitors; `opened`: the workspace with its
         clock as of now, or Empty; `city_of`: the city to show.
Raises   SettingsError for a city that is not in the settings, LakeError when a source is broken.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dashboards.readings.choosing import Choice, Empty
from mlops_bikeshare.backends import STATE_FILE, Workspace, open_workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.clock import RealClock
from mlops_bikeshare.domain.tables import STATION_INFORMATION_RAW

if TYPE_CHECKING:
    from mlops_bikeshare.lake.query import Query
    from mlops_bikeshare.monitoring.metrics import MetricStore


@dataclass(frozen=True, slots=True)
class Clients:
    """`metrics` None: nothing was measured yet."""

    query: "Query"
    metrics: "MetricStore | None"


def connect(choice: Choice) -> Clients:
    """Open both; nothing is asked and nothing is made yet."""
    if choice.settings.profile == "aws":
        return _aws(choice)
    from mlops_bikeshare.lake.duckdb import DuckDbQuery
    from mlops_bikeshare.monitoring.sqlite import SqliteMetricStore

    path = choice.settings.var / "metrics.db"
    metrics = SqliteMetricStore(path) if path.is_file() else None
    return Clients(DuckDbQuery(choice.settings.var / "lake"), metrics)


def _aws(choice: Choice) -> Clients:
    from mlops_bikeshare.lake import athena
    from mlops_bikeshare.monitoring import cloudwatch

    settings = choice.settings
    ws = Workspace(settings, RealClock())
    connection = athena.connect(
        settings.region,
        database=settings.lake.database,
        workgroup=settings.lake.workgroup,
        results=choice.athena_output or f"{ws.lake_address}/athena_results/",
        profile=choice.aws_profile,
    )
    reader = cloudwatch.client(settings.region, attempts=4, profile=choice.aws_profile)
    metrics = cloudwatch.CloudWatchMetricStore(
        reader=reader, writer=reader, marks=ws.lake.store, now=ws.clock.now
    )
    return Clients(athena.AthenaQuery(connection), metrics)


def opened(choice: Choice) -> Workspace | Empty:
    """The workspace as it is now."""
    if (choice.settings.var / STATE_FILE).is_file():
        return open_workspace(choice.settings, lake_only=True)
    if choice.settings.profile == "aws":
        return Workspace(choice.settings, RealClock())
    name = choice.workspace.value
    what = f"There is no workspace {name!r} yet ({choice.workspace.origin})."
    todo = "Make the demo city with its models and predictions, then reload this page."
    return Empty(what, todo, "make demo")


def city_of(choice: Choice, ws: Workspace) -> City | Empty:
    """The city that was named, else the only one in the lake, else the workspace's own."""
    if choice.city:
        return choice.settings.city(choice.city.value)
    folders = ws.lake.store.folders(STATION_INFORMATION_RAW.location)
    present = [folder.removeprefix("city=") for folder in folders]
    if not present:
        what = f"Workspace {ws.settings.workspace!r} has no stations yet."
        todo = "Read a recording into the lake, or run the demo."
        return Empty(what, todo, typed(ws, "ingest --recording FOLDER"))
    return ws.settings.city(present[0] if len(present) == 1 else None)


def no_metrics(ws: Workspace) -> Empty:
    """What to say where nothing was measured."""
    what = f"Workspace {ws.settings.workspace!r} has no metrics yet."
    return Empty(what, "Run one batch of predictions.", typed(ws, "infer"))


def typed(ws: Workspace, command: str) -> str:
    """A command as a person types it for this workspace."""
    return f"bikeshare --workspace {ws.settings.workspace} {command}"


def literal(value: str) -> str:
    """`value` as an SQL literal."""
    return "'" + value.replace("'", "''") + "'"
