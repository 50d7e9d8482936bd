"""Catalog: the database, the tables and the views that Athena needs over the lake on S3.

Input    a workspace of profile aws; the cities and the first date of the settings.
Output   per object `created`, `changed`, `unchanged`, or `defined` (a view is written each time).
Raises   SettingsError with profile local, where DuckDB reads the lake without a catalogue.

Run it again when a city is added: Athena looks for the cities that it was told.
"""

from dataclasses import dataclass, field

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain import tables
from mlops_bikeshare.domain.dictionary import TABLES
from mlops_bikeshare.flows.features import OFFLINE, ONLINE
from mlops_bikeshare.lake.glue import Place
from mlops_bikeshare.lake.query import VIEWS, view_sql

CATALOGUED = (*TABLES, tables.MONITORING_AUDIT, OFFLINE, ONLINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What became of each object."""

    database: str
    steps: dict[str, str] = field(default_factory=dict)


def summary(done: Applied) -> str:
    """A line per object."""
    return "\n".join(f"{done.database}: {what} {name}" for name, what in done.steps.items())


def apply(ws: Workspace) -> Applied:
    """Bring the catalogue to the contract."""
    catalog, settings = ws.catalog, ws.settings
    place = Place(
        address=ws.lake_address,
        cities=tuple(settings.cities),
        first_date=settings.lake.first_date,
    )
    steps: dict[str, str] = {f"database {catalog.database}": catalog.apply_database()}
    for table in CATALOGUED:
        steps[f"table {table.name}"] = catalog.apply_table(table, place)
    for name in VIEWS:
        ws.query.run(f"CREATE OR REPLACE VIEW {name} AS\n{view_sql(name)}")
        steps[f"view {name}"] = "defined"
    return Applied(database=catalog.database, steps=steps)
