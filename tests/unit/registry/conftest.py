"""A small but real version: trees grown on seeded data, written as the artefact contract says."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_bikeshare.registry.artefact import LABEL, TargetFiles, write_artifacts

FEATURES = ("num_bikes_available", "utilisation", "hour")
HORIZONS_MIN = (10, 20, 30)
CALIBRATORS = [
    {"horizons_min": [10, 20], "a": 1.2, "b": 0.8, "c": 0.1},
    {"horizons_min": [30], "a": 0.9, "b": 1.1, "c": -0.2},
]


def grow(*, seed: int, inputs: list[str]) -> str:
    """LightGBM text of a few small trees."""
    import lightgbm as lgb

    rng = np.random.default_rng(seed)
    matrix = rng.random((600, len(inputs)), dtype=np.float32) * 30
    label = (matrix[:, 0] + matrix[:, -1] / 3 + rng.normal(0, 4, 600) < 18).astype(np.float32)
    native = {"objective": "binary", "num_leaves": 7, "verbosity": -1, "num_threads": 1}
    dataset = lgb.Dataset(matrix, label=label, feature_name=inputs, params=native)
    return str(lgb.train(native, dataset, num_boost_round=12).model_to_string())


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `artifacts/` folder of a version with two targets and three horizons."""
    inputs = [*FEATURES, "horizon_min"]
    targets = {
        name: TargetFiles(
            boosters={HORIZONS_MIN: grow(seed=seed, inputs=inputs)},
            column=f"p_{name}",
            calibrators=CALIBRATORS,
            threshold=0.4,
            persistence={"rates": {"30": [0.9, 0.1]}},
        )
        for seed, name in enumerate(("bikeout", "dockout"))
    }
    return write_artifacts(
        tmp_path_factory.mktemp("version") / "artifacts",
        targets=targets,
        features=FEATURES,
        horizon_feature="horizon_min",
        horizons_min=HORIZONS_MIN,
        reference={"psi": {}, "range": {"hour": [0.0, 23.0]}},
        details={LABEL: {"threshold": 3, "mode": "within"}},
    )


@pytest.fixture
def rows() -> pd.DataFrame:
    """Rows of features, some unknown."""
    rng = np.random.default_rng(7)
    values = rng.random((50, len(FEATURES)), dtype=np.float32) * 30
    values[rng.random(values.shape) < 0.1] = np.nan
    return pd.DataFrame(values, columns=list(FEATURES))
