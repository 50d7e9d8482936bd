"""Curves thin enough to log and to draw: precision over recall, and reliability.

Input    y: (rows,) 1 out, 0 not out, NaN where there is no label; p: (rows,) probabilities;
         already_out: bool (rows,), whether out at dt.
Output   Curve of at most `POINTS` thresholds and `BINS` bins; None where one class is missing.
Raises   as evaluation/scores.
Source   see evaluation/scores.
"""

from dataclasses import dataclass

import numpy as np

from mlops_bikeshare.evaluation.scores import Array, Floats, pr_auc, pr_curve, reliability

POINTS = 200
BINS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Precision at rising recall; share out and rows at the mean probability of each bin."""

    rows: int
    base_rate: float
    pr_auc: float
    recall: tuple[float, ...]
    precision: tuple[float, ...]
    mean_p: tuple[float, ...]
    share_out: tuple[float, ...]
    bin_rows: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetCurves:
    """Model and persistence on the same rows, and on those of them not out at dt (onset)."""

    model: Curve | None
    persistence: Curve | None
    onset_model: Curve | None
    onset_persistence: Curve | None


def curve(y: Array, p: Array) -> Curve | None:
    """The curves of one set of probabilities."""
    area = pr_auc(y, p)
    if area is None:
        return None
    recall, precision, _ = pr_curve(y, p)
    kept = _spread(recall)
    mean_p, share_out, rows = reliability(y, p, bins=BINS)
    used = rows > 0
    return Curve(
        rows=int(rows.sum()),
        base_rate=float(np.nanmean(y)),
        pr_auc=area,
        recall=tuple(recall[kept].tolist()),
        precision=tuple(precision[kept].tolist()),
        mean_p=tuple(mean_p[used].tolist()),
        share_out=tuple(share_out[used].tolist()),
        bin_rows=tuple(rows[used].astype(int).tolist()),
    )


def target_curves(
    y: Array, model: Array, persistence: Array, *, already_out: Array
) -> TargetCurves:
    """The curves of model and persistence, on rows that have a label and both answers."""
    judged = np.isfinite(y) & np.isfinite(persistence)
    y, model, persistence = y[judged], model[judged], persistence[judged]
    onset = ~np.asarray(already_out, dtype=np.bool_)[judged]
    return TargetCurves(
        model=curve(y, model),
        persistence=curve(y, persistence),
        onset_model=curve(y[onset], model[onset]),
        onset_persistence=curve(y[onset], persistence[onset]),
    )


def _spread(recall: Floats) -> Array:
    """Indices of points spread evenly over recall, the last one among them."""
    wanted = np.searchsorted(recall, np.linspace(0, 1, POINTS))
    return np.unique(np.minimum(wanted, len(recall) - 1))
