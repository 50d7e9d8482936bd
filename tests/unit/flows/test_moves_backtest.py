"""Plans judged on a simulated week: the report, and that its figures hang together."""

from datetime import date
from typing import Any

import numpy as np
import pytest

from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows import moves_backtest
from mlops_bikeshare.flows.backtesting import moves_report
from mlops_bikeshare.flows.backtesting.moves_report import Scored
from mlops_bikeshare.rebalancing.fleet import Fleet
from mlops_bikeshare.sources.recorded import open_recording
from mlops_bikeshare.sources.simulator.simulate import simulate
from mlops_bikeshare.training.fit import FitParams
from mlops_bikeshare.training.split import Split
from mlops_bikeshare.training.table import Plan

CITY = City(name="nowhere", timezone="America/Toronto", country="CA")
SPLIT = Split(
    *(
        Window.parse(text, key="range")
        for text in (
            "2025-06-02..2025-06-05",
            "2025-06-05..2025-06-06",
            "2025-06-06..2025-06-07",
        )
    )
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("recording")
    made = simulate(stations=24, days=5, seed=3, start=date(2025, 6, 2), timezone=CITY.timezone)
    made.write(folder)
    return moves_backtest.score(
        open_recording(folder),
        CITY,
        SPLIT,
        plan=Plan(params=FitParams(rounds=40, leaves=15, threads=1)),
        fleet=Fleet(vans=1, capacity=10),
        every_min=180,
        cadence_min=20,
    )


def test_both_methods_are_judged_at_every_sampled_time(report: dict[str, Any]) -> None:
    assert report["decision_times"] == 8
    assert report["interval_blocks"] == "6 h"
    assert set(report["methods"]) == {"flow", "highest_risk_first"}
    for told in report["methods"].values():
        assert 0 < told["bikes_per_round"] <= 10
        per_round = told["saved_per_bike"]["value"] * told["bikes_per_round"]
        assert told["saved_per_round"]["value"] == pytest.approx(per_round)
        assert told["saved_per_round"]["value"] <= report["recorded_min_per_round"]
    assert "saved per bike" in moves_report.table(report)


def scored(method: str, *, day: int, saved: float, bikes: int = 10) -> Scored:
    return Scored(
        method=method,
        dt=day * 86_400,
        moves=1,
        planned=bikes,
        bikes=bikes,
        km=1.0,
        promised_min=saved,
        saved_min=saved,
        at_risk_min=1000,
    )


def test_the_difference_is_paired_by_day() -> None:
    """Days differ widely, the methods by one minute a bike on each: the interval is that minute."""
    rng = np.random.default_rng(0)
    of_day = rng.normal(100, 50, 10)
    found = [
        scored(method, day=day, saved=float(minutes + more))
        for day, minutes in enumerate(of_day)
        for method, more in (("flow", 10.0), ("highest_risk_first", 0.0))
    ]
    report = moves_report.report_of(found, seed=1)
    assert report["interval_blocks"] == "day"
    gain = report["difference"]["saved_per_bike"]
    assert (gain["value"], *gain["interval"]) == pytest.approx((1, 1, 1))
    low, high = report["methods"]["flow"]["saved_per_bike"]["interval"]
    assert high - low > 1


def test_a_method_that_never_moved_a_bike_has_no_saving_per_bike() -> None:
    found = [
        scored(method, day=day, saved=0, bikes=0)
        for day in range(6)
        for method in ("flow", "highest_risk_first")
    ]
    told = moves_report.report_of(found, seed=1)["methods"]["flow"]
    assert told["saved_per_bike"] == {"value": None, "interval": None}
    assert told["saved_per_round"]["value"] == 0
