"""`mlflow run` on the real project: a tiny recording goes into a lake."""

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from mlops_bikeshare.sources.simulator import simulate

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("manager", ["local", pytest.param("uv", marks=pytest.mark.long)])
def test_an_entry_point_runs_by_mlflow_run(manager: str, tmp_path: Path) -> None:
    simulate(
        stations=10, days=1, seed=3, start=date(2025, 6, 2), timezone="America/New_York"
    ).write(tmp_path / "recording")
    (tmp_path / "bikeshare.toml").write_text((ROOT / "bikeshare.toml").read_text())
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("BIKESHARE", "MLFLOW"))}
    environment = {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}",
        "BIKESHARE_HOME": str(tmp_path),
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    command = ["run", str(ROOT), "-e", "ingest", "--env-manager", manager]
    command += ["-P", f"recording={tmp_path / 'recording'}", "-P", "city=boston"]

    done = subprocess.run(
        [sys.executable, "-m", "mlflow", *command],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert " new days, 0 there already" in done.stdout
    assert list((tmp_path / "var" / "main" / "lake").rglob("city=boston/**/*.parquet"))
