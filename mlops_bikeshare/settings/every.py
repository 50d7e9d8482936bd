"""The one frozen settings object, with a section per part of the project.

Every value remembers where it came from (`Settings.origins`); its annotation says what it means.
`Settings.city` raises SettingsError, naming the cities there are.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, Self

from mlops_bikeshare.domain.bounds import NAME
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import SettingsError
from mlops_bikeshare.domain.label import USUAL, Label
from mlops_bikeshare.settings.data import IngestSettings, LakeSettings, WeatherSettings
from mlops_bikeshare.settings.judging import GateSettings, GuardSettings, MonitoringSettings
from mlops_bikeshare.settings.operating import (
    ApiSettings,
    AuditSettings,
    NotifySettings,
    ScheduleSettings,
)
from mlops_bikeshare.settings.serving import JobsSettings, RegistrySettings, ServingSettings
from mlops_bikeshare.settings.training import RetrainSettings, TrainingSettings

FILE = "bikeshare.toml"
DEMO, DRILL = "demo", "drill"
Profile = Literal["local", "aws"]
Stage = Literal["staging", "prod"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything a flow may be told; `root` is the folder of bikeshare.toml."""

    root: Path
    profile: Annotated[
        Profile,
        "local: this machine only; aws: S3, SageMaker, CloudWatch",
    ] = "local"
    workspace: Annotated[
        str, "state lives in var/NAME, with profile aws under NAME/ in the lake's bucket", NAME
    ] = "main"
    state_dir: Annotated[
        str | None, "folder of the workspaces; unset: var in the root. AWS Lambda: /tmp/bikeshare"
    ] = None
    rehearse_aws: Annotated[
        Literal["no", "yes"],
        "yes: profile aws speaks to stand-ins on this machine (AWS_ENDPOINT_URL_...), for tests",
    ] = "no"
    default_city: Annotated[
        str,
        "city of commands without --city; owns bikeshare-staging and bikeshare-prod",
    ] = "boston"
    region: Annotated[str, "AWS region, also told to the local host"] = "ca-central-1"
    tracking_uri: Annotated[
        str | None,
        "MLflow store; unset: mlflow.db in the root. The demo has its own, var/demo/mlflow.db",
    ] = None
    artifacts_uri: Annotated[
        str | None,
        "where runs of a store that is a database keep their files, such as s3://bucket/mlflow; "
        "unset: mlartifacts beside mlflow.db, on AWS the bucket of the lake",
    ] = None
    sm_endpoint: Annotated[
        str | None,
        "endpoint that the dashboard shows; unset: what the last promotion chose, else staging",
    ] = None
    serving: ServingSettings = ServingSettings()
    jobs: JobsSettings = JobsSettings()
    registry: RegistrySettings = RegistrySettings()
    lake: LakeSettings = LakeSettings()
    ingest: IngestSettings = IngestSettings()
    weather: WeatherSettings = WeatherSettings()
    labels: Label = USUAL
    training: TrainingSettings = TrainingSettings()
    retrain: RetrainSettings = RetrainSettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    notify: NotifySettings = NotifySettings()
    schedule: ScheduleSettings = ScheduleSettings()
    api: ApiSettings = ApiSettings()
    audit: AuditSettings = AuditSettings()
    gate: GateSettings = GateSettings()
    guard: GuardSettings = GuardSettings()
    cities: Mapping[str, City] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)

    @property
    def var(self) -> Path:
        """The workspace's folder on this machine."""
        return self.workspaces / self.workspace

    @property
    def workspaces(self) -> Path:
        """The folder of all workspaces."""
        return Path(self.state_dir) if self.state_dir else self.root / "var"

    @property
    def is_rehearsal(self) -> bool:
        """Whether it is the workspace of the demo or the drill, made anew each time."""
        return self.workspace in {DEMO, DRILL}

    @property
    def mlflow_home(self) -> Path:
        """Folder of the MLflow store: rehearsals keep their own, so that no real alias moves."""
        return self.var if self.is_rehearsal else self.root

    @property
    def mlflow_uri(self) -> str:
        """The store that was named, else SQLite in `mlflow_home`; a rehearsal has its own."""
        named = None if self.is_rehearsal else self.tracking_uri
        return named or f"sqlite:///{self.mlflow_home / 'mlflow.db'}"

    def city(self, name: str | None = None) -> City:
        """The city called `name`, or the default one."""
        wanted = name or self.default_city
        if wanted not in self.cities:
            msg = f"city {wanted!r} is not in {FILE}; known: {', '.join(sorted(self.cities))}"
            raise SettingsError(f"{msg}. Add a table [cities.{wanted}] with timezone and country.")
        return self.cities[wanted]

    def endpoint(self, stage: Stage, city: str) -> str:
        """Name of an endpoint: the default city owns the short names."""
        owner = "" if city == self.default_city else f"{city}-"
        return f"bikeshare-{owner}{stage}"

    def package_group(self, city: str) -> str | None:
        """Name of a city's model package group; None where SageMaker's registry is not used."""
        if self.profile != "aws" or self.registry.sagemaker == "no":
            return None
        return f"{self.registry.package_group_prefix}-{city}"

    def with_workspace(self, workspace: str, *, default_city: str | None = None) -> Self:
        """The same settings in another workspace."""
        return dataclasses.replace(
            self, workspace=workspace, default_city=default_city or self.default_city
        )
