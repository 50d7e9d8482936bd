"""The only place that picks adapters: opens a workspace for the profile in the settings.

A workspace is a lake, metrics, a clock and files of its own under var/<workspace>. It has one
kind of clock, recorded in workspace.json with a replay's time; opening it with the other kind
raises SettingsError. With profile aws all of it lies in the lake's bucket, and var/<workspace> is a
place for caches alone. Adapters are made when first used.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mlops_bikeshare.domain.clock import Clock, RealClock, SimulatedClock
from mlops_bikeshare.domain.errors import EndpointError, SettingsError
from mlops_bikeshare.domain.windows import parse_time
from mlops_bikeshare.settings import Settings

if TYPE_CHECKING:
    from mlops_bikeshare.lake.glue import GlueCatalog
    from mlops_bikeshare.lake.lake import Lake
    from mlops_bikeshare.lake.postgres import PostgresAudit
    from mlops_bikeshare.lake.query import Query
    from mlops_bikeshare.lake.s3 import S3Store
    from mlops_bikeshare.lake.state import State
    from mlops_bikeshare.lake.store import Store
    from mlops_bikeshare.monitoring.metrics import MetricStore
    from mlops_bikeshare.monitoring.notify import Bounded, Channel
    from mlops_bikeshare.serving.session import Clients

STATE_FILE = "workspace.json"


@dataclass(frozen=True)
class Workspace:
    """What flows work with."""

    settings: Settings
    clock: Clock
    store: "Store | None" = None  # one that is open already

    @property
    def path(self) -> Path:
        """Folder of the workspace on this machine."""
        return self.settings.var

    @cached_property
    def lake(self) -> "Lake":
        """The tables."""
        from mlops_bikeshare.lake.lake import Lake

        return Lake(self.store or _store(self.settings))

    @cached_property
    def state(self) -> "State":
        """What is remembered beside the tables: decisions, plans, locks."""
        if self.settings.profile == "aws":
            from mlops_bikeshare.lake.s3_state import BEAT_TIMEOUT_S, S3State

            patience = {"attempts": 1, "timeout_s": BEAT_TIMEOUT_S}
            hurried = None if self.store else _s3(self.settings, **patience)
            return S3State(cast("S3Store", self.lake.store), beats=hurried)
        from mlops_bikeshare.lake.local_state import LocalState

        return LocalState(self.path)

    @cached_property
    def query(self) -> "Query":
        """SQL over the tables."""
        if self.settings.profile == "aws":
            from mlops_bikeshare.lake import athena

            lake = self.settings.lake
            connection = athena.connect(
                self.settings.region,
                database=lake.database,
                workgroup=lake.workgroup,
                results=f"{self.lake_address}/athena_results/",
            )
            return athena.AthenaQuery(connection)
        from mlops_bikeshare.lake.duckdb import DuckDbQuery

        return DuckDbQuery(self.path / "lake")

    @property
    def lake_address(self) -> str:
        """Where the lake lies on S3."""
        return f"s3://{self.settings.lake.bucket}/{self.settings.workspace}"

    @cached_property
    def catalog(self) -> "GlueCatalog":
        """The catalogue of Athena; SettingsError locally, where none is needed."""
        if self.settings.profile != "aws":
            msg = "profile local: DuckDB reads the lake without a catalogue"
            raise SettingsError(f"{msg}; for Glue and Athena use --profile aws")
        from mlops_bikeshare.lake import glue

        return glue.GlueCatalog(glue.client(self.settings.region), self.settings.lake.database)

    @cached_property
    def metrics(self) -> "MetricStore":
        """Metrics of the model and of the endpoints."""
        if self.settings.profile == "aws":
            return self._cloudwatch()
        from mlops_bikeshare.monitoring import sqlite

        return sqlite.SqliteMetricStore(self.path / sqlite.FILE)

    @cached_property
    def cloudwatch(self) -> Any:
        """A client of CloudWatch; SettingsError locally, where alarms are evaluated here."""
        if self.settings.profile != "aws":
            msg = "profile local: `bikeshare monitor` evaluates the alarms here"
            raise SettingsError(f"{msg}; for those of CloudWatch use --profile aws")
        from mlops_bikeshare.monitoring import cloudwatch

        return cloudwatch.client(self.settings.region, attempts=4)

    def _cloudwatch(self) -> "MetricStore":
        """Marks of what was posted lie in the lake, beside the rows they speak of."""
        from mlops_bikeshare.monitoring import cloudwatch

        return cloudwatch.CloudWatchMetricStore(
            reader=cloudwatch.client(self.settings.region, attempts=4),
            writer=cloudwatch.client(self.settings.region, attempts=1),
            marks=self.lake.store,
            now=self.clock.now,
        )

    @cached_property
    def audit_copy(self) -> "PostgresAudit | None":
        """The audit's copy elsewhere; None where none is kept."""
        if self.settings.audit.mirror is None:
            return None
        from mlops_bikeshare.lake.postgres import PostgresAudit

        return PostgresAudit(self.settings.audit.mirror, workspace=self.settings.workspace)

    @cached_property
    def channels(self) -> "list[Bounded]":
        """Who is told: the log, every address of apprise, a topic of SNS."""
        from mlops_bikeshare.monitoring import notify

        known = self.settings.notify
        found: list[notify.Channel] = [notify.LogChannel()]
        if known.urls:
            found += map(_apprise, known.urls.split())
        if known.sns_topic:
            found.append(self._sns(known.sns_topic))
        return [notify.Bounded(channel, timeout_s=known.timeout_s) for channel in found]

    def _sns(self, topic: str) -> "Channel":
        from mlops_bikeshare.monitoring import notify

        if self.settings.profile != "aws":
            msg = "notify.sns_topic is for --profile aws: a rehearsal tells nobody elsewhere"
            return notify.Unusable("sns", f"{msg}; name addresses in notify.urls")
        from mlops_bikeshare.monitoring import notify_sns

        return notify_sns.SnsChannel(notify_sns.client(self.settings.region), topic)

    @property
    def clients(self) -> "Clients":
        """SageMaker, its runtime and S3; locally those of the workspace's endpoint host."""
        if self.settings.profile == "aws":
            return _clients(None, self.settings.region, None)
        from mlops_bikeshare.serving.launch import running

        host = running(self.path)
        if host is None:
            name = self.settings.workspace
            msg = f"no endpoint host runs for workspace {name!r}; start it with"
            raise EndpointError(f"{msg} `bikeshare --workspace {name} serve --background`")
        return _clients(host.url, self.settings.region, self.settings.serving.token)

    @property
    def sm_endpoint(self) -> str | None:
        """The endpoint that the last promotion chose for the dashboard; None before the first."""
        chosen = self.remembered().get("sm_endpoint")
        return None if chosen is None else str(chosen)

    def show(self, endpoint: str) -> None:
        """Let the dashboard show this endpoint from now on."""
        self.remember({**self.remembered(), "sm_endpoint": endpoint})

    def follow(self) -> None:
        """Move a simulated clock to where other processes have moved it."""
        if not isinstance(self.clock, SimulatedClock):
            return
        now = self.remembered().get("now")
        at = None if now is None else parse_time(now, key=STATE_FILE)
        if at is not None and at > self.clock.at:
            self.clock.set(at)

    def remembered(self) -> dict[str, Any]:
        """What workspace.json says: the kind of clock, the owner, what the dashboard shows."""
        kept = self.state.read(STATE_FILE)
        try:
            found: dict[str, Any] = {} if kept is None else json.loads(kept)
        except ValueError:
            where = self.path / STATE_FILE
            raise SettingsError(f"{where} is not JSON; mend or delete the workspace") from None
        return found

    def remember(self, facts: Mapping[str, Any]) -> None:
        """Write it anew."""
        self.state.replace(STATE_FILE, json.dumps(facts).encode())

    @property
    def now(self) -> datetime:
        """The workspace's time."""
        return self.clock.now()

    def advance(self, at: datetime) -> None:
        """Move a simulated clock forward and remember it; a real clock moves by itself."""
        if isinstance(self.clock, SimulatedClock) and at > self.clock.at:
            self.clock.set(at)
            state = {**self.remembered(), "clock": "simulated", "now": at.isoformat()}
            self.remember(state)


