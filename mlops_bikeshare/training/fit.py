"""Gradient-boosted trees for every target, from one LightGBM Dataset.

Input    matrix: float32 (rows, features), NaN where unknown; the horizon is one of its columns.
         labels: target name to float32 (rows,): 1 out, 0 not out, NaN unknown.
Output   a FittedBooster per target: LightGBM's text, cut at the best iteration.
Raises   InputError when there are no rows, a label has one class, or shapes do not fit.
         Features that are missing in every row are ignored by the trees; a warning names them.
Source   Ke et al., LightGBM: A highly efficient gradient boosting decision tree (2017).

Bins do not depend on labels, so they are made once and only the labels are exchanged. A row whose
label is unknown for one target weighs nothing for it; where that is many rows, trees grow without
them.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import InputError

logger = logging.getLogger(__name__)

FEW = 0.75  # up to this share of known labels, leaving rows out is worth a copy of the others

Labels = Mapping[str, NDArray[np.float32]]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class FitParams:
    """What LightGBM is told; the defaults suit half a million rows of some ninety features."""

    rounds: int = 400
    early_stopping: int = 30
    leaves: int = 31
    learning_rate: float = 0.1
    feature_fraction: float = 0.4
    lambda_l2: float = 1.0
    seed: int = 0
    threads: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """A matrix and, for each target, the labels of its rows."""

    matrix: NDArray[np.float32]
    labels: Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedBooster:
    """One target's trees; `curve` is the log loss on the early-stopping rows, per iteration."""

    text: str
    best_iteration: int
    importance: Mapping[str, float]
    curve: tuple[float, ...]
    seconds: float

    def predict(self, matrix: NDArray[np.float32], *, threads: int) -> NDArray[np.float64]:
        """Raw, not yet calibrated probabilities, float64 (rows,)."""
        return self.predict_parts([matrix], threads=threads)

    def predict_parts(
        self, matrices: Iterable[NDArray[np.float32]], *, threads: int
    ) -> NDArray[np.float64]:
        """The same for the rows of all matrices; one made at a time need not wait in memory."""
        import lightgbm as lgb

        booster = lgb.Booster(model_str=self.text)
        answers = [booster.predict(matrix, num_threads=threads) for matrix in matrices]
        return np.concatenate([np.empty(0), *answers])

    def cut(self, trees: int) -> "FittedBooster":
        """The first `trees` of these, or all where there are fewer."""
        import lightgbm as lgb

        booster, kept = lgb.Booster(model_str=self.text), min(trees, self.best_iteration)
        gain = booster.feature_importance("gain", iteration=kept)
        return replace(
            self,
            text=booster.model_to_string(num_iteration=kept),
            best_iteration=kept,
            importance=dict(zip(booster.feature_name(), gain.tolist(), strict=True)),
        )


class Grow(Protocol):
    """Grows the trees of a candidate, wherever that is: `fit_targets`, or what does as it does."""

    def __call__(
        self,
        train: Rows,
        early_stop: Rows,
        *,
        names: Sequence[str],
        params: FitParams,
        progress: Progress | None = None,
        of_one_horizon: Collection[str] = (),
    ) -> dict[str, FittedBooster]:
        """Trees of each label."""
        ...


def fit_targets(
    train: Rows,
    early_stop: Rows,
    *,
    names: Sequence[str],
    params: FitParams,
    progress: Progress | None = None,
    of_one_horizon: Collection[str] = (),
) -> dict[str, FittedBooster]:
    """Grow trees for each target; `progress(target, iteration, rounds)` is called as they grow.

    Trees of labels that are `of_one_horizon` may not ask for the last feature, the horizon.
    """
    import lightgbm as lgb

    check(train, early_stop, names=names)
    native = native_of(params, rows=len(train.matrix))
    # not a parameter of the Dataset, which is why it may differ between labels
    without_horizon = {**native, "interaction_constraints": [list(range(len(names) - 1))]}
    blank = np.zeros(max(len(train.matrix), len(early_stop.matrix)), dtype=np.float32)
    fit = lgb.Dataset(
        train.matrix, label=blank[: len(train.matrix)], feature_name=list(names), params=native
    )
    stop = fit.create_valid(early_stop.matrix, label=blank[: len(early_stop.matrix)])
    fitted = {}
    for target in train.labels:
        taught = _taught(fit, train.labels[target])
        _label(stop, early_stop.labels[target])
        told = without_horizon if target in of_one_horizon else native
        fitted[target] = _grow(taught, stop, told, params=params, target=target, progress=progress)
    return fitted


