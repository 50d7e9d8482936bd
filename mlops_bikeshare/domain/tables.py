"""The lake's tables: one contract that yields the pyarrow and the Pandera schema.

A table lives at `<location>/city=<city>/date=<UTC date>/`; `city` and `date` are partition keys
and are not stored in the files. `date` is the UTC date of the column named by `partition_by`.
Frames carry times as datetime64[ms, UTC] and ids as strings (zeros kept). Unknown is null.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mlops_bikeshare.domain.errors import TableError

if TYPE_CHECKING:
    import pandas as pd
    import pandera.pandas as pa
    import pyarrow

Kind = Literal["string", "bool", "int16", "int32", "int64", "float32", "float64", "timestamp"]
_GBFS = "GBFS v2.3"


@dataclass(frozen=True, slots=True)
class Column:
    """A column: `unit` and `source` go to the data dictionary; `low`, `high` bound its values."""

    name: str
    kind: Kind
    doc: str
    unit: str = ""
    source: str = ""
    nullable: bool = False
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the lake. `key` is unique within a city."""

    name: str
    location: str
    partition_by: str
    key: tuple[str, ...]
    doc: str
    columns: tuple[Column, ...]

    @property
    def names(self) -> list[str]:
        """Column names, in order."""
        return [column.name for column in self.columns]


STATION = Column("station_id", "string", "the feed's id of the station, zeros kept", "", _GBFS)


def _count(name: str, doc: str, *, nullable: bool = False) -> Column:
    return Column(name, "int16", doc, "1", _GBFS, nullable=nullable, low=0, high=2000)


def _flag(name: str, doc: str) -> Column:
    return Column(name, "bool", doc, "", _GBFS, nullable=True)


def _time(name: str, doc: str, *, nullable: bool = False, source: str = "") -> Column:
    return Column(name, "timestamp", doc, "UTC", source, nullable=nullable)


def _share(name: str, doc: str, *, nullable: bool = True) -> Column:
    return Column(name, "float64", doc, "1", nullable=nullable, low=0, high=1)


def _weather(name: str, doc: str, unit: str, low: float, high: float) -> Column:
    return Column(name, "float64", doc, unit, nullable=True, low=low, high=high)


_STATUS = (
    _count("num_bikes_available", "bikes that can be rented"),
    _count("num_bikes_disabled", "bikes at the station that cannot be rented", nullable=True),
    _count("num_docks_available", "docks that accept a bike", nullable=True),
    _count("num_docks_disabled", "docks that do not work", nullable=True),
    _flag("is_installed", "the station is on the street"),
    _flag("is_renting", "the station rents bikes"),
    _flag("is_returning", "the station takes bikes back"),
    _time("last_reported", "the station's own report time", nullable=True, source=_GBFS),
    _time("observed_at", "the document's last_updated", source=_GBFS),
    _time("fetched_at", "when we read the feed"),
)

_PLACE = (
    Column("name", "string", "name shown to riders", "", _GBFS, nullable=True),
    Column("lat", "float64", "latitude", "degrees", _GBFS, nullable=True, low=-90, high=90),
    Column("lon", "float64", "longitude", "degrees", _GBFS, nullable=True, low=-180, high=180),
    _count("capacity", "docks in total", nullable=True),
    Column(
        "region_id", "string", "the feed's id of the station's region", "", _GBFS, nullable=True
    ),
)

