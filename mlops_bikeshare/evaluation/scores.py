"""How good probabilities are against labels.

Input    y: (rows,) 1 out, 0 not out, NaN where there is no label (those rows are left out);
         p: (rows,) probabilities in [0, 1].
Output   floats, or None where the number is undefined (no rows, or one class only).
Raises   ModelError where a labelled row has no probability, or one outside [0, 1];
         GridError where y and p differ in length.
Source   average precision: Σ (Rₙ - Rₙ₋₁) Pₙ over distinct thresholds (as in scikit-learn);
         ECE: Guo et al. 2017, equal-width bins; skill: Murphy 1988, 1 - score / reference.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import GridError, ModelError
from mlops_bikeshare.domain.reports import Scores

Array = NDArray[Any]
Floats = NDArray[np.float64]


def pr_auc(y: Array, p: Array) -> float | None:
    """Average precision; ties share one threshold. None unless both classes occur."""
    y, p = _labelled(y, p)
    return _average_precision(y, p)


def brier(y: Array, p: Array) -> float | None:
    """Mean squared difference of probability and outcome."""
    y, p = _labelled(y, p)
    return float(np.mean((p - y) ** 2)) if y.size else None


def log_loss(y: Array, p: Array) -> float | None:
    """Mean negative log likelihood, in nats; p is kept one rounding error away from 0 and 1."""
    y, p = _labelled(y, p)
    if not y.size:
        return None
    tiny = np.finfo(np.float64).eps
    p = np.clip(p, tiny, 1 - tiny)
    return float(-np.mean(y * np.log(p) + (1 - y) * np.log1p(-p)))


def ece(y: Array, p: Array, *, bins: int = 10) -> float | None:
    """Expected calibration error: row-weighted |rate - mean probability| over the bins."""
    mean_p, rate, rows = reliability(y, p, bins=bins)
    if not rows.sum():
        return None
    used = rows > 0
    return float(np.average(np.abs(rate[used] - mean_p[used]), weights=rows[used]))


def f1_at(y: Array, p: Array, *, threshold: float) -> float | None:
    """F1 of `p >= threshold`; None without a positive label."""
    y, p = _labelled(y, p)
    positives = y.sum()
    if not positives:
        return None
    flagged = p >= threshold
    return float(2 * y[flagged].sum() / (positives + flagged.sum()))


def best_f1_threshold(y: Array, p: Array) -> float | None:
    """The highest of the probabilities that, as threshold, give the best F1."""
    y, p = _labelled(y, p)
    positives = y.sum()
    if not positives:
        return None
    thresholds, hits, flagged = _steps(y, p)
    return float(thresholds[np.argmax(2 * hits / (positives + flagged))])


def skill(score: float | None, reference: float | None) -> float | None:
    """1 - score / reference, for scores where 0 is perfect; None where either is unknown."""
    return None if score is None or not reference else 1 - score / reference


def pr_curve(y: Array, p: Array) -> tuple[Floats, Floats, Floats]:
    """Recall, precision and threshold at each distinct probability, recall rising."""
    y, p = _labelled(y, p)
    if not y.sum():
        return np.empty(0), np.empty(0), np.empty(0)
    thresholds, hits, flagged = _steps(y, p)
    return hits / hits[-1], hits / flagged, thresholds


def reliability(y: Array, p: Array, *, bins: int = 10) -> tuple[Floats, Floats, Floats]:
    """Mean probability, share out and rows of each equal-width bin; NaN where a bin is empty."""
    y, p = _labelled(y, p)
    index = np.minimum((p * bins).astype(np.int64), bins - 1)
    rows = np.bincount(index, minlength=bins).astype(np.float64)
    sums = [np.bincount(index, weights=values, minlength=bins) for values in (p, y)]
    safe = np.where(rows > 0, rows, np.nan)
    return sums[0] / safe, sums[1] / safe, rows


def score(y: Array, p: Array, *, already_out: Array, threshold: float | None) -> Scores:
    """Every score at once. Rows whose `already_out` is NaN count, but not as onset rows."""
    labelled = ~np.isnan(np.asarray(y, dtype=np.float64))
    y, p = _labelled(y, p)
    order = np.argsort(p)
    y, p, onset = y[order], p[order], (np.asarray(already_out) == 0)[labelled][order]
    y_onset, p_onset = y[onset], p[onset]
    return Scores(
        rows=y.size,
        base_rate=_rate(y),
        pr_auc=_average_precision(y, p, rising=True),
        brier=brier(y, p),
        ece=ece(y, p),
        log_loss=log_loss(y, p),
        f1=None if threshold is None else f1_at(y, p, threshold=threshold),
        threshold=threshold,
        onset_rows=y_onset.size,
        onset_base_rate=_rate(y_onset),
        onset_pr_auc=_average_precision(y_onset, p_onset, rising=True),
        onset_brier=brier(y_onset, p_onset),
    )


def _labelled(y: Array, p: Array) -> tuple[Floats, Floats]:
    """Labelled rows as float64, checked."""
    y, p = np.asarray(y, dtype=np.float64), np.asarray(p, dtype=np.float64)
    if y.shape != p.shape or y.ndim != 1:
        raise GridError(f"labels and probabilities must be two columns, got {y.shape}, {p.shape}")
    known = ~np.isnan(y)
    if not known.all():
        y, p = y[known], p[known]
    bad = np.count_nonzero(~((p >= 0) & (p <= 1)))
    if bad:
        msg = f"{bad} of {p.size} labelled rows have no probability in [0, 1]"
        raise ModelError(f"{msg}; a model must answer every row it is asked")
    return y, p


def _steps(y: Floats, p: Floats, *, rising: bool = False) -> tuple[Floats, Floats, Floats]:
    """Distinct probabilities, falling, with rows out and rows flagged at or above each.

    `rising`: the rows are in order of their probability already.
    """
    order = slice(None, None, -1) if rising else np.argsort(p)[::-1]
    p = p[order]
    last = np.append(np.flatnonzero(np.diff(p)), p.size - 1)
    return p[last], np.cumsum(y[order])[last], (last + 1).astype(np.float64)


def _average_precision(y: Floats, p: Floats, *, rising: bool = False) -> float | None:
    if not 0 < y.sum() < y.size:
        return None
    _, hits, flagged = _steps(y, p, rising=rising)
    return float(np.sum(np.diff(hits, prepend=0) * hits / flagged) / hits[-1])


def _rate(y: Floats) -> float | None:
    return float(y.mean()) if y.size else None
