"""The catalogue: Glue's database and tables over the lake on S3, made from the tables' contract.

Input    a boto3 client of Glue (`client`), a database, the lake's s3:// address, the cities.
Output   what each step did: `created`, `changed` or `unchanged`; again is always `unchanged`.
Raises   LakeError with Glue's reason.
Source   AWS, Athena user guide, "Partition projection": nothing registers partitions, Athena
         computes them from the cities (enum) and the dates (from `first_date` to tomorrow).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from mlops_bikeshare.domain.dictionary import PARTITIONS, glue_columns
from mlops_bikeshare.domain.errors import LakeError
from mlops_bikeshare.domain.tables import Table

Step = Literal["created", "changed", "unchanged"]
_HIVE = "org.apache.hadoop.hive.ql.io.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What tables are over."""

    address: str
    cities: Sequence[str]
    first_date: str


def client(region: str, *, url: str | None = None) -> Any:
    """A boto3 client of Glue; `url` is for tests on the wire."""
    from boto3.session import Session
    from botocore.config import Config

    dummy = {"aws_access_key_id": "local", "aws_secret_access_key": "local"} if url else {}
    config = Config(proxies={}) if url else Config(connect_timeout=5, read_timeout=30)
    return Session().client("glue", region_name=region, endpoint_url=url, config=config, **dummy)


class GlueCatalog:
    """One database of Glue."""

    def __init__(self, client: Any, database: str) -> None:
        self.database = database
        self._client = client

    def apply_database(self) -> Step:
        """Create the database if it is not there."""
        with self._explained(f"database {self.database}"):
            try:
                self._client.create_database(DatabaseInput={"Name": self.database})
            except self._client.exceptions.AlreadyExistsException:
                return "unchanged"
        return "created"

    def apply_table(self, table: Table, place: Place) -> Step:
        """Create the table, or bring it to the contract."""
        wanted = table_input(table, place)
        with self._explained(f"table {self.database}.{table.name}"):
            there = self._table(table.name)
            if there is None:
                self._client.create_table(DatabaseName=self.database, TableInput=wanted)
                return "created"
            if _same(wanted, there):
                return "unchanged"
            self._client.update_table(DatabaseName=self.database, TableInput=wanted)
        return "changed"

    def _table(self, name: str) -> Mapping[str, Any] | None:
        try:
            found = self._client.get_table(DatabaseName=self.database, Name=name)
        except self._client.exceptions.EntityNotFoundException:
            return None
        told: Mapping[str, Any] = found["Table"]
        return told

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError) as error:
            raise LakeError(f"Glue, {what}: {error}") from error


def table_input(table: Table, place: Place) -> dict[str, Any]:
    """What CreateTable and UpdateTable take."""
    location = f"{place.address.rstrip('/')}/{table.location}/"
    return {
        "Name": table.name,
        "Description": table.doc,
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {
            "EXTERNAL": "TRUE",
            "classification": "parquet",
            **_projected(location, place),
        },
        "PartitionKeys": [{"Name": name, "Type": kind} for name, kind in PARTITIONS],
        "StorageDescriptor": {
            "Columns": glue_columns(table),
            "Location": location,
            "InputFormat": f"{_HIVE}.MapredParquetInputFormat",
            "OutputFormat": f"{_HIVE}.MapredParquetOutputFormat",
            "SerdeInfo": {"SerializationLibrary": f"{_HIVE}.serde.ParquetHiveSerDe"},
        },
    }


def _projected(location: str, place: Place) -> dict[str, str]:
    return {
        "projection.enabled": "true",
        "projection.city.type": "enum",
        "projection.city.values": ",".join(sorted(place.cities)),
        "projection.date.type": "date",
        "projection.date.format": "yyyy-MM-dd",
        # Profiles of tomorrow are made today.
        "projection.date.range": f"{place.first_date},NOW+1DAYS",
        "projection.date.interval": "1",
        "projection.date.interval.unit": "DAYS",
        "storage.location.template": f"{location}city=${{city}}/date=${{date}}/",
    }


def _same(wanted: Any, there: Any) -> bool:
    """Whether what is there says all that is wanted; Glue adds more of its own."""
    if isinstance(wanted, Mapping):
        return all(name in there and _same(value, there[name]) for name, value in wanted.items())
    if isinstance(wanted, list):
        return len(wanted) == len(there) and all(map(_same, wanted, there))
    return bool(wanted == there)
