"""What is read with: SQL over the lake and the metric store, the same two in both profiles.

Output   `connect`: Clients, made once and shared by all visitors; `opened`: the workspace with its
         clock as of now, or Empty; `city_of`: the city to show; `located`: both.
Raises   SettingsError for a city that is not in the settings, LakeError when a source is broken.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dashboards.readings.choosing import Choice, Empty
from mlops_bikeshare.backends import STATE_FILE, Access, Workspace, open_workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.clock import RealClock
from mlops_bikeshare.domain.errors import SettingsError
from mlops_bikeshare.domain.tables import STATION_INFORMATION_RAW
from mlops_bikeshare.monitoring.metrics import MODEL, Wanted

if TYPE_CHECKING:
    from mlops_bikeshare.lake.query import Query
    from mlops_bikeshare.monitoring.metrics import MetricStore


class Clients:
    """Each is opened when first used, so that a broken one breaks only the pages that need it."""

    def __init__(self, choice: Choice) -> None:
        self._choice = choice
        self._metrics: MetricStore | None = None

    @cached_property
    def query(self) -> "Query":
        """SQL over the lake."""
        choice, settings = self._choice, self._choice.settings
        if settings.profile == "local":
            from mlops_bikeshare.lake.duckdb import DuckDbQuery

            return DuckDbQuery(settings.var / "lake")
        return _on_aws(choice).query

    @property
    def metrics(self) -> "MetricStore | None":
        """The metric store; None while nothing was measured."""
        if self._metrics is None:
            found, namespace = self._opened(), self._choice.namespace
            if found is not None and namespace != MODEL:
                found = _InNamespace(found, namespace)
            self._metrics = found
        return self._metrics

    def _opened(self) -> "MetricStore | None":
        choice, settings = self._choice, self._choice.settings
        if settings.profile == "local":
            from mlops_bikeshare.monitoring.sqlite import SqliteMetricStore

            path = settings.var / "metrics.db"
            return SqliteMetricStore(path) if path.is_file() else None
        return _on_aws(choice).metrics


class _InNamespace:
    """A store that has the model's metrics in a namespace of another name, `cw_custom_ns`."""

    def __init__(self, store: "MetricStore", namespace: str) -> None:
        if not store.names(namespace):
            raise SettingsError(f"cw_custom_ns: there is no metric in namespace {namespace!r}")
        self.put, self.forget, self._store = store.put, store.forget, store
        self._namespace = namespace

    def series(self, namespace: str, *asked: Any, **how: Any) -> list[tuple[datetime, float]]:
        """As the store has it."""
        return self._store.series(self._called(namespace), *asked, **how)

    def several(self, wanted: Sequence[Wanted], **how: Any) -> list[list[tuple[datetime, float]]]:
        """As the store has it."""
        named = [replace(one, namespace=self._called(one.namespace)) for one in wanted]
        return self._store.several(named, **how)

    def latest(self, namespace: str, *asked: Any, **how: Any) -> tuple[datetime, float] | None:
        """As the store has it."""
        return self._store.latest(self._called(namespace), *asked, **how)

    def names(self, namespace: str) -> list[tuple[str, dict[str, str]]]:
        """As the store has it."""
        return self._store.names(self._called(namespace))

    def _called(self, namespace: str) -> str:
        return self._namespace if namespace == MODEL else namespace


def connect(choice: Choice) -> Clients:
    """What all visitors read with."""
    return Clients(choice)


def opened(choice: Choice) -> Workspace | Empty:
    """The workspace as it is now."""
    if (choice.settings.var / STATE_FILE).is_file():
        return open_workspace(choice.settings)
    if choice.settings.profile == "aws":
        return _on_aws(choice)
    name = choice.workspace.value
    what = f"There is no workspace {name!r} yet ({choice.workspace.origin})."
    todo = "Make the demo city with its models and predictions, then reload this page."
    return Empty(what, todo, "make demo")


def _on_aws(choice: Choice) -> Workspace:
    """The workspace in its bucket, reached with the profile that was named."""
    from mlops_bikeshare.lake import s3

    settings, profile = choice.settings, _profile(choice)
    asked = s3.client(settings.region, profile=profile)
    store = s3.S3Store(asked, bucket=settings.lake.bucket, folder=settings.workspace)
    access = Access(profile=profile, athena_output=choice.athena_output)
    return Workspace(settings, RealClock(), store, access)


def _profile(choice: Choice) -> str | None:
    """`aws_profile`; SettingsError where this machine has none of that name."""
    from mlops_bikeshare.lake import s3

    name = choice.aws_profile
    if name is not None and name not in (known := s3.profiles()):
        there = ", ".join(sorted(known)) or "none"
        raise SettingsError(f"aws_profile: no profile {name!r} in ~/.aws; there are: {there}")
    return name


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


def located(choice: Choice) -> tuple[Workspace, City] | Empty:
    """The workspace and the city that a page is about, or what there is not."""
    ws = opened(choice)
    if isinstance(ws, Empty):
        return ws
    city = city_of(choice, ws)
    return city if isinstance(city, Empty) else (ws, city)


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
