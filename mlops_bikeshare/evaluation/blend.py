"""A blend of probabilities: logistic regression on their log-odds.

Input    y: (rows,) 1, 0 or NaN (left out); parts: one or more (rows,) of probabilities.
Output   float64 in (0, 1); NaN where any part is NaN.
Raises   GridError without labelled rows of both classes, or when shapes do not fit.
Source   log-linear opinion pool with learned weights: Genest & Zidek 1986; Newton's method on the
         log loss with one pseudo-row of ridge towards the plain mean of log-odds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import GridError

Array = NDArray[Any]
Floats = NDArray[np.float64]
_EDGE = 1e-6
_STEPS = 50
_SETTLED = 1e-8
_RIDGE = 1.0


@dataclass(frozen=True, slots=True)
class Blend:
    """A weight per part, and a constant."""

    weights: tuple[float, ...]

    @classmethod
    def fit(cls, y: Array, parts: Sequence[Array]) -> Self:
        """Learn the weights from labelled rows."""
        y, inputs = np.asarray(y, dtype=np.float64), _inputs(parts)
        known = ~np.isnan(y) & ~np.isnan(inputs).any(axis=1)
        y, inputs = y[known], inputs[known]
        if not 0 < y.sum() < y.size:
            raise GridError(f"a blend needs rows of both classes, got {y.size} of one kind")
        return cls(tuple(_newton(inputs, y).tolist()))

    def apply(self, parts: Sequence[Array]) -> Floats:
        """The blended probabilities."""
        return _sigmoid(_inputs(parts) @ np.array(self.weights))


def _inputs(parts: Sequence[Array]) -> Floats:
    columns = [np.clip(np.asarray(p, dtype=np.float64), _EDGE, 1 - _EDGE) for p in parts]
    if len({column.shape for column in columns}) != 1:
        raise GridError(f"parts of a blend differ in length: {[c.shape for c in columns]}")
    return np.column_stack([*(np.log(p) - np.log1p(-p) for p in columns), np.ones(len(columns[0]))])


def _sigmoid(logit: Floats) -> Floats:
    answer: Floats = 0.5 * (1 + np.tanh(logit / 2))  # never overflows
    return answer


def _newton(inputs: Floats, y: Floats) -> Floats:
    """Minimise the (convex) loss, halving steps that do not descend."""
    mean = np.append(np.full(inputs.shape[1] - 1, 1 / (inputs.shape[1] - 1)), 0.0)
    weights, loss = mean, _loss(inputs, y, mean, mean)
    for _ in range(_STEPS):
        q = _sigmoid(inputs @ weights)
        slope = inputs.T @ (q - y) + _RIDGE * (weights - mean)
        bend = (inputs.T * (q * (1 - q))) @ inputs + _RIDGE * np.eye(len(weights))
        step = np.linalg.solve(bend, slope)
        if slope @ step <= _SETTLED:
            break
        while (tried := _loss(inputs, y, weights - step, mean)) > loss:
            step /= 2
        weights, loss = weights - step, tried
    return weights


def _loss(inputs: Floats, y: Floats, weights: Floats, mean: Floats) -> float:
    logit = inputs @ weights
    ridge = _RIDGE / 2 * np.sum((weights - mean) ** 2)
    return float(np.sum(np.logaddexp(0, logit) - y * logit) + ridge)
