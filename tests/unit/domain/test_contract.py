"""The quick yes of `conforms` is never given where Pandera says no."""

from typing import Any

import numpy as np
import pandas as pd
import pandera.errors
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_bikeshare.domain.contract import conforms, to_arrow
from mlops_bikeshare.domain.dictionary import GLUE_TYPES, TABLES, ddl, glue_columns
from mlops_bikeshare.domain.errors import TableError
from mlops_bikeshare.domain.tables import (
    STATION_INFORMATION_RAW,
    STATION_STATUS_RAW,
    Table,
    arrow_schema,
    check_columns,
    pandera_schema,
)

AT = pd.Timestamp("2024-05-01", tz="UTC").as_unit("ms")


def frame(rows: int = 4) -> pd.DataFrame:
    columns: dict[str, Any] = {"station_id": pd.array([str(i) for i in range(rows)], dtype="str")}
    for column in STATION_STATUS_RAW.columns[1:]:
        if column.kind == "int16":
            columns[column.name] = pd.array(range(rows), dtype="Int16")
        elif column.kind == "bool":
            columns[column.name] = pd.array([True] * rows, dtype="boolean")
        else:
            columns[column.name] = AT
    return pd.DataFrame(columns)[STATION_STATUS_RAW.names]


def accepted(table: Table, rows: pd.DataFrame) -> bool:
    try:
        pandera_schema(table).validate(rows, lazy=True)
    except (pandera.errors.SchemaErrors, pandera.errors.SchemaError):
        return False
    return True


def taken(rows: pd.DataFrame) -> bool:
    """Whether the quick way takes the frame, without asking Pandera."""
    try:
        check_columns(STATION_STATUS_RAW, rows)
        return conforms(STATION_STATUS_RAW, to_arrow(STATION_STATUS_RAW, rows))
    except (TableError, pa.ArrowInvalid, pa.ArrowTypeError):
        return False


def test_a_frame_that_keeps_the_contract_is_accepted_at_once() -> None:
    assert taken(frame())
    assert taken(frame(0))
    assert taken(frame(1))


CELLS = st.tuples(
    st.sampled_from(STATION_STATUS_RAW.names),
    st.integers(0, 3),
    st.sampled_from([None, np.nan, pd.NA, -1, 0, 2000, 2001, 32767.0, "x", "0", True, AT]),
)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(CELLS, max_size=3))
def test_it_never_accepts_what_pandera_refuses(cells: list[tuple[str, int, Any]]) -> None:
    rows = frame().astype("object")
    for name, row, value in cells:
        rows[name] = [value if i == row else old for i, old in enumerate(rows[name])]
    for name in STATION_STATUS_RAW.names:
        # A column that still has its type keeps it, as it would on its way into the lake.
        try:
            rows[name] = rows[name].astype(frame()[name].dtype)
        except (TypeError, ValueError):
            continue

    if taken(rows):
        assert accepted(STATION_STATUS_RAW, rows)


@pytest.mark.parametrize("change", ["key", "column", "bound", "null"])
def test_every_kind_of_breach_is_noticed(change: str) -> None:
    rows = frame()
    if change == "key":
        rows["station_id"] = "same"
    elif change == "column":
        rows = rows.assign(colour="red")
    elif change == "bound":
        rows["num_docks_available"] = pd.array([0, 1, 2, 2001], dtype="Int16")
    else:
        rows["num_bikes_available"] = pd.array([0, 1, 2, None], dtype="Int16")

    assert not taken(rows)
    assert change == "column" or not accepted(STATION_STATUS_RAW, rows)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: str(table.name))
def test_one_contract_yields_the_same_columns_for_every_reader(table: Table) -> None:
    assert (
        [c["Name"] for c in glue_columns(table)]
        == list(arrow_schema(table).names)
        == list(pandera_schema(table).columns)
        == table.names
    )
    assert len({table.name for table in TABLES}) == len(TABLES)


def test_the_ddl_names_types_partitions_and_place() -> None:
    text = ddl(STATION_INFORMATION_RAW, database="bikes", location="s3://lake/x/")

    assert text.startswith("CREATE EXTERNAL TABLE IF NOT EXISTS `bikes`.`station_information_raw`")
    assert "  `lat` double COMMENT 'latitude [degrees]'," in text
    assert "PARTITIONED BY (`city` string, `date` date)" in text
    assert text.endswith("LOCATION 's3://lake/x/raw/station_information_raw/'")
    assert "'s " not in text  # a quote would end the comment
    assert set(GLUE_TYPES) >= {c.kind for table in TABLES for c in table.columns}
