"""Train on a Dask cluster: trees grow by `lightgbm.dask`; all else is as of `train`, here.

Input    as of `train`; the address of a scheduler, or how many workers to start here.
Output   Trained, as of `train`. The trees are not those of one process, but as good.
Raises   what `train` raises; SettingsError without Dask, InputError without a scheduler, or where
         workers died again and again.

LightGBM's own connections between workers have no password and begin on every interface: see
`scaling.shared_trees`.
"""

from functools import partial
from typing import Any

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.flows import train as flow
from mlops_bikeshare.flows.scaling import cluster, shared_trees
from mlops_bikeshare.flows.train import Trained
from mlops_bikeshare.training.split import Split


def train(
    ws: Workspace,
    city: City,
    split: Split,
    *,
    scheduler: str | None = None,
    workers: int = 2,
    **asked: Any,
) -> Trained:
    """`train`, its trees on the workers; `asked` is what else that one takes."""
    with cluster.client(scheduler, workers=workers) as client:
        return flow.train(ws, city, split, grow=partial(shared_trees.grow, client), **asked)
