"""What a model was trained on, for drift: PSI bins per station feature, ranges of city scalars.

Input    recent, trained: float32 (rows, features), NaN where unknown, and their names: the rows of
         the last `RECENT_DAYS` before the test, and all that the trees were grown on.
Output   {"psi": {feature: PsiReference as JSON}, "range": {feature: [least, greatest] or null}}.
         Of those `by_range` (see features/definition.py) only the range is kept.
         Bins come from recent rows, as what profiles enter matures with them (decision 0001).
         For answers {target: PsiReference as JSON}, of rows that were not trained on.
Raises   InputError when a name in `by_range` is not a feature.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.evaluation.psi import PsiReference

# Whole weeks, so that every weekday weighs the same.
RECENT_DAYS = 28


def reference(
    recent: NDArray[np.float32],
    trained: NDArray[np.float32],
    names: Sequence[str],
    *,
    by_range: Collection[str],
) -> dict[str, Any]:
    """The reference of every feature, as plain JSON values."""
    unknown = sorted(set(by_range) - set(names))
    if unknown:
        msg = f"by_range {unknown} are not among the model's features {list(names)}"
        raise InputError(msg)
    return {
        "psi": {
            name: PsiReference.fit(recent[:, i]).to_json()
            for i, name in enumerate(names)
            if name not in by_range
        },
        "range": {name: _range(trained[:, i]) for i, name in enumerate(names) if name in by_range},
    }


def prediction_reference(answers: Mapping[str, NDArray[np.float64]]) -> dict[str, Any]:
    """The spread of each target's probabilities; targets without rows are left out."""
    return {t: PsiReference.fit(p).to_json() for t, p in answers.items() if len(p)}


def _range(values: NDArray[np.float32]) -> list[float] | None:
    known = values[np.isfinite(values)]
    return [float(known.min()), float(known.max())] if known.size else None
