"""What a table and a column are, and the columns that several tables share.

A table lives at `<location>/city=<city>/date=<UTC date>/`; `city` and `date` are partition keys
and are not stored in the files. `date` is the UTC date of the column named by `partition_by`.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["string", "bool", "int16", "int32", "int64", "float32", "float64", "timestamp"]
GBFS = "GBFS v2.3"


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


STATION = Column("station_id", "string", "the feed's id of the station, zeros kept", "", GBFS)


def count(name: str, doc: str, *, nullable: bool = False) -> Column:
    """A number of bikes or docks."""
    return Column(name, "int16", doc, "1", GBFS, nullable=nullable, low=0, high=2000)


def flag(name: str, doc: str) -> Column:
    """A flag of a station; null where the feed does not say."""
    return Column(name, "bool", doc, "", GBFS, nullable=True)


def instant(name: str, doc: str, *, nullable: bool = False, source: str = "") -> Column:
    """A time in UTC."""
    return Column(name, "timestamp", doc, "UTC", source, nullable=nullable)


def share(name: str, doc: str, *, nullable: bool = True) -> Column:
    """A part of 1."""
    return Column(name, "float64", doc, "1", nullable=nullable, low=0, high=1)


def measure(name: str, doc: str, unit: str, low: float, high: float) -> Column:
    """A measure of the weather."""
    return Column(name, "float64", doc, unit, nullable=True, low=low, high=high)


STATUS = (
    count("num_bikes_available", "bikes that can be rented"),
    count("num_bikes_disabled", "bikes at the station that cannot be rented", nullable=True),
    count("num_docks_available", "docks that accept a bike", nullable=True),
    count("num_docks_disabled", "docks that do not work", nullable=True),
    flag("is_installed", "the station is on the street"),
    flag("is_renting", "the station rents bikes"),
    flag("is_returning", "the station takes bikes back"),
    instant("last_reported", "the station's own report time", nullable=True, source=GBFS),
    instant("observed_at", "the document's last_updated", source=GBFS),
    instant("fetched_at", "when we read the feed"),
)

PLACE = (
    Column("name", "string", "name shown to riders", "", GBFS, nullable=True),
    Column("lat", "float64", "latitude", "degrees", GBFS, nullable=True, low=-90, high=90),
    Column("lon", "float64", "longitude", "degrees", GBFS, nullable=True, low=-180, high=180),
    count("capacity", "docks in total", nullable=True),
    Column("region_id", "string", "the feed's id of the station's region", "", GBFS, nullable=True),
)
