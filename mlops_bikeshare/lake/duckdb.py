"""SQL over local Parquet by DuckDB, which is given the tables and views under Athena's names.

Only those that a statement names are looked up, as a look lists all objects of a table. A table
without objects is there all the same, empty and typed. A column that a table got after its first
objects were written is null there; tables only grow columns. What was merged is read once (see
`partition`); objects that are merged between the look and the read are looked at again.
Statements are translated from Athena's dialect by sqlglot. Times come back aware, in UTC. Raises
LakeError.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_bikeshare.domain import tables
from mlops_bikeshare.domain.errors import LakeError
from mlops_bikeshare.domain.tables import Table
from mlops_bikeshare.lake.lake import Lake
from mlops_bikeshare.lake.local import LocalStore
from mlops_bikeshare.lake.parquet import naming
from mlops_bikeshare.lake.partition import is_merged, name_of
from mlops_bikeshare.lake.query import VIEWS, view_sql
from mlops_bikeshare.lake.store import ObjectGoneError

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

QUERYABLE: tuple[Table, ...] = (
    tables.STATION_INFORMATION_RAW,
    tables.STATION_STATUS_RAW,
    tables.WEATHER_HOURLY_RAW,
    tables.STATION_STATUS,
    tables.STATION_INFORMATION,
    tables.QUARANTINED_ROWS,
    tables.INFERENCE,
    tables.MONITORING_QUALITY,
    tables.MONITORING_DRIFT,
    tables.MONITORING_AUDIT,
    tables.STATION_FEEDBACK,
    tables.WHATIF_REQUESTS,
)


class DuckDbQuery:
    """Queries the lake below `root`; a fresh in-memory catalogue for each statement."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lake = Lake(LocalStore(root))
        self._footers: dict[str, frozenset[str]] = {}  # of the oldest objects: few, and unchanging

    def run(self, sql: str) -> "pd.DataFrame":
        """The rows; LakeError if the statement fails."""
        import duckdb
        import sqlglot

        try:
            statement = sqlglot.transpile(sql, read="athena", write="duckdb")[0]
            views, wanted = _named_in(sql)
            return self._lake.looked(lambda: self._rows(statement, views, wanted))
        except (duckdb.Error, sqlglot.errors.SqlglotError, ObjectGoneError) as error:
            raise LakeError(f"query failed: {error}; the statement was: {sql}") from error

    def _rows(
        self, statement: str, views: Sequence[str], wanted: Sequence[Table]
    ) -> "pd.DataFrame":
        import duckdb

        with duckdb.connect(":memory:") as connection:
            connection.execute("SET TimeZone = 'UTC'")
            self._catalogue(connection, views, wanted)
            try:
                rows: pd.DataFrame = connection.sql(statement).to_arrow_table().to_pandas()
            except duckdb.IOException as error:
                raise ObjectGoneError(str(error)) from error
        return rows

    def _catalogue(
        self,
        connection: "duckdb.DuckDBPyConnection",
        views: Sequence[str],
        wanted: Sequence[Table],
    ) -> None:
        import sqlglot

        for table in wanted:
            connection.execute(self._table_sql(table))
        for name in views:
            select = sqlglot.transpile(view_sql(name), read="athena", write="duckdb")[0]
            connection.execute(f"CREATE VIEW {name} AS {select}")

    def _table_sql(self, table: Table) -> str:
        keys = self._lake.all_keys(table)
        files = [str(self.root / key).replace("'", "''") for key in keys]
        typed = ", ".join(f"{c.name} {_TYPES[c.kind]}" for c in table.columns)
        if not files:
            return f"CREATE TABLE {table.name} ({typed}, city VARCHAR, date DATE)"
        listed = ", ".join(f"'{file}'" for file in files)
        options = "hive_partitioning = true, hive_types = {'city': VARCHAR, 'date': DATE}"
        columns = ", ".join([*table.names, "city", "date"])
        if not self._has_grown(table, keys):
            source = f"read_parquet([{listed}], {options})"
            return f"CREATE VIEW {table.name} AS SELECT {columns} FROM {source}"
        # By name, from every footer: three times as slow, so only where it is needed.
        source = f"read_parquet([{listed}], {options}, union_by_name = true)"
        rows = f"FROM grown_{table.name} UNION ALL BY NAME FROM {source}"
        return (
            f"CREATE TABLE grown_{table.name} ({typed}, city VARCHAR, date DATE);"
            f" CREATE VIEW {table.name} AS SELECT {columns} FROM ({rows})"
        )

    def _has_grown(self, table: Table, keys: Sequence[str]) -> bool:
        """Whether an oldest object, of a city's parts or of its merged ones, lacks a column."""
        oldest: dict[tuple[str, bool], str] = {}
        for key in keys:
            city = key.removeprefix(f"{table.location}/").partition("/")[0]
            oldest.setdefault((city, is_merged(name_of(key))), key)
        return any(not self._columns(key).issuperset(table.names) for key in oldest.values())

    def _columns(self, key: str) -> frozenset[str]:
        found = self._footers.get(key)
        if found is None:
            found = self._footers[key] = columns_of(self.root / key, key)
        return found


def columns_of(path: Path, key: str) -> frozenset[str]:
    """The columns of an object, by its footer."""
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file, naming(key):
            return frozenset(pq.read_schema(file).names)
    except FileNotFoundError as error:
        raise ObjectGoneError(str(error)) from error


def _named_in(sql: str) -> tuple[list[str], list[Table]]:
    """The views and the tables that a statement in Athena's dialect reads, by way of views too."""
    named = _tables_of(sql)
    views = [name for name in VIEWS if name in named]
    named = named.union(*(_tables_of(view_sql(name)) for name in views))
    return views, [table for table in QUERYABLE if table.name in named]


def _tables_of(sql: str) -> set[str]:
    import sqlglot

    return {
        table.name.lower()
        for statement in sqlglot.parse(sql, read="athena")
        if statement is not None
        for table in statement.find_all(sqlglot.exp.Table)
    }


_TYPES = {
    "string": "VARCHAR",
    "bool": "BOOLEAN",
    "int16": "SMALLINT",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "float32": "FLOAT",
    "float64": "DOUBLE",
    "timestamp": "TIMESTAMPTZ",
}
