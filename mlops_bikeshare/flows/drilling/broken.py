"""Versions that must not reach production: one of a stump, one of persistence, one that is broken.

Output   the number of a registered version.
"""

import dataclasses
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.targets import HORIZONS_MIN, TARGETS
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.evaluation.persistence import Persistence
from mlops_bikeshare.features.definition import COUNT_FEATURES
from mlops_bikeshare.flows.train import by_shares, train
from mlops_bikeshare.registry import versions
from mlops_bikeshare.registry.artefact import (
    SCORER,
    artefact_digest,
    read_persistence,
    read_scorer,
)

MOST_COUNTED = 60


def stump(ws: Workspace, city: City, history: Window) -> str:
    """One tree of two leaves per target, as the challenger."""
    poor = dataclasses.replace(ws.settings.training, rounds=1, leaves=2)
    theirs = dataclasses.replace(ws.settings, training=poor)
    return train(
        dataclasses.replace(ws, settings=theirs), city, by_shares(history), label="stump"
    ).version


def persistence_alone(ws: Workspace, city: City) -> str:
    """The champion with trees that know its persistence table by heart, and nothing else."""
    return _altered(ws, city, "persistence-", _only_persistence)


def broken_version(ws: Workspace, city: City) -> str:
    """The champion with trees that no endpoint can read, under a digest that is right."""
    return _altered(ws, city, "broken-", _unreadable)


def _altered(ws: Workspace, city: City, prefix: str, change: Callable[[Path], None]) -> str:
    from mlflow import MlflowClient

    standing = versions.find(city.registered_model, versions.CHAMPION)
    files = versions.download(standing, Path(tempfile.mkdtemp(dir=ws.path, prefix=prefix)))
    change(files / "artifacts")
    tags = {**standing.tags, versions.DIGEST_TAG: artefact_digest(files)}
    made = MlflowClient().create_model_version(
        city.registered_model, str(files), tags=tags, await_creation_for=0
    )
    return str(made.version)


def _unreadable(artifacts: Path) -> None:
    for trees in artifacts.glob("bikeout*.txt"):
        trees.write_text("no trees here", encoding="utf-8")


def _only_persistence(artifacts: Path) -> None:
    """P(out later | count now) of every horizon as trees, and calibrators that change nothing."""
    scorer = read_scorer(artifacts)
    tables, inputs = read_persistence(artifacts), [*scorer["features"], scorer["horizon_feature"]]
    for target in TARGETS:
        table = Persistence.from_json(tables[target.name])
        text = _by_heart(table, count=inputs.index(COUNT_FEATURES[target.count]), inputs=inputs)
        for trees in artifacts.glob(f"{target.name}*.txt"):
            trees.write_text(text, encoding="utf-8")
        plain = {"horizons_min": list(scorer["horizons_min"]), "a": 1.0, "b": 1.0, "c": 0.0}
        scorer["targets"][target.name]["calibrators"] = [plain]
    (artifacts / SCORER).write_text(json.dumps(scorer, indent=1), encoding="utf-8")


def _by_heart(table: Persistence, *, count: int, inputs: list[str]) -> str:
    """A booster over `inputs`, which looks at the count and the horizon alone."""
    import lightgbm as lgb

    counts, horizons = (a.ravel() for a in np.meshgrid(np.arange(MOST_COUNTED), HORIZONS_MIN))
    rate = np.array(
        [table.predict(counts[[i]], horizon_min=int(h))[0] for i, h in enumerate(horizons)]
    )
    matrix = np.zeros((len(counts), len(inputs)), dtype=np.float32)
    matrix[:, count], matrix[:, -1] = counts, horizons
    out = np.repeat([1.0, 0.0], len(rate))
    data = lgb.Dataset(
        np.concatenate([matrix, matrix]),
        label=out,
        weight=np.concatenate([rate, 1 - rate]) + 1e-6,
        feature_name=inputs,
        params={"verbosity": -1, "min_data_in_bin": 1, "feature_pre_filter": False},
    )
    learned = {
        "objective": "binary",
        "num_leaves": 31,
        "min_data_in_leaf": 1,
        "min_sum_hessian_in_leaf": 1e-3,
        "learning_rate": 0.2,
        "verbosity": -1,
        "num_threads": 1,
    }
    return str(lgb.train(learned, data, num_boost_round=120).model_to_string())
