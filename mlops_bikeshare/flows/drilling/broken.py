"""Versions that must not reach production: one that learned nearly nothing, one that cannot load.

Output   the number of a registered version.
"""

import dataclasses
import tempfile
from pathlib import Path

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows.train import by_shares, train
from mlops_bikeshare.registry import versions
from mlops_bikeshare.registry.artefact import artefact_digest


def stump(ws: Workspace, city: City, history: Window) -> str:
    """One tree of two leaves per target, as the challenger."""
    poor = dataclasses.replace(ws.settings.training, rounds=1, leaves=2)
    theirs = dataclasses.replace(ws.settings, training=poor)
    return train(
        dataclasses.replace(ws, settings=theirs), city, by_shares(history), label="stump"
    ).version


def broken_version(ws: Workspace, city: City) -> str:
    """The champion with trees that no endpoint can read, under a digest that is right."""
    from mlflow import MlflowClient

    standing = versions.find(city.registered_model, versions.CHAMPION)
    folder = Path(tempfile.mkdtemp(dir=ws.path, prefix="broken-"))
    files = versions.download(standing, folder)
    for trees in (files / "artifacts").glob("bikeout*.txt"):
        trees.write_text("no trees here", encoding="utf-8")
    tags = {**standing.tags, versions.DIGEST_TAG: artefact_digest(files)}
    made = MlflowClient().create_model_version(
        city.registered_model, str(files), tags=tags, await_creation_for=0
    )
    return str(made.version)
