"""Parameters of a run that `mlflow run` opened: what was asked for stays, what was used is told."""

from pathlib import Path

from mlops_bikeshare.flows import tracking
from tests.unit.flows import tiny


def test_what_mlflow_run_asked_for_stays_and_what_was_used_stands_beside_it(tmp_path: Path) -> None:
    ws, city = tiny.workspace(tmp_path)
    with tracking.run(ws, city, "training", {}) as active:
        import mlflow

        mlflow.log_params({"train": "''", "rounds": "3"})  # as MLflow's runner does
        tracking.log_params({"train": "2025-06-03..2025-06-05", "rounds": 3, "leaves": 7})

    told = mlflow.get_run(active.info.run_id).data.params
    assert told == {
        "train": "''",
        "used_train": "2025-06-03..2025-06-05",
        "rounds": "3",
        "leaves": "7",
    }
