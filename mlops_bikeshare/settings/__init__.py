"""Settings: one frozen object from flags, environment, bikeshare.toml and defaults."""

from mlops_bikeshare.settings.data import IngestSettings, LakeSettings, WeatherSettings
from mlops_bikeshare.settings.every import DEMO, DRILL, FILE, Profile, Settings, Stage
from mlops_bikeshare.settings.judging import GateSettings, GuardSettings, MonitoringSettings
from mlops_bikeshare.settings.operating import (
    ApiSettings,
    AuditSettings,
    NotifySettings,
    ScheduleSettings,
)
from mlops_bikeshare.settings.reading import find_root, keys, load
from mlops_bikeshare.settings.serving import RegistrySettings, ServingSettings
from mlops_bikeshare.settings.training import RetrainSettings, TrainingSettings

__all__ = [
    "DEMO",
    "DRILL",
    "FILE",
    "ApiSettings",
    "AuditSettings",
    "GateSettings",
    "GuardSettings",
    "IngestSettings",
    "LakeSettings",
    "MonitoringSettings",
    "NotifySettings",
    "Profile",
    "RegistrySettings",
    "RetrainSettings",
    "ScheduleSettings",
    "ServingSettings",
    "Settings",
    "Stage",
    "TrainingSettings",
    "WeatherSettings",
    "find_root",
    "keys",
    "load",
]
