"""The lake's tables: one contract that yields the pyarrow and the Pandera schema.

Frames carry times as datetime64[ms, UTC] and ids as strings (zeros kept). Unknown is null.
"""

from mlops_bikeshare.domain.tables.column import STATION, Column, Kind, Table
from mlops_bikeshare.domain.tables.curated import (
    PROFILE_MEASURES,
    PROFILES,
    STATION_INFORMATION,
    STATION_STATUS,
    features_table,
)
from mlops_bikeshare.domain.tables.outcome import (
    INFERENCE,
    MONITORING_AUDIT,
    MONITORING_DRIFT,
    MONITORING_QUALITY,
    STATION_FEEDBACK,
    WHATIF_REQUESTS,
)
from mlops_bikeshare.domain.tables.raw import (
    QUARANTINED_ROWS,
    STATION_INFORMATION_RAW,
    STATION_STATUS_RAW,
    WEATHER_HOURLY_RAW,
)
from mlops_bikeshare.domain.tables.schemas import arrow_schema, check_columns, pandera_schema

__all__ = [
    "INFERENCE",
    "MONITORING_AUDIT",
    "MONITORING_DRIFT",
    "MONITORING_QUALITY",
    "PROFILES",
    "PROFILE_MEASURES",
    "QUARANTINED_ROWS",
    "STATION",
    "STATION_FEEDBACK",
    "STATION_INFORMATION",
    "STATION_INFORMATION_RAW",
    "STATION_STATUS",
    "STATION_STATUS_RAW",
    "WEATHER_HOURLY_RAW",
    "WHATIF_REQUESTS",
    "Column",
    "Kind",
    "Table",
    "arrow_schema",
    "check_columns",
    "features_table",
    "pandera_schema",
]
