"""What was made of it: slots, versions of stations, features and profiles."""

from collections.abc import Sequence

from mlops_bikeshare.domain.tables.column import PLACE, STATION, STATUS, Column, Table, instant

STATION_INFORMATION = Table(
    "station_information",
    "curated/station_information",
    "valid_from",
    ("station_id", "valid_from"),
    "Versions of each station: a row holds from valid_from until the station's next row.",
    (
        STATION,
        *PLACE,
        Column("capacity_inferred", "bool", "capacity is from bikes and docks, not from the feed"),
        instant("valid_from", "when we first read these facts"),
    ),
)
STATION_STATUS = Table(
    "station_status",
    "curated/station_status",
    "slot",
    ("station_id", "slot"),
    "The newest poll in each five-minute slot; a missed poll leaves no row.",
    (STATION, instant("slot", "end of the slot (slot - 5 min, slot]"), *STATUS),
)

# What a profile knows of a station at a time of day, and its unit per five-minute slot.
PROFILE_MEASURES: dict[str, tuple[str, str]] = {
    "fill": ("bikes / (bikes + docks), in thousandths", "1/1000"),
    "change_30": ("change of bikes over the next 30 min", "bikes"),
    "change_60": ("change of bikes over the next 60 min", "bikes"),
    "change_120": ("change of bikes over the next 120 min", "bikes"),
    "gained_60": ("bikes that come in over the next 60 min", "bikes"),
    "lost_60": ("bikes that go out over the next 60 min", "bikes"),
    "bikeout_30": ("out of bikes in 30 min, of the slots not out now", "1"),
    "bikeout_120": ("out of bikes in 120 min, of the slots not out now", "1"),
    "dockout_30": ("out of docks in 30 min, of the slots not out now", "1"),
    "dockout_120": ("out of docks in 120 min, of the slots not out now", "1"),
}
PROFILES = Table(
    "profiles",
    "features/profiles",
    "valid_from",
    ("station_id", "valid_from", "weekend", "half_hour"),
    "Sums over all days before valid_from, by station, kind of day and half-hour of local time.",
    (
        STATION,
        instant("valid_from", "start of the UTC day whose features may use these sums"),
        Column("weekend", "bool", "local Saturday or Sunday"),
        Column("half_hour", "int16", "half-hour of local time", "30 min", low=0, high=47),
        *(
            column
            for name, (doc, unit) in PROFILE_MEASURES.items()
            for column in (
                Column(f"{name}_sum", "int64", f"sum of: {doc}", unit),
                Column(f"{name}_n", "int64", f"slots with a known: {doc}", "1", low=0),
            )
        ),
    ),
)


def features_table(name: str, features: Sequence[str]) -> Table:
    """`features_offline` or `features_online` with the named float32 features."""
    return Table(
        name,
        f"features/{name}",
        "dt",
        ("station_id", "dt"),
        "The features of each station at each decision time; NaN where unknown.",
        (
            STATION,
            instant("dt", "decision time"),
            *(Column(f, "float32", "see features/definition.py", nullable=True) for f in features),
        ),
    )
