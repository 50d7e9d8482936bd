"""A workspace: its adapters, made when first used, and what it remembers.

Raises   SettingsError for what a profile has not, EndpointError where no endpoint host runs.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mlops_bikeshare.backends import adapters
from mlops_bikeshare.backends.adapters import Access
from mlops_bikeshare.domain.clock import Clock, SimulatedClock
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
    from mlops_bikeshare.monitoring.notify import Bounded
    from mlops_bikeshare.serving.session import Clients

STATE_FILE = "workspace.json"


@dataclass(frozen=True)
class Workspace:
    """What flows work with."""

    settings: Settings
    clock: Clock
    store: "Store | None" = None  # one that is open already
    access: Access = field(default_factory=Access)

    @property
    def path(self) -> Path:
        """Folder of the workspace on this machine."""
        return self.settings.var

    @cached_property
    def lake(self) -> "Lake":
        """The tables."""
        from mlops_bikeshare.lake.lake import Lake

        return Lake(self.store or adapters.store(self.settings))

    @cached_property
    def state(self) -> "State":
        """What is remembered beside the tables: decisions, plans, locks."""
        if self.settings.profile == "aws":
            from mlops_bikeshare.lake.s3_state import BEAT_TIMEOUT_S, S3State

            patience = {"attempts": 1, "timeout_s": BEAT_TIMEOUT_S}
            hurried = adapters.s3_store(self.settings, **patience)
            return S3State(cast("S3Store", self.lake.store), beats=hurried)
        from mlops_bikeshare.lake.local_state import LocalState

        return LocalState(self.path)

    @cached_property
    def query(self) -> "Query":
        """SQL over the tables."""
        return adapters.query(self.settings, self.access)

    @property
    def lake_address(self) -> str:
        """Where the lake lies on S3."""
        return adapters.address(self.settings)

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

        return cloudwatch.client(self.settings.region, attempts=4, profile=self.access.profile)

    def _cloudwatch(self) -> "MetricStore":
        """Marks of what was posted lie in the lake, beside the rows they speak of."""
        from mlops_bikeshare.monitoring import cloudwatch

        region, profile = self.settings.region, self.access.profile
        return cloudwatch.CloudWatchMetricStore(
            reader=cloudwatch.client(region, attempts=4, profile=profile),
            writer=cloudwatch.client(region, attempts=1, profile=profile),
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
        """Who is told of what fires."""
        return adapters.channels(self.settings)

    @property
    def clients(self) -> "Clients":
        """SageMaker, its runtime and S3; locally those of the workspace's endpoint host."""
        if self.settings.profile == "aws":
            return self._sagemaker
        from mlops_bikeshare.serving.launch import running

        host = running(self.path)
        if host is None:
            name = self.settings.workspace
            msg = f"no endpoint host runs for workspace {name!r}; start it with"
            raise EndpointError(f"{msg} `bikeshare --workspace {name} serve --background`")
        return adapters.clients(host.url, self.settings.region, self.settings.serving.token)

    @cached_property
    def _sagemaker(self) -> "Clients":
        from mlops_bikeshare.serving.session import Clients

        return Clients(None, self.settings.region, None, self.access.profile)

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
