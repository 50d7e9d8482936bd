from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mlops_bikeshare.domain.errors import ModelError
from mlops_bikeshare.serving.host import scorers
from mlops_bikeshare.serving.host.sizes import BodyError

FEATURES = ("a", "b", "c")


class Frames:
    """A scorer that knows frames only."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer

    @classmethod
    def load(cls, _folder: str) -> "Frames":
        return cls()

    def predict(self, frame: pd.DataFrame, /) -> pd.DataFrame:
        return pd.DataFrame({"p": frame["a"] + frame["b"]})


class Matrices(Frames):
    """The same with matrices."""

    features, columns = ["a", "b"], ["p"]

    def predict(self, _frame: pd.DataFrame, /) -> pd.DataFrame:
        raise AssertionError

    def probabilities(self, matrix: Any) -> Any:
        assert matrix.dtype == np.float32
        return matrix.astype(float).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("kind", [Frames, Matrices])
def test_scorers_of_frames_and_of_matrices_answer_alike(kind: Any, tmp_path: Any) -> None:
    asked = scorers.of_scorer(kind, tmp_path, {"a": True, "b": True})
    table = pa.table({"b": pa.array([1, None]), "a": [2.0, 3.0], "other": ["x", "y"]})
    answer = asked(table).table
    assert answer.column_names == ["p"]
    first, second = answer["p"].to_pylist()
    assert first == 3.0
    assert second is None or np.isnan(second)


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"a": pa.array([1.5, None], pa.float32()), "b": pa.array([2, 3], pa.float32())}),
        pa.table({"b": [2, 3], "a": [1.5, None], "x": ["no", "use"]}),
        pa.table({"a": pa.array([1.5, float("nan")], pa.float64()), "b": [2.0, 3.0]}),
    ],
)
def test_a_matrix_is_the_features_in_order_with_nan_for_missing(table: pa.Table) -> None:
    got = scorers.matrix(table, ("a", "b"))
    assert got.dtype == np.float32
    assert np.array_equal(got, np.array([[1.5, 2], [np.nan, 3]], np.float32), equal_nan=True)


def test_a_column_of_nulls_is_missing_numbers_and_text_is_a_bad_request() -> None:
    table = pa.table({"a": pa.nulls(1), "b": [True], "c": ["x"]})
    nulls = scorers.matrix(table, ("a", "b"))
    assert np.array_equal(nulls, np.array([[np.nan, 1]], np.float32), equal_nan=True)
    assert scorers.frame(table, {"a": True})["a"].isna().all()
    for asked in (
        lambda: scorers.matrix(table, ("a", "c")),
        lambda: scorers.frame(table, {"c": True}),
    ):
        with pytest.raises(BodyError, match="'c' does not hold numbers"):
            asked()
    with pytest.raises(BodyError, match="1 columns are missing, the first is 'd'"):
        scorers.matrix(table, ("a", "d"))


def test_another_number_of_rows_is_the_models_failure(tmp_path: Any) -> None:
    class Short(Frames):
        def predict(self, frame: pd.DataFrame, /) -> pd.DataFrame:
            return frame.head(1)

    with pytest.raises(ModelError, match="gave 1 rows for 2"):
        scorers.of_scorer(Short, tmp_path, {})(pa.table({"a": [1, 2]}))
