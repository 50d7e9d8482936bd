"""Beta calibration: probabilities that mean what they say, in an unchanged order.

Input    y: (rows,) 1, 0 or NaN (left out); p: (rows,) in [0, 1].
Output   float64 in (0, 1): logit q = a ln p - b ln(1 - p) + c with a, b > 0, hence strictly
         rising in p; NaN stays NaN.
Raises   ModelError without both classes, where a row has no probability, or without convergence.
Source   Kull, Silva Filho, Flach 2017, "Beta calibration"; Newton's method on the log loss with
         a ridge of `_RIDGE` pseudo-rows towards the identity (it decides separable data only).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import ModelError

Array = NDArray[Any]
Floats = NDArray[np.float64]
_EDGE = 1e-15  # keeps ln p and ln(1 - p) finite
_LEAST_SLOPE = 1e-3  # of a and b: the order of rows must survive
_RIDGE = 1e-2
_IDENTITY = np.array([1.0, 1.0, 0.0])
_STEPS = 100
_SETTLED = 1e-8  # nats still to gain, summed over all rows


@dataclass(frozen=True, slots=True)
class BetaCalibrator:
    """Three numbers; a = b = 1, c = 0 changes nothing."""

    a: float = 1.0
    b: float = 1.0
    c: float = 0.0

    @classmethod
    def fit(cls, y: Array, p: Array) -> Self:
        """Learn from labelled rows; a slope that would fall is held at a small positive one."""
        y, p = np.asarray(y, dtype=np.float64), np.asarray(p, dtype=np.float64)
        y, p = y[~np.isnan(y)], p[~np.isnan(y)]
        if not 0 < y.sum() < y.size:
            raise ModelError(f"calibration needs rows of both classes, got {y.size} of one kind")
        if np.isnan(p).any():
            raise ModelError(
                f"{np.isnan(p).sum()} of {p.size} rows to calibrate have no probability"
            )
        inputs = _inputs(p)
        weights, free = _IDENTITY.copy(), np.array([True, True, True])
        while True:
            weights = _newton(inputs, y, weights, free)
            falling = free & np.array([*(weights[:2] < _LEAST_SLOPE), False])
            if not falling.any():
                return cls(*weights.tolist())
            weights[falling] = _LEAST_SLOPE
            free &= ~falling

    def apply(self, p: Array) -> Floats:
        """Calibrated probabilities."""
        logit = _inputs(np.asarray(p, dtype=np.float64)) @ np.array([self.a, self.b, self.c])
        return _sigmoid(logit)

    def to_json(self) -> dict[str, float]:
        """Plain JSON values, read back by `from_json`."""
        return {"a": self.a, "b": self.b, "c": self.c}

    @classmethod
    def from_json(cls, document: Mapping[str, float]) -> Self:
        """What `to_json` gave."""
        return cls(document["a"], document["b"], document["c"])


def _inputs(p: Floats) -> Floats:
    p = np.clip(p, _EDGE, 1 - _EDGE)
    return np.column_stack([np.log(p), -np.log1p(-p), np.ones_like(p)])


def _sigmoid(logit: Floats) -> Floats:
    answer: Floats = 0.5 * (1 + np.tanh(logit / 2))  # never overflows
    return answer


def _loss(inputs: Floats, y: Floats, weights: Floats) -> float:
    logit = inputs @ weights
    ridge = _RIDGE / 2 * np.sum((weights - _IDENTITY) ** 2)
    return float(np.sum(np.logaddexp(0, logit) - y * logit) + ridge)


def _newton(inputs: Floats, y: Floats, weights: Floats, free: NDArray[np.bool_]) -> Floats:
    """Minimise the (convex) loss over the free weights, halving steps that do not descend."""
    loss = _loss(inputs, y, weights)
    for _ in range(_STEPS):
        q = _sigmoid(inputs @ weights)
        slope = (inputs.T @ (q - y) + _RIDGE * (weights - _IDENTITY))[free]
        bend = (inputs.T * (q * (1 - q))) @ inputs + _RIDGE * np.eye(3)
        step = np.zeros(3)
        step[free] = np.linalg.solve(bend[np.ix_(free, free)], slope)
        if slope @ step[free] <= _SETTLED:
            return weights
        while (tried := _loss(inputs, y, weights - step)) > loss:
            step /= 2
        weights, loss = weights - step, tried
    raise ModelError(f"calibration did not settle in {_STEPS} Newton steps on {y.size} rows")