def open_workspace(
    settings: Settings, *, simulated: bool | None = None, owner: str | None = None
) -> Workspace:
    """Open or create the workspace; `simulated` None takes the kind it has (new ones: real).

    `owner`: the city that a new workspace belongs to, its default city from then on.
    """
    if simulated:
        check_may_simulate(settings)
    found = Workspace(settings, RealClock(), _store(settings))
    state = found.remembered()
    kind = state.get("clock")
    if kind is None:
        kind = "simulated" if simulated else "real"
    elif simulated is not None and (kind == "simulated") != simulated and _is_empty(settings):
        kind, state = "simulated" if simulated else "real", {}
    elif simulated is not None and (kind == "simulated") != simulated:
        wanted = "simulated" if simulated else "real"
        msg = f"workspace {settings.workspace!r} runs on a {kind} clock, this needs a {wanted} one"
        raise SettingsError(f"{msg}; choose another with --workspace NAME")
    if kind == "real":
        clock: Clock = RealClock()
    else:
        clock = SimulatedClock(parse_time(state.get("now", "1970-01-01"), key=STATE_FILE))
    if not state and (settings.profile == "local" or simulated or owner):
        state = {"clock": kind} | ({"owner": owner} if owner else {})
        found.remember(state)
    own = settings.with_workspace(settings.workspace, default_city=state.get("owner"))
    return Workspace(own, clock, found.store)


def check_may_simulate(settings: Settings) -> None:
    """SettingsError where simulated time would reach a real account."""
    if settings.profile == "aws" and settings.rehearse_aws == "no":
        msg = "profile aws runs on the real clock: replays, the demo and drills are for"
        raise SettingsError(f"{msg} --profile local, where the same code runs")


def exists(settings: Settings) -> bool:
    """Whether the workspace was ever opened; one on AWS may be looked at in any case."""
    return settings.profile == "aws" or (settings.var / STATE_FILE).is_file()


def _is_empty(settings: Settings) -> bool:
    """A command that found nothing to work on has not settled the kind of clock."""
    return settings.profile == "local" and not (settings.var / "lake").exists()


def _store(settings: Settings) -> "Store":
    if settings.profile == "aws":
        return _s3(settings)
    from mlops_bikeshare.lake.local import LocalStore

    return LocalStore(settings.var / "lake")


def _s3(settings: Settings, **patience: Any) -> "S3Store":
    from mlops_bikeshare.lake import s3

    asked = s3.client(settings.region, **patience)
    return s3.S3Store(asked, bucket=settings.lake.bucket, folder=settings.workspace)


@cache
def _clients(url: str, region: str, token: str | None) -> "Clients":
    from mlops_bikeshare.serving.session import Clients

    return Clients(url, region, token)


def _apprise(url: str) -> "Channel":
    """An address of apprise; one that it does not understand fails, but not the others."""
    from mlops_bikeshare.monitoring.notify import Unusable
    from mlops_bikeshare.monitoring.notify_apprise import AppriseChannel, scheme

    try:
        return AppriseChannel(url)
    except SettingsError as error:
        return Unusable(scheme(url), str(error))
