"""How good a version was in its own test, as Model Monitor's two files of model quality.

Input    y: (rows,) 1 out, 0 not out, NaN where unknown; p: (rows,) probabilities; the threshold
         from which a row counts as called out; the margin that later figures may lose.
Output   documents of `statistics.json` and `constraints.json` for binary classification; None
         where no row has a label. A figure that is not defined (no row called out, one class
         only) is left out.
Source   AWS, SageMaker developer guide, "Model quality metrics": standard deviations are of five
         draws of 80 % of the rows, from 200 rows on.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.evaluation.scores import pr_curve

Array = NDArray[Any]
Document = dict[str, Any]
DRAWS, SHARE, LEAST_DRAWN = 5, 0.8, 200
CURVE_POINTS = 100
FALLS, RISES = "LessThanThreshold", "GreaterThanThreshold"
WATCHED: Mapping[str, str] = {
    **dict.fromkeys(("recall", "precision", "accuracy", "auc", "f0_5", "f1", "f2"), FALLS),
    **dict.fromkeys(("true_positive_rate", "true_negative_rate"), FALLS),
    **dict.fromkeys(("false_positive_rate", "false_negative_rate"), RISES),
}


def statistics(y: Array, p: Array, *, threshold: float | None, seed: int) -> Document | None:
    """Figures with their spread, confusion and curves."""
    known = np.isfinite(y)
    y, p = y[known].astype(np.bool_), p[known]
    if not y.size:
        return None
    order = np.argsort(p)
    y, p = y[order], p[order]
    figures = _figures(y, p, threshold)
    spread = _spread(y, p, threshold, seed=seed)
    metrics: Document = {
        name: {"value": value} | ({"standard_deviation": spread[name]} if name in spread else {})
        for name, value in figures.items()
    }
    if threshold is not None:
        metrics["confusion_matrix"] = _confusion(y, p >= threshold)
    metrics |= _curves(y, p)
    dataset = {"item_count": int(y.size)}
    return {"version": 0.0, "dataset": dataset, "binary_classification_metrics": metrics}


def constraints(told: Mapping[str, Any], *, margin: float) -> Document:
    """By how much later figures may be worse: `margin`, whichever way is worse."""
    metrics = told["binary_classification_metrics"]
    asked = {
        name: {"threshold": _bar(metrics[name]["value"], way, margin), "comparison_operator": way}
        for name, way in WATCHED.items()
        if name in metrics
    }
    return {"version": 0.0, "binary_classification_constraints": asked}


def _bar(value: float, way: str, margin: float) -> float:
    return max(0.0, value - margin) if way == FALLS else min(1.0, value + margin)


def _figures(y: Array, p: Array, threshold: float | None) -> dict[str, float]:
    """Every figure that is defined."""
    found: dict[str, float | None] = {"auc": _auc(y, p)}
    if threshold is not None:
        called = p >= threshold
        hits, misses = int(np.sum(y & called)), int(np.sum(y & ~called))
        alarms, quiet = int(np.sum(~y & called)), int(np.sum(~y & ~called))
        recall, precision = _share(hits, misses), _share(hits, alarms)
        found |= {
            "recall": recall,
            "precision": precision,
            "accuracy": (hits + quiet) / y.size,
            "true_positive_rate": recall,
            "true_negative_rate": _share(quiet, alarms),
            "false_positive_rate": _share(alarms, quiet),
            "false_negative_rate": _share(misses, hits),
            **{
                name: _share((1 + beta**2) * hits, beta**2 * misses + alarms)
                for name, beta in (("f0_5", 0.5), ("f1", 1.0), ("f2", 2.0))
            },
        }
    return {name: float(value) for name, value in found.items() if value is not None}


def _share(part: float, rest: float) -> float | None:
    return part / (part + rest) if part + rest else None


def _auc(y: Array, p: Array) -> float | None:
    """How often a row that is out ranks above one that is not, equals half; p rises."""
    out = int(y.sum())
    pairs = out * (y.size - out)
    if not pairs:
        return None
    last = np.append(np.flatnonzero(np.diff(p)), p.size - 1)
    upto_out = np.cumsum(y, dtype=np.float64)[last]
    upto_not = last + 1 - upto_out
    outs, below = np.diff(upto_out, prepend=0), np.concatenate([[0], upto_not[:-1]])
    return float(np.sum(outs * (below + np.diff(upto_not, prepend=0) / 2)) / pairs)


def _spread(y: Array, p: Array, threshold: float | None, *, seed: int) -> dict[str, float]:
    """Standard deviations; of a figure that some draw has not, none."""
    if y.size < LEAST_DRAWN:
        return {}
    rng, drawn = np.random.default_rng(seed), []
    for _ in range(DRAWS):
        chosen = rng.random(y.size) < SHARE
        drawn.append(_figures(y[chosen], p[chosen], threshold))
    common = set.intersection(*(set(one) for one in drawn))
    return {name: float(np.std([one[name] for one in drawn])) for name in common}


def _confusion(y: Array, called: Array) -> dict[str, dict[str, int]]:
    """Truth → call → rows."""
    return {
        str(truth): {str(call): int(np.sum((y == truth) & (called == call))) for call in (0, 1)}
        for truth in (0, 1)
    }


def _curves(y: Array, p: Array) -> Document:
    """Both curves at up to a hundred of their points, where both classes occur."""
    if not 0 < y.sum() < y.size:
        return {}
    recall, precision, thresholds = pr_curve(y.astype(np.float64), p)
    flagged = y.size - np.searchsorted(p, thresholds, side="left")
    rising = (flagged - recall * y.sum()) / (y.size - y.sum())
    shown = np.unique(np.linspace(0, recall.size - 1, CURVE_POINTS).round().astype(np.intp))
    return {
        "receiver_operating_characteristic_curve": {
            "false_positive_rates": [0.0, *rising[shown].tolist()],
            "true_positive_rates": [0.0, *recall[shown].tolist()],
        },
        "precision_recall_curve": {
            "precisions": precision[shown].tolist(),
            "recalls": recall[shown].tolist(),
        },
    }
