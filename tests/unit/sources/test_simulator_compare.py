"""Measures of a change log, the comparison page, and the simulated city's place in it."""

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_bikeshare.domain.errors import SourceError
from mlops_bikeshare.sources.simulator import simulate
from mlops_bikeshare.sources.simulator.compare import Measures, _past_mean, measure
from mlops_bikeshare.sources.simulator.document import (
    SEEDS,
    TIMEZONES,
    Row,
    render,
    simulator_document,
)

ZONE = "America/Toronto"
PAGE = Path(__file__).resolve().parents[3] / "docs" / "simulator.md"
# Lowest and highest of Boston, Taipei and Paris (docs/simulator.md), widened for a small city.
PLAUSIBLE = {
    "median gap between reports, min": (8.5, 15.5),
    "bikeout: base rate": (0.10, 0.33),
    "bikeout: onset base rate": (0.028, 0.065),
    "bikeout: persistence PR-AUC": (0.74, 0.92),
    "bikeout: persistence onset PR-AUC": (0.13, 0.28),
    "bikeout: plain model onset PR-AUC": (0.19, 0.46),
    "bikeout: onset lift over persistence": (0.03, 0.26),
    "dockout: base rate": (0.04, 0.16),
    "dockout: onset base rate": (0.008, 0.030),
    "dockout: persistence PR-AUC": (0.66, 0.92),
    "dockout: onset lift over persistence": (0.02, 0.26),
}


@pytest.fixture(scope="module")
def measured() -> Measures:
    made = simulate(stations=100, days=12, seed=5, start=date(2025, 6, 2), timezone=ZONE)
    return measure(made.station_status, timezone=ZONE)


@pytest.mark.parametrize("name", PLAUSIBLE)
def test_a_small_simulated_city_is_as_hard_as_a_real_one(measured: Measures, name: str) -> None:
    low, high = PLAUSIBLE[name]
    value = measured[name]
    assert value is not None
    assert low <= value <= high


def test_row_order_changes_no_measure() -> None:
    made = simulate(stations=20, days=6, seed=5, start=date(2025, 6, 2), timezone=ZONE)
    shuffled = made.station_status.sample(frac=1, random_state=1)
    assert measure(shuffled, timezone=ZONE) == measure(made.station_status, timezone=ZONE)


def test_a_log_of_two_days_is_refused() -> None:
    made = simulate(stations=10, days=2, seed=5, start=date(2025, 6, 2), timezone=ZONE)
    with pytest.raises(SourceError, match="whole days"):
        measure(made.station_status, timezone=ZONE)


def test_profiles_see_earlier_days_only() -> None:
    rng = np.random.default_rng(1)
    cube = rng.normal(size=(5, 144, 2))
    later = cube.copy()
    later[3:] = 99
    assert np.array_equal(_past_mean(cube)[:4], _past_mean(later)[:4], equal_nan=True)


@pytest.mark.parametrize(
    ("real", "simulated", "within"),
    [
        ((0.1, 0.3, None), 0.2, True),
        ((0.1, 0.3, None), 0.31, False),
        ((0.4, None, None), 0.45, True),
        ((None, None, None), 0.45, None),
        ((0.1, 0.3, 0.2), None, None),
    ],
)
def test_within_range_is_between_the_real_cities(
    real: tuple[float | None, ...], simulated: float | None, within: bool | None
) -> None:
    assert Row("measure", real, simulated).within is within


def test_the_page_has_a_row_per_measure_and_says_no() -> None:
    real: dict[str, Measures] = {"boston": {"a": 0.2, "b": None}, "paris": {"a": 0.3, "b": 0.5}}
    simulated: dict[int, Measures] = {
        7: {"a": 0.4, "b": 0.5},
        1: {"a": 0.1, "b": None},
        2: {"a": 0.2, "b": None},
    }
    page = render(real, simulated, stations=300, days=21)
    assert "| measure | boston | paris | simulated | other seeds | within range |" in page
    assert "| a | 0.200 | 0.300 | 0.400 | 0.100 to 0.200 | **no** |" in page
    assert "| b | - | 0.500 | 0.500 | - | yes |" in page
    assert "seed 7" in page
    assert "seeds 1, 2" in page


def test_a_missing_recording_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="boston"):
        simulator_document(tmp_path)


@pytest.mark.recordings
def test_taipei_is_measured_as_its_reference_says(recordings: Path) -> None:
    log = pd.read_parquet(recordings / "taipei" / "station_status.parquet")
    measured = measure(log, timezone="Asia/Taipei", stations=200)
    onset = measured["bikeout: persistence onset PR-AUC"]
    assert onset is not None
    assert 0.2 < onset < 0.3


def test_the_stored_page_has_the_words_and_rows_of_the_code(measured: Measures) -> None:
    page = PAGE.read_text(encoding="utf-8")
    some = dict.fromkeys(TIMEZONES, measured)
    ours = render(some, dict.fromkeys(SEEDS, measured), stations=300, days=21)

    assert page.partition("| measure")[0] == ours.partition("| measure")[0], "make docs-simulator"
    assert _rows(page) == _rows(ours), "make docs-simulator"


@pytest.mark.long
@pytest.mark.recordings
def test_the_stored_page_is_what_the_recordings_say(recordings: Path) -> None:
    assert simulator_document(recordings) == PAGE.read_text(encoding="utf-8"), "docs-simulator"


def _rows(page: str) -> list[str]:
    return [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("|")]
