"""What was read, as it was read: polls, lists, weather, and the rows that were refused."""

from mlops_bikeshare.domain.tables.column import (
    PLACE,
    STATION,
    STATUS,
    Column,
    Table,
    count,
    instant,
    measure,
)

STATION_INFORMATION_RAW = Table(
    "station_information_raw",
    "raw/station_information_raw",
    "fetched_at",
    ("station_id", "fetched_at"),
    "Every station list that was not like the one before, as read.",
    (
        STATION,
        *PLACE,
        instant("fetched_at", "when we read the feed"),
    ),
)
STATION_STATUS_RAW = Table(
    "station_status_raw",
    "raw/station_status_raw",
    "fetched_at",
    ("station_id", "fetched_at"),
    "Every poll as read, one object each.",
    (
        STATION,
        *STATUS,
        count("num_ebikes_available", "electric bikes among num_bikes_available", nullable=True),
    ),
)
WEATHER_HOURLY_RAW = Table(
    "weather_hourly_raw",
    "raw/weather_hourly_raw",
    "fetched_at",
    ("hour", "fetched_at"),
    "The weather of a city by the hour, as known at fetched_at; an unknown hour has no row.",
    (
        instant("hour", "start of the hour"),
        measure("temperature_c", "air temperature", "degrees Celsius", -90, 60),
        measure("precipitation_mm", "rain and melted snow of the hour", "mm", 0, 500),
        measure("wind_km_h", "mean wind speed", "km/h", 0, 500),
        measure("humidity_pct", "relative humidity", "%", 0, 100),
        Column("origin", "string", "who says so: `recording` or `meteostat`"),
        instant("fetched_at", "when it was known"),
    ),
)
QUARANTINED_ROWS = Table(
    "quarantined_rows",
    "quarantine/rows",
    "fetched_at",
    ("feed", "position", "fetched_at"),
    "Rows of a feed that broke the contract, with the reason; the good rows beside them went on.",
    (
        Column("feed", "string", "the document: station_status or station_information"),
        Column("position", "int32", "place in the document's list, from 0", "1", low=0),
        Column("station_id", "string", "the row's station_id, if it has one", nullable=True),
        Column("reason", "string", "what was expected and what came"),
        Column("row", "string", "the row as JSON, cut at 2,000 characters"),
        instant("fetched_at", "when we read the feed"),
    ),
)
