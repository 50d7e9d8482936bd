"""A version that somebody registered without a run is judged all the same."""

import os
from pathlib import Path

import pytest

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.clock import SimulatedClock
from mlops_bikeshare.domain.windows import from_seconds
from mlops_bikeshare.flows import tracking
from mlops_bikeshare.flows.runs import comparison
from mlops_bikeshare.registry import versions
from mlops_bikeshare.settings import load

TOML = """
[cities.small]
timezone = "UTC"
country = "CA"
"""


def test_what_would_go_into_a_run_that_is_not_there_stops_nobody() -> None:
    tracking.log_steps("", [("drift/PSI", 0.1, 0)])
    tracking.log_texts("", {"page.html": "<p>"}, folder="drift")
    tracking.log_pictures("", {"day": b"png"})


def test_a_champion_without_a_run_leaves_the_training_before_to_compare_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    monkeypatch.chdir(tmp_path)
    (tmp_path / "bikeshare.toml").write_text(TOML)
    ws = Workspace(load(tmp_path, {}, {}), SimulatedClock(from_seconds(0)))
    city = ws.settings.city("small")
    runs = []
    for name in ("before", "now"):
        with tracking.run(ws, city, name, {"kind": "training"}) as active:
            runs.append(active.info.run_id)
    client = MlflowClient()
    client.create_registered_model(city.registered_model)
    made = client.create_model_version(city.registered_model, os.devnull, await_creation_for=0)
    client.set_registered_model_alias(city.registered_model, versions.CHAMPION, made.version)

    address = comparison.saved(ws, city, runs[1])

    tags = client.get_experiment_by_name(city.registered_model).tags
    (view,) = [tags[name] for name in tags if name.startswith(comparison.TAG)]
    assert f"IN ('{runs[1]}','{runs[0]}')" in view
    assert address.startswith(tracking.WINDOW)