def _grow(
    fit: Any,
    stop: Any,
    native: dict[str, Any],
    *,
    params: FitParams,
    target: str,
    progress: Progress | None,
) -> FittedBooster:
    import lightgbm as lgb

    began = time.perf_counter()
    history: dict[str, dict[str, list[float]]] = {}
    callbacks = [
        lgb.early_stopping(params.early_stopping, verbose=False),
        lgb.record_evaluation(history),
    ]
    if progress is not None:
        callbacks.append(lambda env: progress(target, env.iteration + 1, params.rounds))
    booster = lgb.train(
        native,
        fit,
        num_boost_round=params.rounds,
        valid_sets=[stop],
        valid_names=["early_stop"],
        callbacks=callbacks,
    )
    curve = history["early_stop"]["binary_logloss"]
    return fitted_of(booster, curve=curve, seconds=time.perf_counter() - began)


def fitted_of(booster: Any, *, curve: Sequence[float], seconds: float) -> FittedBooster:
    """LightGBM's booster, cut at its best iteration."""
    gain = booster.feature_importance("gain", iteration=booster.best_iteration)
    return FittedBooster(
        text=booster.model_to_string(num_iteration=booster.best_iteration),
        best_iteration=booster.best_iteration,
        importance=dict(zip(booster.feature_name(), gain.tolist(), strict=True)),
        curve=tuple(map(float, curve)),
        seconds=seconds,
    )


def native_of(params: FitParams, *, rows: int) -> dict[str, Any]:
    """LightGBM's own names."""
    return {
        "objective": "binary",
        "metric": "binary_logloss",
        "num_leaves": params.leaves,
        "learning_rate": params.learning_rate,
        "min_data_in_leaf": least_rows_in_leaf(rows),
        "feature_fraction": params.feature_fraction,
        "lambda_l2": params.lambda_l2,
        "seed": params.seed,
        "num_threads": params.threads,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }


def least_rows_in_leaf(rows: int) -> int:
    """A small city gets smaller leaves, or its trees could not split."""
    return int(np.clip(rows // 1000, 20, 500))


def _taught(dataset: Any, label: NDArray[np.float32]) -> Any:
    """The dataset with a label; where it is known of few rows, those alone, in the same bins."""
    known = np.isfinite(label)
    if known.mean() > FEW:
        _label(dataset, label)
        return dataset
    part = dataset.subset(np.flatnonzero(known).tolist()).construct()
    _label(part, label[known])
    return part


def _label(dataset: Any, label: NDArray[np.float32]) -> None:
    known = np.isfinite(label)
    dataset.construct().set_label(np.where(known, label, 0)).set_weight(known.astype(np.float32))


def check(train: Rows, early_stop: Rows, *, names: Sequence[str]) -> None:
    """InputError for rows that nothing can be learned from; a warning names missing features."""
    _check(train, names=names, where="training", classes=2)
    _check(early_stop, names=names, where="early-stopping", classes=1)
    _warn_of_missing(train.matrix, names)


def _check(rows: Rows, *, names: Sequence[str], where: str, classes: int) -> None:
    if rows.matrix.ndim != 2 or rows.matrix.shape[1] != len(names):  # noqa: PLR2004 - a matrix
        msg = f"{where} matrix has shape {rows.matrix.shape}; expected (rows, {len(names)})"
        raise InputError(msg)
    if not rows.labels:
        msg = f"no target to learn from the {where} rows; expected at least one label array"
        raise InputError(msg)
    for target, label in rows.labels.items():
        if label.shape != (len(rows.matrix),):
            msg = f"{target}: {len(label)} labels for {len(rows.matrix)} {where} rows"
            raise InputError(msg)
        _check_classes(label, target=target, where=where, classes=classes)


def _check_classes(label: NDArray[np.float32], *, target: str, where: str, classes: int) -> None:
    known = label[np.isfinite(label)]
    out = int(np.count_nonzero(known))
    if len(known) == 0 or len(np.unique(known)) < classes:
        msg = (
            f"{target}: of {len(label)} {where} rows {len(known)} have a label and {out} of those"
            f" are out; expected both classes. Give a longer range, or one with observed stockouts"
        )
        raise InputError(msg)


def _warn_of_missing(matrix: NDArray[np.float32], names: Sequence[str]) -> None:
    missing = [name for i, name in enumerate(names) if np.isnan(matrix[:, i]).all()]
    if missing:
        logger.warning("missing in every training row, so of no use to the model: %s", missing)
