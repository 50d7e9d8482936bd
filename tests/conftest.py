"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of real recordings; skips, with the reason, where there is none."""
    folder = Path(os.environ.get("BIKESHARE_RECORDINGS", ROOT.parent / "shared" / "data"))
    if not (folder / "boston" / "station_status.parquet").is_file():
        pytest.skip(f"no real recordings at {folder}; set BIKESHARE_RECORDINGS to their folder")
    return folder
