"""What each feature adds to the trees' answer, on average: a SHAP summary.

Input    fitted trees and float32 (rows, features) of rows that they did not grow on.
Output   feature name to mean |contribution|, in log-odds before calibration.
Cost     some hundred times a prediction: 0.5 s for 100 rows and 200 trees of 63 leaves.
Source   Lundberg et al., From local explanations to global understanding with explainable AI for
         trees (2020), as LightGBM implements it (`pred_contrib`).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.training.fit import FittedBooster


def mean_contributions(
    booster: FittedBooster,
    matrix: NDArray[np.float32],
    names: Sequence[str],
    *,
    rows: int,
    threads: int,
) -> dict[str, float]:
    """Mean absolute contribution of every feature over evenly spread rows, the largest first."""
    import lightgbm as lgb

    chosen = np.unique(np.linspace(0, len(matrix) - 1, min(rows, len(matrix))).astype(np.int64))
    model = lgb.Booster(model_str=booster.text)
    parts = np.asarray(model.predict(matrix[chosen], pred_contrib=True, num_threads=threads))
    means = np.abs(parts[:, :-1]).mean(axis=0)  # the last column is the base value
    order = np.argsort(-means, kind="stable")
    return {names[i]: float(means[i]) for i in order}
