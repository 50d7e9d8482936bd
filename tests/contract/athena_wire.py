"""Athena on the wire: every statement really runs, on DuckDB, over what Glue says lies on S3.

It speaks what PyAthena speaks (JSON 1.1 over HTTP). A statement is translated by sqlglot; before
it runs, each table of the database is made of Glue's columns and of the Parquet objects that lie
where its partition projection looks; views are those that were created here.
"""

import io
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import sqlglot
from botocore.exceptions import ClientError

from tests.wire import Application, json_service, served

PAGE = 7
_VIEW = re.compile(r"CREATE OR REPLACE VIEW (\w+) AS\s+(.*)", re.DOTALL)
_TYPES = {"string": "VARCHAR", "int": "INTEGER", "timestamp": "TIMESTAMP(3)"}
_ATHENA = {"VARCHAR": "varchar", "INTEGER": "integer", "DATE": "date"}


@dataclass
class Athena:
    """The state behind the server."""

    glue: Any
    s3: Any
    url: str = ""
    views: dict[str, str] = field(default_factory=dict)
    statements: dict[str, str] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)
    places: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def application(self) -> Application:
        """What speaks for it."""

        def answer(operation: str, asked: dict[str, Any]) -> dict[str, Any]:
            method = getattr(self, re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower())
            told: dict[str, Any] = method(asked)
            return told

        return json_service(answer)

    def start_query_execution(self, asked: dict[str, Any]) -> dict[str, Any]:
        key = str(uuid.uuid4())
        self.statements[key] = asked["QueryString"]
        database = asked["QueryExecutionContext"]["Database"]
        try:
            self.answers[key] = self._ran(asked["QueryString"], database)
            self._keep(key, asked["ResultConfiguration"]["OutputLocation"])
        except (duckdb.Error, sqlglot.errors.SqlglotError, ClientError) as error:
            self.answers[key] = error
        return {"QueryExecutionId": key}

    def get_query_execution(self, asked: dict[str, Any]) -> dict[str, Any]:
        key = asked["QueryExecutionId"]
        query = self.statements[key]
        failed = isinstance(self.answers[key], Exception)
        status = {"State": "FAILED" if failed else "SUCCEEDED"}
        if failed:
            status["StateChangeReason"] = str(self.answers[key])
        place = {"OutputLocation": f"s3://lake/athena_results/{key}.csv"}
        return {
            "QueryExecution": {
                "QueryExecutionId": key,
                "Query": query,
                "Status": status,
                "StatementType": "DML",
                "ResultConfiguration": place,
            }
        }

    def get_query_results(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.s3.get_object(**self.places[asked["QueryExecutionId"]])
        columns, rows = self.answers[asked["QueryExecutionId"]]
        lines = [[name for name, _ in columns], *rows] if columns else []
        start = int(asked.get("NextToken", 0))
        end = start + min(asked.get("MaxResults", PAGE), PAGE)
        cells = [
            {"Data": [{} if v is None else {"VarCharValue": v} for v in line]}
            for line in lines[start:end]
        ]
        told = [
            {
                "Name": name,
                "Label": name,
                "Type": kind,
                "Precision": 0,
                "Scale": 0,
                "Nullable": "UNKNOWN",
            }
            for name, kind in columns
        ]
        token = {"NextToken": str(end)} if end < len(lines) else {}
        result = {"Rows": cells, "ResultSetMetadata": {"ColumnInfo": told}}
        return {"ResultSet": result, "UpdateCount": 0, **token}

    def _keep(self, key: str, place: str) -> None:
        """Results lie where the caller, or its workgroup, wants them."""
        bucket, _, folder = place.removeprefix("s3://").partition("/")
        self.s3.get_bucket_location(Bucket=bucket)
        self.places[key] = {"Bucket": bucket, "Key": f"{folder}{key}.csv"}
        self.s3.put_object(**self.places[key], Body=b"")

    def _ran(self, sql: str, database: str) -> Any:
        created = _VIEW.fullmatch(sql.strip())
        with duckdb.connect(":memory:") as connection:
            connection.execute("SET TimeZone = 'UTC'")
            said = " ".join([sql, *(text for name, text in self.views.items() if name in sql)])
            for table in self.glue.get_tables(DatabaseName=database)["TableList"]:
                self._make(connection, table)
                if table["Name"] in said:
                    self._load(connection, table)
            if created:
                self._view(connection, created[1], created[2])
                self.views[created[1]] = created[2]
                return [], []
            for name, select in self.views.items():
                self._view(connection, name, select)
            found = connection.sql(sqlglot.transpile(sql, read="athena", write="duckdb")[0])
            kinds = [_athena(str(kind)) for kind in found.types]
            rows = [[_text(value) for value in row] for row in found.fetchall()]
            return list(zip(found.columns, kinds, strict=True)), rows

    @staticmethod
    def _view(connection: duckdb.DuckDBPyConnection, name: str, select: str) -> None:
        text = sqlglot.transpile(select, read="athena", write="duckdb")[0]
        connection.execute(f"CREATE VIEW {name} AS {text}")

    @staticmethod
    def _make(connection: duckdb.DuckDBPyConnection, table: Mapping[str, Any]) -> None:
        columns = [*table["StorageDescriptor"]["Columns"], *table["PartitionKeys"]]
        typed = ", ".join(f"{c['Name']} {_TYPES.get(c['Type'], c['Type'])}" for c in columns)
        connection.execute(f"CREATE TABLE {table['Name']} ({typed})")

    def _load(self, connection: duckdb.DuckDBPyConnection, table: Mapping[str, Any]) -> None:
        columns = table["StorageDescriptor"]["Columns"]
        for key, city, day in self._objects(table["Parameters"]):
            bucket = table["StorageDescriptor"]["Location"].split("/")[2]
            body = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
            rows = pq.read_table(io.BytesIO(body))
            names = [c["Name"] for c in columns]
            arrow = pa.table({name: _plain(rows[name]) for name in names})
            connection.register("arrived", arrow)
            connection.execute(
                f"INSERT INTO {table['Name']} SELECT *, '{city}', DATE '{day}' FROM arrived"
            )
            connection.unregister("arrived")

    def _objects(self, told: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
        """Keys where the projection looks: in its cities, from its first date."""
        assert told["projection.enabled"] == "true"
        template = told["storage.location.template"].removeprefix("s3://")
        bucket, _, path = template.partition("/")
        first = told["projection.date.range"].partition(",")[0]
        for city in told["projection.city.values"].split(","):
            within = path.replace("${city}", city)
            before, after = within.split("${date}")
            found = self.s3.list_objects_v2(Bucket=bucket, Prefix=before).get("Contents", [])
            for key in (item["Key"] for item in found):
                day = key[len(before) : len(before) + 10]
                if key.startswith(f"{before}{day}{after}") and day >= first:
                    yield key, city, day


def _plain(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Athena's timestamps carry no zone."""
    is_time = pa.types.is_timestamp(values.type)
    return values.cast(pa.timestamp("ms", tz="UTC")).cast(pa.timestamp("ms")) if is_time else values


def _athena(kind: str) -> str:
    return "timestamp" if kind.startswith("TIMESTAMP") else _ATHENA.get(kind, kind.lower())


def _text(value: Any) -> str | None:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="milliseconds")
    if isinstance(value, bool):
        return str(value).lower()
    return None if value is None else "NaN" if value != value else str(value)  # noqa: PLR0124


@contextmanager
def athena_on_the_wire(glue: Any, s3: Any) -> Iterator[Athena]:
    """A server of its own, gone with the block."""
    athena = Athena(glue, s3)
    with served(athena.application) as athena.url:
        yield athena
