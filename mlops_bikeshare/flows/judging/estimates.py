"""What quality to expect of the batches whose labels have not matured, from their own answers.

Posted at every decision time per endpoint: `EstimatedBrier` and `EstimatedPR-AUC`, the worse of the
targets under the plain name, each target with `ModelVersion` and `Target`. They speak of the newest
batches alone, those of the last `MATURES`; beside the truth stand `estimated_brier` and
`estimated_pr_auc` of `monitoring_quality`, which are of the rows that the truth is of.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.reports import MetricPoint
from mlops_bikeshare.domain.targets import TARGETS
from mlops_bikeshare.domain.windows import Window, stamp
from mlops_bikeshare.evaluation.estimate import expected_brier, expected_pr_auc
from mlops_bikeshare.flows.judging import judged
from mlops_bikeshare.monitoring.metrics import metric, point

ESTIMATES: Mapping[str, Callable[[NDArray[Any]], float | None]] = {
    "EstimatedBrier": expected_brier,
    "EstimatedPR-AUC": expected_pr_auc,
}


def post(ws: Workspace, city: City, *, end: datetime) -> list[MetricPoint]:
    """Post what the answers of the last half hour promise, once per endpoint and `end`."""
    window = Window(end - judged.MATURES, end + timedelta(seconds=1))
    posted = []
    for stage in ("staging", "prod"):
        endpoint = ws.settings.endpoint(stage, city.name)
        rows = judged.answered(judged.predictions(ws, city, endpoint, window))
        if len(rows):
            found = _points(rows, {"EndpointName": endpoint, "City": city.name}, at=end)
            ws.metrics.put(found, once=f"estimate {city.name} {endpoint} {stamp(end)}")
            posted += found
    return posted


def _points(rows: pd.DataFrame, of: Mapping[str, str], *, at: datetime) -> list[MetricPoint]:
    newest = judged.newest_version(rows)
    if newest is None:  # who answered is not known of any batch
        return []
    rows = judged.answered(rows, newest)
    found = []
    for name, estimate in ESTIMATES.items():
        values = {t.name: estimate(rows[t.probability].to_numpy()) for t in TARGETS}
        known = {target: value for target, value in values.items() if value is not None}
        for target, value in known.items():
            detail = {**of, "ModelVersion": newest, "Target": target}
            found.append(point(name, value, at=at, dimensions=detail))
        if len(known) == len(values):
            worst = np.min if metric(name).worse == "lower" else np.max
            worse = float(worst(list(known.values())))
            found.append(point(name, worse, at=at, dimensions=of))
    return found
