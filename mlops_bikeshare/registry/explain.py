"""Why a version said what it said of one row: TreeSHAP contributions.

Input    the artifacts folder of a version, one row of its features (float, NaN where unknown).
Output   per target an `Explanation`: `base` and the contribution of every input, in log-odds before
         calibration, largest first; they sum to the trees' raw answer. `p` is as served.
Raises   ModelError when the version was trained on other features, or does not answer the horizon.
Source   Lundberg et al. 2020, as LightGBM implements it (`pred_contrib`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlops_bikeshare.domain.errors import ModelError
from mlops_bikeshare.registry.artefact import read_scorer
from mlops_bikeshare.registry.scorer import Scorer, boosters_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One target of one row; `contributions` sum with `base` to `margin`."""

    p: float
    margin: float
    base: float
    contributions: Mapping[str, float]


def check_features(artifacts: Path, row: Mapping[str, float], *, version: str) -> None:
    """ModelError naming the features that a version expects and these rows have not."""
    expected = read_scorer(artifacts)["features"]
    missing = [name for name in expected if name not in row]
    extra = [name for name in row if name not in expected]
    if missing or extra:
        msg = (
            f"version {version} was trained on other features: it needs {missing or 'nothing'} that"
            f" this code does not make, and does not know {extra or 'nothing'}"
        )
        raise ModelError(f"{msg}; train a new version, or check out the code of its tag `git`")


def explain(
    artifacts: Path, row: Mapping[str, float], *, horizon_min: int, version: str
) -> dict[str, Explanation]:
    """What moved each target's answer for `row`, `horizon_min` ahead."""
    import lightgbm as lgb
    import pandas as pd

    check_features(artifacts, row, version=version)
    spec = read_scorer(artifacts)
    if horizon_min not in spec["horizons_min"]:
        known = ", ".join(map(str, spec["horizons_min"]))
        raise ModelError(f"version {version} answers {known} min, not {horizon_min}")
    names = [*spec["features"], spec["horizon_feature"]]
    values = [*(row[name] for name in spec["features"]), horizon_min]
    matrix = np.array([values], dtype=np.float32)
    frame = pd.DataFrame([row], dtype=np.float32)
    served = Scorer.load(str(artifacts)).predict(frame)
    found = {}
    for target, told in spec["targets"].items():
        files = boosters_of(told, spec["horizons_min"])
        file = next(name for name, served in files.items() if horizon_min in served)
        trees = lgb.Booster(model_str=(artifacts / file).read_text(encoding="utf-8"))
        parts = np.asarray(trees.predict(matrix, pred_contrib=True, num_threads=1))[0]
        order = np.argsort(-np.abs(parts[:-1]), kind="stable")
        found[target] = Explanation(
            p=float(served[f"{told['column']}_{horizon_min}"].iloc[0]),
            margin=float(parts.sum()),
            base=float(parts[-1]),
            contributions={names[i]: float(parts[i]) for i in order},
        )
    return found
