"""XGBoost on the same rows: the peer that a training may be measured against.

Input    the rows and parameters of `fit.fit_targets`.
Output   a FittedPeer per target, cut at the best iteration, with what `FittedBooster` answers.
Raises   what XGBoost raises; the rows were checked by `fit_targets` before.
Source   Chen and Guestrin, XGBoost: A scalable tree boosting system (2016).

Trees are of comparable size: leaf-wise growth to as many leaves, the same learning rate, share of
features, penalty and early stopping. LightGBM's least rows in a leaf become their mean Hessian.
Trees that may not ask for the horizon see the same one in every row: XGBoost's own constraints
would let a root ask for it.
"""

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.training.fit import FitParams, Rows, least_rows_in_leaf


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedPeer:
    """One target's trees; `curve` is the log loss on the early-stopping rows, per iteration."""

    raw: bytes
    best_iteration: int
    curve: tuple[float, ...]
    seconds: float

    def predict(self, matrix: NDArray[np.float32], *, threads: int) -> NDArray[np.float64]:
        """Raw, not yet calibrated probabilities, float64 (rows,)."""
        return self.predict_parts([matrix], threads=threads)

    def predict_parts(
        self, matrices: Iterable[NDArray[np.float32]], *, threads: int
    ) -> NDArray[np.float64]:
        """The same for the rows of all matrices."""
        import xgboost as xgb

        booster = xgb.Booster({"nthread": threads})
        booster.load_model(bytearray(self.raw))
        answers = [booster.inplace_predict(matrix).astype(np.float64) for matrix in matrices]
        return np.concatenate([np.empty(0), *answers])


def fit_peer(
    train: Rows, early_stop: Rows, *, params: FitParams, of_one_horizon: Collection[str] = ()
) -> dict[str, FittedPeer]:
    """Grow the peer's trees for each target, as `fit_targets` grows ours."""
    others = [target for target in train.labels if target not in of_one_horizon]
    alone = [target for target in train.labels if target in of_one_horizon]
    fitted = _fit(train, early_stop, others, params=params) if others else {}
    if alone:
        fitted |= _fit(_blind(train), _blind(early_stop), alone, params=params)
    return fitted


def _fit(
    train: Rows, early_stop: Rows, targets: Collection[str], *, params: FitParams
) -> dict[str, FittedPeer]:
    """Bins are made once for all targets."""
    import xgboost as xgb

    fit = xgb.QuantileDMatrix(train.matrix, nthread=params.threads)
    stop = xgb.QuantileDMatrix(early_stop.matrix, ref=fit, nthread=params.threads)
    fitted = {}
    for target in targets:
        rate = _label(fit, train.labels[target])
        _label(stop, early_stop.labels[target])
        native = _native(params, rows=len(train.matrix), rate=rate)
        fitted[target] = _grow(fit, stop, native, params=params)
    return fitted


def _blind(rows: Rows) -> Rows:
    """The rows with a last column, the horizon, that says nothing."""
    matrix = rows.matrix.copy()
    matrix[:, -1] = 0
    return replace(rows, matrix=matrix)


def _grow(fit: Any, stop: Any, native: dict[str, Any], *, params: FitParams) -> FittedPeer:
    import xgboost as xgb

    began = time.perf_counter()
    history: dict[str, dict[str, list[float]]] = {}
    booster = xgb.train(
        native,
        fit,
        num_boost_round=params.rounds,
        evals=[(stop, "early_stop")],
        early_stopping_rounds=params.early_stopping,
        evals_result=history,
        verbose_eval=False,
    )
    trees = int(booster.best_iteration) + 1
    return FittedPeer(
        raw=bytes(booster[:trees].save_raw("ubj")),
        best_iteration=trees,
        curve=tuple(map(float, history["early_stop"]["logloss"])),
        seconds=time.perf_counter() - began,
    )


def _native(params: FitParams, *, rows: int, rate: float) -> dict[str, Any]:
    return {
        "objective": "binary:logistic",
        "eval_metric": "logloss",
        "tree_method": "hist",
        "grow_policy": "lossguide",
        "max_leaves": params.leaves,
        "max_depth": 0,
        "learning_rate": params.learning_rate,
        "colsample_bytree": params.feature_fraction,
        "reg_lambda": params.lambda_l2,
        "min_child_weight": least_rows_in_leaf(rows) * rate * (1 - rate),
        "seed": params.seed,
        "nthread": params.threads,
        "verbosity": 0,
    }


def _label(matrix: Any, label: NDArray[np.float32]) -> float:
    """Set labels, unknown ones without weight; the share of known rows that are out."""
    known = np.isfinite(label)
    matrix.set_info(label=np.where(known, label, 0), weight=known.astype(np.float32))
    return float(label[known].mean())
