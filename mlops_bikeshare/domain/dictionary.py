"""The tables' contract for other readers: Glue's columns and DDL, and the data dictionary.

Output   `glue_columns`: Name, Type and Comment, as Glue's API takes them. `ddl`: a CREATE EXTERNAL
         TABLE in Athena's dialect. `dictionary`: docs/data_dictionary.md as text.
Source   AWS Athena, "Data types in Athena"; hive partitions `city=…/date=…`.
"""

from collections.abc import Sequence

from mlops_bikeshare.domain import tables
from mlops_bikeshare.domain.tables import Column, Kind, Table

PARTITIONS = (("city", "string"), ("date", "date"))
GLUE_TYPES: dict[Kind, str] = {
    "string": "string",
    "bool": "boolean",
    "int16": "smallint",
    "int32": "int",
    "int64": "bigint",
    "float32": "float",
    "float64": "double",
    "timestamp": "timestamp",
}
TABLES: tuple[Table, ...] = (
    tables.STATION_INFORMATION_RAW,
    tables.STATION_STATUS_RAW,
    tables.WEATHER_HOURLY_RAW,
    tables.QUARANTINED_ROWS,
    tables.STATION_INFORMATION,
    tables.STATION_STATUS,
    tables.PROFILES,
    tables.INFERENCE,
    tables.MONITORING_QUALITY,
    tables.MONITORING_DRIFT,
    tables.STATION_FEEDBACK,
    tables.WHATIF_REQUESTS,
)
_INTRODUCTION = """# Data dictionary

This page is generated from `mlops_bikeshare/domain/tables.py` (`make docs`); do not edit it. The
same contract yields the schema of the Parquet files, the checks of what enters the lake, and the
tables of Glue and Athena.

Objects lie at `<location>/city=<city>/date=<UTC date>/<name>.parquet`. `city` and `date` are
partition keys, not columns of the files; `date` is the UTC date of the *partition time*. A key is
unique within a city and an object. Times are UTC; unknown is null. `features_offline` and
`features_online` hold station_id, dt and one float32 column per feature.

Documents of a feed that could not be used are kept whole at
`quarantine/documents/city=<city>/date=<UTC date>/<name>.gz`.
"""


def glue_columns(table: Table) -> list[dict[str, str]]:
    """The columns of the files, as Glue wants them."""
    return [
        {"Name": c.name, "Type": GLUE_TYPES[c.kind], "Comment": _comment(c)} for c in table.columns
    ]


def ddl(table: Table, *, database: str, location: str) -> str:
    """The statement that makes the table over the objects below `location`."""
    columns = ",\n".join(
        f"  `{c['Name']}` {c['Type']} COMMENT '{c['Comment']}'" for c in glue_columns(table)
    )
    partitions = ", ".join(f"`{name}` {kind}" for name, kind in PARTITIONS)
    where = f"{location.rstrip('/')}/{table.location}/"
    return (
        f"CREATE EXTERNAL TABLE IF NOT EXISTS `{database}`.`{table.name}` (\n{columns}\n)\n"
        f"PARTITIONED BY ({partitions})\nSTORED AS PARQUET\nLOCATION '{where}'"
    )


def dictionary(listed: Sequence[Table] = TABLES) -> str:
    """The page."""
    return "\n".join([_INTRODUCTION, *map(_section, listed)])


def _comment(column: Column) -> str:
    unit = f" [{column.unit}]" if column.unit else ""
    return f"{column.doc}{unit}".replace("'", "")


def _section(table: Table) -> str:
    facts = (
        f"{table.doc} Location `{table.location}`, partition time `{table.partition_by}`, key "
        f"{', '.join(f'`{name}`' for name in table.key)}."
    )
    head = "| column | type | unit | values | meaning | source |\n|---|---|---|---|---|---|"
    lines = [head, *map(_line, table.columns)]
    return f"## {table.name}\n\n{facts}\n\n" + "\n".join(lines) + "\n"


def _line(column: Column) -> str:
    meaning = column.doc.replace("|", "\\|")
    cells = (f"`{column.name}`", column.kind, column.unit, _values(column), meaning, column.source)
    return f"| {' | '.join(cells)} |"


def _values(column: Column) -> str:
    ends = [f"{end:g}" if end is not None else "" for end in (column.low, column.high)]
    bounds = f"{ends[0]} to {ends[1]}".strip() if any(ends) else ""
    if ends[0] and not ends[1]:
        bounds = f"from {ends[0]}"
    return ", ".join(filter(None, [bounds, "or null" if column.nullable else ""]))
