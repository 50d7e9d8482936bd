"""Trees of the promised horizon alone, and trees of the others.

Input    rows that teach at one horizon, the last column of their matrix, and the outcome of all of
         them at the promised one.
Output   `ByHorizon` per target: a row is answered by the trees of its horizon.
Method   labels are exchanged on one Dataset: a target at the promised horizon is one more label.
         Its trees may not ask for the horizon, which says nothing of it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.targets import HORIZONS_MIN, PROMISE_MIN
from mlops_bikeshare.training.fit import FittedBooster, Labels, Rows

OTHERS_MIN = tuple(h for h in HORIZONS_MIN if h != PROMISE_MIN)


class Answering(Protocol):
    """Trees of one label."""

    @property
    def best_iteration(self) -> int:
        """How many."""
        ...

    @property
    def seconds(self) -> float:
        """To grow them."""
        ...

    def predict(self, matrix: NDArray[np.float32], *, threads: int) -> NDArray[np.float64]:
        """Raw probabilities of rows."""
        ...


Some = TypeVar("Some", bound=Answering)


@dataclass(frozen=True, slots=True)
class ByHorizon(Generic[Some]):
    """One target's trees, by the horizons that they serve."""

    parts: Mapping[tuple[int, ...], Some]

    @property
    def best_iteration(self) -> int:
        """How many trees in all."""
        return sum(part.best_iteration for part in self.parts.values())

    @property
    def seconds(self) -> float:
        """To grow them."""
        return sum(part.seconds for part in self.parts.values())

    def predict(self, matrix: NDArray[np.float32], *, threads: int) -> NDArray[np.float64]:
        """Raw, not yet calibrated probabilities, float64 (rows,); NaN for a horizon of no trees."""
        answer = np.full(len(matrix), np.nan)
        for served, part in self.parts.items():
            chosen = np.isin(matrix[:, -1], served)
            if chosen.any():
                answer[chosen] = part.predict(matrix[chosen], threads=threads)
        return answer

    def predict_parts(
        self, matrices: Iterable[NDArray[np.float32]], *, threads: int
    ) -> NDArray[np.float64]:
        """The same for the rows of all matrices, which are made one at a time."""
        answers = (self.predict(matrix, threads=threads) for matrix in matrices)
        return np.concatenate([np.empty(0), *answers])


Trees = ByHorizon[FittedBooster]


def twice(rows: Rows, promised: Labels) -> Rows:
    """The rows with a label more for each target: all teach the promise, some another horizon."""
    promise = rows.matrix[:, -1] == PROMISE_MIN
    others = {t: np.where(promise, np.float32(np.nan), y) for t, y in rows.labels.items()}
    return replace(rows, labels={**others, **{at_promise(t): y for t, y in promised.items()}})


def joined(fitted: Mapping[str, Some]) -> dict[str, ByHorizon[Some]]:
    """Trees of each label as trees of each target."""
    targets = [name for name in fitted if at_promise(name) in fitted]
    return {
        t: ByHorizon({(PROMISE_MIN,): fitted[at_promise(t)], OTHERS_MIN: fitted[t]})
        for t in targets
    }


def at_promise(target: str) -> str:
    """The name of a target's label at the promised horizon."""
    return f"{target} at {PROMISE_MIN} min"


def importance(trees: Trees) -> dict[str, float]:
    """What the splits on each feature removed of the training loss, over all trees of a target."""
    parts = [part.importance for part in trees.parts.values()]
    return {name: sum(part[name] for part in parts) for name in parts[0]}