STATION_INFORMATION_RAW = Table(
    "station_information_raw",
    "raw/station_information_raw",
    "fetched_at",
    ("station_id", "fetched_at"),
    "Every station list that was not like the one before, as read.",
    (
        STATION,
        *_PLACE,
        _time("fetched_at", "when we read the feed"),
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
        *_STATUS,
        _count("num_ebikes_available", "electric bikes among num_bikes_available", nullable=True),
    ),
)
STATION_INFORMATION = Table(
    "station_information",
    "curated/station_information",
    "valid_from",
    ("station_id", "valid_from"),
    "Versions of each station: a row holds from valid_from until the station's next row.",
    (
        STATION,
        *_PLACE,
        Column("capacity_inferred", "bool", "capacity is from bikes and docks, not from the feed"),
        _time("valid_from", "when we first read these facts"),
    ),
)
WEATHER_HOURLY_RAW = Table(
    "weather_hourly_raw",
    "raw/weather_hourly_raw",
    "fetched_at",
    ("hour", "fetched_at"),
    "The weather of a city by the hour, as known at fetched_at; an unknown hour has no row.",
    (
        _time("hour", "start of the hour"),
        _weather("temperature_c", "air temperature", "degrees Celsius", -90, 60),
        _weather("precipitation_mm", "rain and melted snow of the hour", "mm", 0, 500),
        _weather("wind_km_h", "mean wind speed", "km/h", 0, 500),
        _weather("humidity_pct", "relative humidity", "%", 0, 100),
        Column("origin", "string", "who says so: `recording` or `meteostat`"),
        _time("fetched_at", "when it was known"),
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
        _time("fetched_at", "when we read the feed"),
    ),
)
STATION_STATUS = Table(
    "station_status",
    "curated/station_status",
    "slot",
    ("station_id", "slot"),
    "The newest poll in each five-minute slot; a missed poll leaves no row.",
    (STATION, _time("slot", "end of the slot (slot - 5 min, slot]"), *_STATUS),
)
INFERENCE = Table(
    "inference",
    "inference",
    "dt",
    ("endpoint", "station_id", "dt", "horizon_min"),
    "What each endpoint said, one object per batch.",
    (
        Column("endpoint", "string", "name of the endpoint"),
        Column("model_version", "string", "registered version that answered", nullable=True),
        Column("variant", "string", "production variant that answered", nullable=True),
        STATION,
        _time("dt", "decision time"),
        Column("horizon_min", "int16", "minutes ahead of dt", "min", low=10, high=120),
        _share("p_bikeout", "calibrated probability of a bike stockout"),
        _share("p_dockout", "calibrated probability of a dock stockout"),
        Column("source", "string", "`model` or `fallback`"),
    ),
)
_KEYED = (
    Column("endpoint", "string", "name of the endpoint"),
    Column("model_version", "string", "registered version that was judged"),
    _time("window_start", "start of the decision times judged"),
    _time("window_end", "end of the decision times judged, exclusive"),
)
_DOWN = "decision times since the first batch whose label no station has: the feed was down"
_HANDLED = "of the censored, rows whose station somebody had handled in the hour before the label"
MONITORING_QUALITY = Table(
    "monitoring_quality",
    "monitoring/monitoring_quality",
    "window_end",
    ("endpoint", "model_version", "target", "window_end", "horizon_min", "revision"),
    "Quality from matured labels, a row per endpoint, version, target, window and revision.",
    (
        *_KEYED,
        Column("target", "string", "`bikeout` or `dockout`"),
        Column("horizon_min", "int16", "minutes ahead of dt", "min", low=10, high=120),
        Column("revision", "int16", "1 when first judged; the highest counts", "1", low=1),
        Column("feed_down", "float64", _DOWN, "1", nullable=True, low=0),
        Column("handled", "float64", _HANDLED, "1", nullable=True, low=0),
        Column("decision_times", "int32", "decision times with a matured label", "1", low=0),
        Column("samples", "int64", "labelled rows that were answered", "1", low=0),
        Column("censored", "int64", "rows without a label", "1", low=0),
        Column("unanswered", "int64", "labelled rows without a probability", "1", low=0),
        Column("onset_samples", "int64", "labelled rows not out at dt", "1", low=0),
        _share("base_rate", "share of rows that went out"),
        _share("pr_auc", "average precision"),
        _share("f1", "F1 at the version's threshold"),
        _share("brier", "Brier score"),
        _share("ece", "expected calibration error, 10 bins"),
        _share("onset_pr_auc", "average precision of onset rows"),
        Column("brier_skill", "float64", "1 - Brier / persistence's Brier", "1", nullable=True),
        Column("onset_brier_skill", "float64", "the same on onset rows", "1", nullable=True),
        _share("persistence_pr_auc", "average precision of persistence"),
        _share("persistence_brier", "Brier score of persistence"),
        _share("persistence_onset_pr_auc", "onset average precision of persistence"),
        _share("estimated_brier", "Brier score that the answers promised before any label"),
        _share("estimated_pr_auc", "average precision that the answers promised"),
    ),
)
MONITORING_DRIFT = Table(
    "monitoring_drift",
    "monitoring/monitoring_drift",
    "window_end",
    ("endpoint", "model_version", "feature", "window_end"),
    "Drift of each feature against the version's own reference.",
    (
        *_KEYED,
        Column("feature", "string", "name of the feature, the answer or the count"),
        Column("kind", "string", "`psi`, `range`, `prediction` or `feed`"),
        Column("value", "float64", "PSI, share outside the training range, or stations", "1"),
        Column("rows", "int64", "rows judged", "1", low=0),
    ),
)
MONITORING_AUDIT = Table(
    "monitoring_audit",
    "monitoring/monitoring_audit",
    "decided_at",
    ("number",),
    "Every decision: the lines of audit.jsonl, whose chain of digests is what proves them.",
    (
        Column("number", "int64", "line of the audit, from 1", "1", low=1),
        _time("decided_at", "when it was decided, by the workspace's clock"),
        Column("kind", "string", "deploy, gate, canary, promotion, rollback, …"),
        Column("endpoint", "string", "endpoint it is about", nullable=True),
        Column("model_version", "string", "registered version it is about", nullable=True),
        Column("artefact_digest", "string", "digest of that version's artefact", nullable=True),
        Column("who", "string", "account that ran it"),
        Column("why", "string", "reason"),
        Column("facts", "string", "the evidence, as JSON"),
        Column("previous", "string", "digest of the line before", nullable=True),
        Column("digest", "string", "digest of this line"),
    ),
)
STATION_FEEDBACK = Table(
    "station_feedback",
    "feedback/station_feedback",
    "said_at",
    ("station_id", "said_at"),
    "What people saw or did at stations, one object each.",
    (
        STATION,
        _time("said_at", "when it was said, by the workspace's clock"),
        Column("what", "string", "`handled`: somebody went there; `wrong`: the prediction was"),
        Column("note", "string", "in the person's own words", nullable=True),
        Column("who", "string", "account that said it"),
    ),
)
WHATIF_REQUESTS = Table(
    "whatif_requests",
    "whatif/whatif_requests",
    "asked_at",
    ("request", "station_id", "horizon_min"),
    "What people asked an endpoint about other inputs, one object a request; no predictions.",
    (
        Column("request", "string", "id of the request"),
        _time("asked_at", "when it was asked, by the workspace's clock"),
        Column("scope", "string", "`station` or `city`"),
        Column("inputs", "string", "what was changed, as JSON"),
        Column("without_influence", "string", "changed inputs that no feature knows, by comma"),
        Column("endpoint", "string", "name of the endpoint"),
        Column("model_version", "string", "registered version that answered", nullable=True),
        Column("variant", "string", "production variant that answered"),
        STATION,
        _time("dt", "decision time whose counts were changed"),
        Column("horizon_min", "int16", "minutes ahead of dt", "min", low=10, high=120),
        _share("p_bikeout", "calibrated probability of a bike stockout"),
        _share("p_dockout", "calibrated probability of a dock stockout"),
    ),
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
        _time("valid_from", "start of the UTC day whose features may use these sums"),
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
            _time("dt", "decision time"),
            *(Column(f, "float32", "see features/definition.py", nullable=True) for f in features),
        ),
    )


