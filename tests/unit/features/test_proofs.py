from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.features import definition, proofs
from mlops_bikeshare.features.block import Block
from mlops_bikeshare.features.grid import LOOKBACK
from mlops_bikeshare.features.offline import day_grid
from mlops_bikeshare.features.profiles import ProfileState

DAY = date(2021, 7, 3)
Polls = Callable[..., pd.DataFrame]


@pytest.fixture(scope="module")
def case(polls: Polls, station_list: pd.DataFrame, boston: City) -> proofs.Case:
    start, yesterday = Window.day(DAY).start, DAY - timedelta(days=1)
    before = polls(99, start=start - timedelta(days=1), slots=288)
    grid = day_grid(before, day=yesterday, stations=station_list)
    return proofs.Case(
        day=DAY,
        status=polls(4, start=start - LOOKBACK, slots=28 * 12, missed=0.1),
        stations=station_list,
        city=boston,
        profiles=ProfileState.empty().update(grid, day=yesterday, zone=boston.zone),
        dts=proofs.sampled_times(DAY, times=3, seed=1),
    )


@pytest.mark.parametrize("name", proofs.PROOFS)
def test_every_proof_holds_for_our_features(case: proofs.Case, name: str) -> None:
    assert proofs.PROOFS[name](case) == []


def test_a_feature_that_looks_ahead_is_found_out(
    case: proofs.Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    def peeking(block: Block) -> npt.NDArray[np.float64]:
        ahead = np.minimum(block.places + 6, len(block.grid.bikes) - 1)
        return block.grid.bikes[ahead].astype(np.float64)

    features = list(definition.FEATURES)
    features[0] = definition.Feature("bikes", "station", "1", "bikes in 30 min", peeking)
    monkeypatch.setattr(definition, "FEATURES", tuple(features))
    wrong = proofs.the_future_changes_nothing(case)
    assert wrong
    assert all("bikes differs" in text for text in wrong)
    assert proofs.online_equals_offline(case)


def test_lost_polls_are_gone_and_late_ones_keep_their_document(polls: Polls) -> None:
    raw = polls(1, start=Window.day(DAY).start, slots=288).drop(columns="slot")
    lossy = proofs.with_missed_and_late_polls(raw, share=0.2, seed=3)
    kept = lossy["observed_at"].nunique()
    assert 0.7 * 288 < kept < 0.9 * 288
    delay = lossy["fetched_at"] - lossy["observed_at"]
    usual = (raw["fetched_at"] - raw["observed_at"]).max()
    assert 0.1 < (delay > usual).mean() < 0.4
    assert delay.max() <= usual + pd.Timedelta(minutes=10)
