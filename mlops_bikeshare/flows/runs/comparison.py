"""A comparison saved in MLflow: two trainings side by side, with the charts that decide.

Input    the run of a training; the champion's, else the training before, is what it is compared to.
Output   the address that opens it: the runs chosen, both targets' scores as bars, by horizon and
         as served, and how they learned. Nothing is to be clicked together.
Method   MLflow keeps a view that was shared as a tag of the experiment (`mlflow.sharedViewState.`
         and a key), which is what its own button "Share" writes; charts without data are hidden.
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from typing import Any

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import BikeshareError
from mlops_bikeshare.domain.targets import PROMISE_MIN, TARGETS
from mlops_bikeshare.flows import tracking
from mlops_bikeshare.registry import versions

log = logging.getLogger(__name__)

TAG = "mlflow.sharedViewState."
_KEY_LENGTH = 16
_TEST, _SERVED, _LEARNED = "On the days kept for a test", "As served", "How they learned"
_SCORES = ("onset_pr_auc", "onset_brier_skill", "brier")
_SERVED_SCORES = ("replay/onset_pr_auc", "live/onset_pr_auc")
_COLUMNS = (
    "attributes.`Source`",
    "attributes.`Dataset`",
    *(f"metrics.`{score}_{t.name}_at_{PROMISE_MIN}`" for score in _SCORES for t in TARGETS),
)


def saved(ws: Workspace, city: City, run_id: str) -> str:
    """Save the comparison of a training with what it has to beat; its address."""
    from mlflow import MlflowClient

    client = MlflowClient()
    experiment = client.get_run(run_id).info.experiment_id
    runs = [run_id, *_rival(client, city, experiment, run_id)]
    view = json.dumps(_view(runs), separators=(",", ":"))
    key = hashlib.sha256(view.encode()).hexdigest()[:_KEY_LENGTH]
    client.set_experiment_tag(experiment, TAG + key, view)
    where = f"{tracking.window(ws.settings)}/#/experiments/{experiment}/runs"
    return f"{where}?viewStateShareKey={key}&compareRunsMode=CHART&workflowType=machine_learning"


def try_to_save(ws: Workspace, city: City, run_id: str) -> str | None:
    """The same for a training, whose version is registered by then: None where it cannot be."""
    from mlflow.exceptions import MlflowException

    try:
        return saved(ws, city, run_id)
    except (MlflowException, BikeshareError, OSError) as error:
        log.warning("the comparison of run %s was not saved: %s", run_id, error)
        return None


def _rival(client: Any, city: City, experiment: str, run_id: str) -> list[str]:
    """The champion's run, else that of the training before; none where there is neither."""
    model = city.registered_model
    champion = (
        versions.find_if_any(model, versions.CHAMPION) if versions.is_registered(model) else None
    )
    if champion is not None and champion.run_id not in {"", run_id}:
        return [champion.run_id]
    trained = client.search_runs(
        [experiment],
        "tags.kind = 'training' and attributes.status = 'FINISHED'",
        max_results=2,
        order_by=["attributes.start_time DESC"],
    )
    return [run.info.run_id for run in trained if run.info.run_id != run_id][:1]


def _view(runs: Sequence[str]) -> dict[str, Any]:
    """What MLflow's window shows, as it writes it itself."""
    chosen = ",".join(f"'{run}'" for run in runs)
    charts = [
        *(_bar(f"{s}_{t.name}_at_{PROMISE_MIN}", _TEST) for s in _SCORES for t in TARGETS),
        *(_line(f"onset_pr_auc_{t.name}", _TEST) for t in TARGETS),
        *(_bar(f"{s}_{t.name}_at_{PROMISE_MIN}", _SERVED) for s in _SERVED_SCORES for t in TARGETS),
        *(_line(f"log_loss_early_stop_{t.name}", _LEARNED) for t in TARGETS),
    ]
    return {
        "searchFilter": f"attributes.run_id IN ({chosen})",
        "selectedColumns": list(_COLUMNS),
        "compareRunCharts": charts,
        "compareRunSections": [
            {"uuid": name, "name": name, "display": True, "isReordered": True}
            for name in (_TEST, _SERVED, _LEARNED)
        ],
        "isAccordionReordered": True,
    }


def _bar(metric: str, section: str) -> dict[str, Any]:
    return {
        "type": "BAR",
        "uuid": metric,
        "metricSectionId": section,
        "metricKey": metric,
        "runsCountToCompare": 10,
    }


def _line(metric: str, section: str) -> dict[str, Any]:
    """Over the horizon in minutes, or over trees: a score's steps."""
    return {
        **_bar(metric, section),
        "type": "LINE",
        "selectedMetricKeys": [metric],
        "xAxisKey": "step",
        "xAxisScaleType": "linear",
        "scaleType": "linear",
        "yAxisKey": "metric",
        "lineSmoothness": 0,
        "useGlobalXaxisKey": False,
        "range": {},
    }
