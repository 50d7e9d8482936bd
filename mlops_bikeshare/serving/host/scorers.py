"""What a worker asks: a scorer of matrices, a scorer of frames. A table in, an Answer out.

Input    the scorer class that an archive names, its artifacts, the columns of its signature.
Output   `asked(table)`: one row of the answer per row of the table, in the same order.
Raises   BodyError (400) for columns that are missing or hold no numbers; ModelError for an answer
         of another length; whatever the scorer raises.

A scorer that has `features`, `columns` and `probabilities(float32 matrix)` is asked by them, and
its process never imports pandas: 60 MB, half a second of its start, 2 ms of a request.
"""

import sys
from collections.abc import Callable, Mapping
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

Asked = Callable[[pa.Table], Answer]
MATRICES = ("features", "columns", "probabilities")


def of_scorer(kind: Any, artifacts: Path, columns: Mapping[str, bool]) -> Asked:
    """Load a scorer; how it is asked depends on what it has."""
    if hasattr(kind, "probabilities"):
        sys.meta_path.insert(0, _NoPandas())
    scorer = kind.load(str(artifacts))
    if not all(hasattr(scorer, name) for name in MATRICES):
        return lambda table: _checked(
            table, Answer(of_frame(scorer.predict(frame(table, columns))))
        )
    features, names = tuple(scorer.features), list(scorer.columns)

    def asked(table: pa.Table) -> Answer:
        answer = np.ascontiguousarray(scorer.probabilities(matrix(table, features)).T)
        return _checked(table, Answer(pa.table([pa.array(c) for c in answer], names=names)))

    return asked


def matrix(table: pa.Table, features: tuple[str, ...]) -> NDArray[np.float32]:
    """The features of a table in their order, NaN where unknown; other columns are ignored."""
    names = tuple(table.column_names)
    if names != features:
        _check_missing(names, features)
        table = table.select(features)
    batches = table.to_batches()
    if set(table.schema.types) == {pa.float32()} and len(batches) == 1:
        return batches[0].to_tensor(null_to_nan=True).to_numpy()  # type: ignore[no-any-return]
    return np.column_stack([_numbers(name, table[name]) for name in features])


def frame(table: pa.Table, columns: Mapping[str, bool]) -> "pd.DataFrame":
    """The columns of a signature (name to whether it is a number), or all without a signature."""
    if columns:
        _check_missing(tuple(table.column_names), tuple(columns))
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


def _checked(table: pa.Table, answer: Answer) -> Answer:
    rows = answer.table.num_rows
    if rows != table.num_rows:
        raise ModelError(f"the scorer gave {rows} rows for {table.num_rows}")
    return answer


def _check_missing(names: tuple[str, ...], wanted: tuple[str, ...]) -> None:
    missing = [name for name in wanted if name not in set(names)]
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
