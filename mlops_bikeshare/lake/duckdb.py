"""SQL over local Parquet by DuckDB, which is given the tables and views under Athena's names.

A table without objects is there all the same, empty and typed. A column that a table got after its
first objects were written is null there; tables only grow columns. What was merged is read once
(see `partition`); objects that are merged between the look and the read are looked at again.
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

    def run(self, sql: str) -> "pd.DataFrame":
        """The rows; LakeError if the statement fails."""
        import duckdb
        import sqlglot

        try:
            statement = sqlglot.transpile(sql, read="athena", write="duckdb")[0]
            return self._lake.looked(lambda: self._rows(statement))
        except (duckdb.Error, sqlglot.errors.SqlglotError, ObjectGoneError) as error:
            raise LakeError(f"query failed: {error}; the statement was: {sql}") from error

    def _rows(self, statement: str) -> "pd.DataFrame":
        import duckdb

        with duckdb.connect(":memory:") as connection:
            connection.execute("SET TimeZone = 'UTC'")
            self._catalogue(connection)
            try:
                rows: pd.DataFrame = connection.sql(statement).to_arrow_table().to_pandas()
            except duckdb.IOException as error:
                raise ObjectGoneError(str(error)) from error
        return rows

    def _catalogue(self, connection: "duckdb.DuckDBPyConnection") -> None:
        import sqlglot

        for table in QUERYABLE:
            connection.execute(self._table_sql(table))
        for name in VIEWS:
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

    def _columns(self, key: str) -> set[str]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return set(pq.read_schema(self.root / key).names)
        except FileNotFoundError as error:
            raise ObjectGoneError(str(error)) from error
        except pa.ArrowInvalid as error:
            raise LakeError(f"{key} is no Parquet: {error}") from error


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
