"""MLflow models that know nothing of us: any flavour, loaded as a pyfunc; the one user of mlflow.

Input    an unpacked model with the flavour python_function, the columns and types of its signature.
Output   how it is asked: a table, whose columns are brought to the signature's types, to an Answer.
         Arrays and series name no columns and answer as `mlflow models serve` does.
Raises   ModelError for what cannot be loaded or understood; BodyError (400) for rows that do not
         fit the signature.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mlops_bikeshare.domain.errors import ModelError
from mlops_bikeshare.serving.host.bodies import Answer
from mlops_bikeshare.serving.host.scorers import Asked, of_frame
from mlops_bikeshare.serving.host.sizes import BodyError

TYPES = {
    "boolean": pa.bool_(),
    "integer": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "datetime": pa.timestamp("ns"),
}


def of_pyfunc(folder: Path, columns: Mapping[str, str]) -> Asked:
    """Load a model of any flavour."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    from mlflow import pyfunc
    from mlflow.exceptions import MlflowException

    model = pyfunc.load_model(str(folder))

    def answer(table: pa.Table) -> Answer:
        frame = conform(table, columns).to_pandas(ignore_metadata=True, use_threads=False)
        try:
            return said(model.predict(frame))
        except MlflowException as error:
            if error.get_http_status_code() < 500:  # noqa: PLR2004 - HTTP's
                raise BodyError(400, "the rows do not fit the model's signature") from error
            raise

    return Asked(answer)


def conform(table: pa.Table, columns: Mapping[str, str]) -> pa.Table:
    """The same rows in the types of a signature; what it does not name stays as it is."""
    for place, name in enumerate(table.column_names):
        kind = TYPES.get(columns.get(name, ""))
        if kind is not None and kind != table.schema.types[place]:
            try:
                table = table.set_column(place, name, table[name].cast(kind))
            except pa.ArrowException as error:
                raise BodyError(400, f"column {name!r} does not hold {columns[name]}s") from error
    return table


def said(answer: Any) -> Answer:
    """What a model's predict returned, as a table."""
    import pandas as pd

    if isinstance(answer, pd.DataFrame):
        return Answer(of_frame(answer))
    array = np.asarray(answer)
    if array.ndim not in (1, 2):
        raise ModelError(f"the model answered with {type(answer).__name__}, no rows")
    values = array.reshape(len(array), -1).T
    names = [str(number) for number in range(len(values))]
    return Answer(pa.Table.from_arrays([pa.array(v) for v in values], names=names), named=False)
