"""What a worker asks: a scorer of matrices, a scorer of frames. A table in, an Answer out.

Input    the scorer class that an archive names, its artifacts, the columns of its signature.
Output   `asked(table)`: one row of the answer per row of the table, in the same order.
Raises   BodyError (400) for columns that are missing or hold no numbers; ModelError for an answer
         of another length; whatever the scorer raises.

A scorer that has `features`, `columns` and `probabilities(float32 matrix)` is asked by them, and
its process never imports pandas: 60 MB, half a second of its start, 2 ms of a request.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import ModelError
from mlops_bikeshare.serving.host.bodies import Answer
from mlops_bikeshare.serving.host.sizes import BodyError

if TYPE_CHECKING:
    import pandas as pd

MATRICES = ("features", "columns", "probabilities")


@dataclass(frozen=True, slots=True)
class Asked:
    """How a model is asked, and the schema of the tables that it is asked fastest with."""

    answer: Callable[[pa.Table], Answer]
    usual: pa.Schema | None = None

    def __call__(self, table: pa.Table) -> Answer:
        """The model's answer; ModelError when it has not a row for each row of the table."""
        answer = self.answer(table)
        rows = answer.table.num_rows
        if rows != table.num_rows:
            raise ModelError(f"the model gave {rows} rows for {table.num_rows}")
        return answer


def of_scorer(kind: Any, artifacts: Path, columns: Mapping[str, bool]) -> Asked:
    """Load a scorer; how it is asked depends on what it has."""
    if hasattr(kind, "probabilities"):
        sys.meta_path.insert(0, _NoPandas())
    scorer = kind.load(str(artifacts))
    if not all(hasattr(scorer, name) for name in MATRICES):
        return Asked(lambda table: Answer(of_frame(scorer.predict(frame(table, columns)))))
    usual = pa.schema([(name, pa.float32()) for name in scorer.features])
    says = pa.schema([(name, pa.float64()) for name in scorer.columns])

    def answer(table: pa.Table) -> Answer:
        given = np.ascontiguousarray(scorer.probabilities(matrix(table, usual)).T)
        return Answer(pa.Table.from_arrays([pa.array(column) for column in given], schema=says))

    return Asked(answer, usual)


def matrix(table: pa.Table, usual: pa.Schema) -> NDArray[np.float32]:
    """The features of a table in their order, NaN where unknown; other columns are ignored."""
    if table.schema.equals(usual) and len(batches := table.to_batches()) == 1:
        return batches[0].to_tensor(null_to_nan=True).to_numpy()  # type: ignore[no-any-return]
    _check_missing(table.column_names, usual.names)
    return np.column_stack([_numbers(name, table[name]) for name in usual.names])


def frame(table: pa.Table, columns: Mapping[str, bool]) -> "pd.DataFrame":
    """The columns of a signature (name to whether it is a number), or all without a signature."""
    if columns:
        _check_missing(table.column_names, list(columns))
        table = table.select(list(columns))
    for name in (name for name, numeric in columns.items() if numeric):
        place = table.column_names.index(name)
        if pa.types.is_null(table.schema.types[place]):
            table = table.set_column(place, name, table[name].cast(pa.float64()))
        elif not _is_number(table.schema.types[place]):
            raise BodyError(400, f"column {name!r} does not hold numbers")
    # pandas metadata could turn columns into an index; only the columns count here.
    return table.to_pandas(ignore_metadata=True, use_threads=False)  # type: ignore[no-any-return]


def of_frame(answer: "pd.DataFrame") -> pa.Table:
    """What a scorer of frames said, without its index."""
    return pa.Table.from_pandas(answer, preserve_index=False).replace_schema_metadata()


class _NoPandas:
    """Arrow would import pandas where it is installed, to see whether an array is one of its."""

    def find_spec(self, name: str, _path: object, _target: object = None) -> None:
        """Say that there is none."""
        if name == "pandas":
            raise ModuleNotFoundError("this process does without pandas", name=name)


def _check_missing(names: Sequence[str], wanted: Sequence[str]) -> None:
    there = set(names)
    missing = [name for name in wanted if name not in there]
    if missing:
        raise BodyError(400, f"{len(missing)} columns are missing, the first is {missing[0]!r}")


def _numbers(name: str, column: pa.ChunkedArray) -> NDArray[np.float32]:
    if not _is_number(column.type) and not pa.types.is_null(column.type):
        raise BodyError(400, f"column {name!r} does not hold numbers")
    return pc.cast(column, pa.float32(), safe=False).to_numpy()  # type: ignore[no-any-return]


def _is_number(kind: pa.DataType) -> bool:
    return (
        pa.types.is_floating(kind) or pa.types.is_integer(kind) or bool(pa.types.is_boolean(kind))
    )
