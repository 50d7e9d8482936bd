from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.training.by_horizon import OTHERS_MIN, ByHorizon, at_promise, joined, twice
from mlops_bikeshare.training.fit import Rows


@dataclass(frozen=True)
class Says:
    """Trees that answer the same to everything."""

    p: float
    best_iteration: int = 3
    seconds: float = 0.5

    def predict(self, matrix: NDArray[np.float32], *, threads: int) -> NDArray[np.float64]:
        assert threads == 1
        return np.full(len(matrix), self.p)


def asked(*horizons: int) -> NDArray[np.float32]:
    return np.column_stack([np.zeros(len(horizons)), horizons]).astype(np.float32)


def test_each_row_is_answered_by_the_trees_of_its_horizon() -> None:
    trees = ByHorizon({(30,): Says(0.3), OTHERS_MIN: Says(0.9)})
    said = trees.predict(asked(30, 10, 120, 30, 25), threads=1)
    np.testing.assert_array_equal(said, [0.3, 0.9, 0.9, 0.3, np.nan])
    assert (trees.best_iteration, trees.seconds) == (6, 1.0)


def test_parts_are_answered_as_the_whole_is() -> None:
    trees = ByHorizon({(30,): Says(0.3), OTHERS_MIN: Says(0.9)})
    said = trees.predict_parts([asked(30, 10), asked(120)], threads=1)
    np.testing.assert_array_equal(said, [0.3, 0.9, 0.9])
    assert trees.predict_parts([], threads=1).shape == (0,)


def test_a_label_more_for_each_target_gives_each_target_trees_of_both() -> None:
    now, later = np.zeros(2, np.float32), np.ones(2, np.float32)
    taught = twice(Rows(matrix=asked(10, 30), labels={"x": later}), {"x": now})
    np.testing.assert_array_equal(taught.labels["x"], [1, np.nan])
    np.testing.assert_array_equal(taught.labels[at_promise("x")], [0, 0])
    grown = joined({name: Says(float(y[0])) for name, y in taught.labels.items()})
    assert grown == {"x": ByHorizon({(30,): Says(0.0), OTHERS_MIN: Says(1.0)})}
