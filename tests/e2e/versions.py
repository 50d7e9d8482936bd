"""Small but real versions: trees grown on seeded data, written as the artefact contract says."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mlops_bikeshare.domain.label import USUAL
from mlops_bikeshare.registry.artefact import LABEL, TargetFiles, write_artifacts

FEATURES = ("num_bikes_available", "utilisation", "hour")
HORIZONS_MIN = (10, 20, 30)


def artifacts(
    folder: Path,
    *,
    seed: int,
    features: Sequence[str] = FEATURES,
    horizons_min: Sequence[int] = HORIZONS_MIN,
) -> Path:
    """The `artifacts/` of a version with two targets, and three horizons unless told."""
    inputs = [*features, "horizon_min"]
    group = {"horizons_min": list(horizons_min), "a": 1.2, "b": 0.8, "c": 0.1}
    targets = {
        name: TargetFiles(
            boosters={tuple(horizons_min): _trees(seed * 10 + number, inputs)},
            column=f"p_{name}",
            calibrators=[group],
            threshold=0.4,
            persistence={"rates": {"30": [0.9, 0.1]}},
        )
        for number, name in enumerate(("bikeout", "dockout"))
    }
    return write_artifacts(
        folder / "artifacts",
        targets=targets,
        features=tuple(features),
        horizon_feature="horizon_min",
        horizons_min=tuple(horizons_min),
        reference={"psi": {}, "range": {"hour": [0.0, 23.0]} if "hour" in features else {}},
        details={LABEL: USUAL.to_json()},
    )


def rows(features: Sequence[str] = FEATURES) -> pd.DataFrame:
    """A few rows of features."""
    values = np.random.default_rng(7).random((20, len(features)), dtype=np.float32) * 30
    return pd.DataFrame(values, columns=list(features))


def _trees(seed: int, inputs: list[str]) -> str:
    import lightgbm as lgb

    rng = np.random.default_rng(seed)
    matrix = rng.random((400, len(inputs)), dtype=np.float32) * 30
    label = (matrix[:, 0] + rng.normal(0, 4, 400) < 12).astype(np.float32)
    native = {"objective": "binary", "num_leaves": 7, "verbosity": -1, "num_threads": 1}
    dataset = lgb.Dataset(matrix, label=label, feature_name=inputs, params=native)
    return str(lgb.train(native, dataset, num_boost_round=8).model_to_string())