def arrow_schema(table: Table) -> "pyarrow.Schema":
    """The pyarrow schema of a table's files."""
    import pyarrow as pa

    kinds: dict[str, Any] = {"timestamp": pa.timestamp("ms", tz="UTC"), "bool": pa.bool_()}
    return pa.schema(
        pa.field(c.name, kinds.get(c.kind) or getattr(pa, c.kind)(), nullable=c.nullable)
        for c in table.columns
    )


def pandera_schema(table: Table) -> "pa.DataFrameSchema":
    """The Pandera schema of a frame about to enter or leave the lake (not coerced)."""
    import pandera.pandas as pa

    return pa.DataFrameSchema(
        {c.name: _pandera_column(c) for c in table.columns},
        name=table.name,
        strict=True,
        unique=list(table.key),
    )


def _pandera_column(column: Column) -> "pa.Column":
    import pandera.pandas as pa

    bounds = [(pa.Check.ge, column.low), (pa.Check.le, column.high)]
    checks = [check(bound) for check, bound in bounds if bound is not None]
    return pa.Column(checks=checks, nullable=column.nullable)


def check_columns(table: Table, frame: "pd.DataFrame") -> None:
    """Raise TableError naming missing and unexpected columns of `frame`."""
    missing = [name for name in table.names if name not in frame.columns]
    extra = [name for name in frame.columns if name not in table.names]
    if missing or extra:
        msg = (
            f"table {table.name}: missing columns {missing or 'none'},"
            f" unexpected {extra or 'none'}; expected {table.names}"
        )
        raise TableError(msg)
