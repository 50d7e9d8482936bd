"""Fixtures that every test may use."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# As the command line does, before anything loads OpenMP: threads that spin while they wait for one
# another take from the tests beside them half of what there is.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# The same examples every time, however slow the machine: a red test is red for everybody.
settings.register_profile("project", deadline=None, derandomize=True)
settings.load_profile("project")
ROOT = Path(__file__).resolve().parent.parent
MAIN = sys.modules["__main__"]
# Files go to workers one by one, in this order (`--no-loadscope-reorder`): begun last, one of
# these would keep a single worker busy for long.
LONGEST = (
    "test_lifecycle",
    "test_boston",
    "test_release_faults",
    "test_drill",
    "test_pages",
    "test_retrain",
    "test_mlflow_ui",
    "test_sagemaker_wire",
    "test_batch_faults",
    "test_aws_jobs",
    "test_city_map",
    "test_live_boston",
)


def pytest_runtest_teardown() -> None:
    """Streamlit's AppTest takes the main module's place: a process spawned later would run it."""
    sys.modules["__main__"] = MAIN


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole lifecycles first."""
    first = {name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: first.get(item.path.stem, len(LONGEST)))


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of real recordings; skips, with the reason, where there is none."""
    folder = Path(os.environ.get("BIKESHARE_RECORDINGS", ROOT.parent / "shared" / "data"))
    if not (folder / "boston" / "station_status.parquet").is_file():
        pytest.skip(f"no real recordings at {folder}; set BIKESHARE_RECORDINGS to their folder")
    return folder
