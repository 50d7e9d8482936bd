"""Airflow 3 takes the DAGs and runs them for real, where `make airflow` made its environment."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlops_bikeshare.backends import open_workspace
from mlops_bikeshare.domain.tables import STATION_STATUS_RAW
from mlops_bikeshare.flows import records
from mlops_bikeshare.settings import load
from tests.e2e.conftest import ROOT, Ended, Home
from tests.e2e.shown import shown
from tests.e2e.test_lifecycle import SMALL
from tests.served import small_city

AIRFLOW = ROOT / ".airflow"
pytestmark = pytest.mark.skipif(
    not (AIRFLOW / ".installed").exists(), reason="no Airflow: `make airflow`"
)
JOBS = ("ingest", "infer", "monitor", "watch", "drift", "nightly", "retrain", "promote")


class Dags:
    """A home with the DAGs of its workspace's city, and Airflow's own state."""

    def __init__(self, home: Home, *, workspace: str) -> None:
        self.home = home
        self.folder = home.path / "ops" / "airflow"
        self.folder.mkdir(parents=True)
        shutil.copy(ROOT / "ops" / "airflow" / "bikeshare_dags.py", self.folder)
        (home.path / ".airflow").symlink_to(AIRFLOW)
        self.environment = {
            **home.environment,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "BIKESHARE_WORKSPACE": workspace,
            "AIRFLOW_HOME": str(home.path / "var" / "airflow"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.folder),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        }

    def shell(self, script: str) -> Ended:
        """Run lines of a shell in the home."""
        done = subprocess.run(
            ["bash", "-euc", script],
            cwd=self.home.path,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def test(self, job: str) -> Ended:
        """Run a DAG to its end, as `airflow dags test` does: without scheduler or server."""
        return self.shell(f".airflow/bin/airflow dags test bikeshare_demo_{job}")


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a city's feed."""
    recorded = small_city(tmp_path_factory.mktemp("feed") / "city").folder
    command = [sys.executable, "-m", "mlops_bikeshare", "replay-feed"]
    command += ["--recording", str(recorded)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[0]
        process.terminate()


@pytest.fixture
def fresh(new_home: Callable[..., Home], feed: str) -> Dags:
    """A workspace on the real clock, that holds nothing yet."""
    demo = "[cities.demo]\n"
    home = new_home({demo: f'{demo}gbfs_url = "{feed}"\n', "port = 8181": "port = 0"})
    return Dags(home, workspace="main")


def test_airflow_imports_a_dag_for_each_job_and_says_what_is_missing_without_a_plan(
    fresh: Dags,
) -> None:
    missing = fresh.shell(".airflow/bin/python -W ignore ops/airflow/bikeshare_dags.py")
    there = fresh.shell(
        "bikeshare schedule airflow --city demo --into ops/airflow\n"
        ".airflow/bin/python -W ignore - <<'END'\n"
        "from airflow.dag_processing.dagbag import DagBag\n"
        f"bag = DagBag({str(fresh.folder)!r}, load_op_links=False)\n"
        "print(sorted(bag.dag_ids), list(bag.import_errors.values()))\n"
        "END\n"
    )

    assert "is missing: bikeshare schedule airflow --into" in missing.err
    assert there.code == 0, there.err
    assert f"{sorted(f'bikeshare_demo_{job}' for job in JOBS)} []" in there.out


@pytest.mark.long
def test_the_ingest_dag_polls_and_the_promote_dag_stops_at_a_gate_that_does_not_pass(
    fresh: Dags,
) -> None:
    assert fresh.shell("bikeshare schedule airflow --city demo --into ops/airflow").code == 0
    assert fresh.shell(".airflow/bin/airflow db migrate").code == 0

    polled, refused = fresh.test("ingest"), fresh.test("promote")

    assert polled.code == 0, polled.out + polled.err
    ws = open_workspace(load(fresh.home.path, {}, {}))
    assert len(ws.lake.read(STATION_STATUS_RAW, city="demo")) == 30
    assert refused.code != 0
    assert "gate --city demo" in refused.out
    assert "promote --city demo" not in refused.out


@pytest.mark.long
def test_the_other_dags_run_on_the_demo_as_the_page_shows_and_one_promotes(
    new_home: Callable[..., Home],
) -> None:
    home = new_home(SMALL | {"port = 8181": "port = 0"})
    demo = home.run("demo", "--stations", "60", "--days", "8")
    assert demo.code == 0, demo.err
    dags = Dags(home, workspace="demo")
    shown_lines = dags.shell(shown("Airflow", "bash"))
    assert shown_lines.code == 0, shown_lines.out + shown_lines.err

    assert home.run("--workspace", "demo", "serve", "--background").code == 0
    try:
        ended = {job: dags.test(job) for job in ("infer", "retrain", "promote")}
    finally:
        assert home.run("--workspace", "demo", "stop").code == 0

    assert {job: one.code for job, one in ended.items()} == dict.fromkeys(ended, 0)
    settings = load(home.path, {}, {}).with_workspace("demo", default_city="demo")
    decided = [entry["kind"] for entry in records.audited(open_workspace(settings))]
    assert "version 1 → 2" in ended["promote"].out
    assert "promotion" in decided[decided.index("rollback") :]
