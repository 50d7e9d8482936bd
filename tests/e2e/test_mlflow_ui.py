"""Two trainings side by side in the real MLflow window, in a real Chromium."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.targets import HORIZONS_MIN, PROMISE_MIN, TARGETS
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.evaluation.curves import target_curves
from mlops_bikeshare.flows import tracking
from mlops_bikeshare.flows.runs import comparison, training_run
from mlops_bikeshare.registry import versions
from mlops_bikeshare.settings import load
from mlops_bikeshare.training.by_horizon import OTHERS_MIN, ByHorizon
from mlops_bikeshare.training.candidate import Candidate
from mlops_bikeshare.training.evaluate import evaluate
from mlops_bikeshare.training.fit import FittedBooster
from mlops_bikeshare.training.split import Split

CHROMIUM = next((p for p in map(shutil.which, ("chromium", "google-chrome")) if p), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium on PATH; install it with: apt-get install chromium"
    ),
]
ROOT = Path(__file__).resolve().parents[2]
START = datetime(2025, 6, 2, tzinfo=UTC)
START_S, WAIT_MS = 60, 60_000
ROWS = 500


def candidate(*, seed: int) -> Candidate:
    """What a training hands to its run, from made-up answers that are somewhat right."""
    rng = np.random.default_rng(seed)
    p = rng.random(ROWS)
    said: dict[str, Any] = {
        "y": (rng.random(ROWS) < p).astype(np.float64),
        "model": p,
        "persistence": np.clip(p + rng.normal(0, 0.3, ROWS), 0, 1),
        "already_out": p > 0.8,
    }
    dt = np.arange(ROWS, dtype=np.int64)
    booster = FittedBooster(
        text="",
        best_iteration=20,
        importance={"bikes": 3.0, "docks": 1.0},
        curve=tuple(1 / np.arange(1, 21)),
        seconds=1.0,
    )
    return Candidate(
        boosters={
            t.name: ByHorizon({(PROMISE_MIN,): booster, OTHERS_MIN: booster}) for t in TARGETS
        },
        calibrations={},
        persistence={},
        reference={},
        quality=tuple(
            evaluate(t.name, horizon_min=h, **said, dt=dt, threshold=0.5)
            for t in TARGETS
            for h in HORIZONS_MIN
        ),
        curves={t.name: target_curves(**said) for t in TARGETS},
        rows={"fit": ROWS},
    )


def brier(*, seed: int) -> float:
    """Of bikeout at the promised horizon, as the window must show it."""
    (found,) = (
        q.model.brier
        for q in candidate(seed=seed).quality
        if (q.target, q.horizon_min) == ("bikeout", PROMISE_MIN)
    )
    assert found is not None
    return found


def split(*, days: int) -> Split:
    end = START + timedelta(days=days)
    day = timedelta(days=1)
    return Split(Window(START, end), Window(end, end + day), Window(end + day, end + 2 * day))


def train(ws: Workspace, city: City, *, label: str, days: int, seed: int) -> str:
    """Log a training as the flow does, and register a version for it; the run's name."""
    import mlflow

    parts, made = split(days=days), candidate(seed=seed)
    name, note = training_run.name(city, parts, label=label), training_run.note(city, parts)
    with tracking.run(ws, city, name, {"kind": "training"}, note=note) as active:
        mlflow.log_params({"train": str(parts.train), "rows_fit": ROWS})
        training_run.log(made, run_id=active.info.run_id)
        training_run.log_input(city, parts.train, "ab" * 32)
        client = mlflow.MlflowClient()
        if seed == 0:
            client.create_registered_model(city.registered_model)
        version = client.create_model_version(
            city.registered_model, active.info.artifact_uri, run_id=active.info.run_id
        ).version
    found = versions.find(city.registered_model, str(version))
    training_run.describe(city, found, parts, made)
    versions.move_alias(found.name, label, found.version, expected=None)
    return name


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    home = tmp_path_factory.mktemp("home")
    shutil.copy(ROOT / "bikeshare.toml", home)
    settings = load(home, {}, {}).with_workspace("demo", default_city="demo")
    return open_workspace(settings, simulated=True)


