"""A table's contract as the pyarrow and the Pandera schema."""

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mlops_bikeshare.domain.errors import TableError
from mlops_bikeshare.domain.tables.column import Column, Table

if TYPE_CHECKING:
    import pandas as pd
    import pandera.pandas as pa
    import pyarrow


@lru_cache(maxsize=64)
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