@pytest.fixture(scope="module")
def runs(ws: Workspace) -> list[str]:
    city = ws.settings.cities["demo"]
    return [
        train(ws, city, label="champion", days=6, seed=0),
        train(ws, city, label="challenger", days=17, seed=1),
    ]


@pytest.fixture(scope="module")
def address(ws: Workspace, runs: list[str]) -> Iterator[str]:  # noqa: ARG001 - the store comes first
    """The real `mlflow ui`, as `bikeshare mlflow-ui` starts it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "ui"]
    command += ["--artifacts-destination", str(ws.settings.mlflow_home / "mlartifacts")]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    log = ws.path / "mlflow-ui.log"
    store = {"MLFLOW_BACKEND_STORE_URI": ws.settings.mlflow_uri}
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    environment = {**os.environ, **quiet, **store}
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environment)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/health", process, log)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=20)


def wait_for(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own address
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"mlflow ui did not answer at {url}:\n{log.read_text()}")


@pytest.fixture(scope="module")
def saved(ws: Workspace, runs: list[str]) -> str:
    """The address that a training prints, of the challenger's."""
    import mlflow

    city = ws.settings.cities["demo"]
    found = mlflow.search_runs(
        experiment_names=[city.registered_model],
        filter_string=f"attributes.run_name = '{runs[1]}'",
        output_format="list",
    )
    return comparison.saved(ws, city, found[0].info.run_id)


def test_the_address_a_training_prints_opens_both_runs_in_the_chosen_charts(
    runs: list[str], address: str, saved: str, tmp_path: Path
) -> None:
    from playwright.sync_api import sync_playwright

    assert saved.startswith("http://127.0.0.1:5000/#/experiments/")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1500, "height": 1400})
        page.set_default_timeout(WAIT_MS)
        page.goto(address + saved.removeprefix("http://127.0.0.1:5000"))
        page.get_by_text("On the days kept for a test").wait_for()
        for name in runs:
            page.get_by_text(name, exact=True).first.wait_for()
        page.get_by_text(f"onset_pr_auc_bikeout_at_{PROMISE_MIN}").first.wait_for()
        page.locator(".js-plotly-plot").first.wait_for()
        page.screenshot(path=tmp_path / "saved.png")
        browser.close()


def test_champion_and_challenger_compare_side_by_side(
    ws: Workspace, runs: list[str], address: str, tmp_path: Path
) -> None:
    from playwright.sync_api import sync_playwright

    assert runs == ["champion · demo · 06-02..06-08", "challenger · demo · 06-02..06-19"]
    experiment = tracking.connect(ws).get_experiment_by_name("bikeshare-demo").experiment_id
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1500, "height": 1400})
        page.set_default_timeout(WAIT_MS)
        page.goto(f"{address}/#/experiments/{experiment}/runs?workflowType=machine_learning")
        for name in runs:
            row = page.get_by_role("row").filter(has_text=name)
            row.get_by_role("checkbox").first.click()
        page.get_by_role("button", name="Compare").click()
        page.get_by_text("Comparing 2 Runs").wait_for()
        for name in runs:
            page.get_by_text(name, exact=True).first.wait_for()
        # The table draws only the rows in sight; this metric is among the first.
        page.get_by_text(f"brier_bikeout_at_{PROMISE_MIN}", exact=True).scroll_into_view_if_needed()
        for seed in (0, 1):
            page.get_by_text(f"{brier(seed=seed):.3f}".rstrip("0"), exact=True).first.wait_for()
        page.screenshot(path=tmp_path / "compared.png")
        page.goto(f"{address}/#/models/bikeshare-demo")
        for alias in ("champion", "challenger"):
            page.get_by_text(f"@ {alias}").first.wait_for()
        page.screenshot(path=tmp_path / "registry.png")
        browser.close()
    assert (tmp_path / "compared.png").stat().st_size > 10_000
