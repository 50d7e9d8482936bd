from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_bikeshare.serving.host.faults import ApiError
from mlops_bikeshare.serving.host.fleet import Fleet
from mlops_bikeshare.serving.host.workers import Variant


def fleet(weights: dict[str, float]) -> Fleet:
    # a variant that was never started has no process
    return Fleet({name: Variant(name, Path(), Path()) for name in weights}, weights)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=10).filter(any))
def test_over_one_cycle_the_shares_are_the_weights(weights: list[int]) -> None:
    named = {f"v{number}": float(weight) for number, weight in enumerate(weights)}
    chosen = fleet(named)
    answers = [chosen.choose(None).name for _ in range(sum(weights))]
    assert {name: answers.count(name) for name in named} == named


def test_a_canary_of_a_tenth_gets_every_tenth_request() -> None:
    chosen = fleet({"Baseline": 0.9, "Candidate": 0.1})
    answers = [chosen.choose(None).name for _ in range(1000)]
    assert answers.count("Candidate") == pytest.approx(100, abs=1)


def test_a_target_is_asked_whatever_its_weight() -> None:
    assert fleet({"A": 1.0, "B": 0.0}).choose("B").name == "B"


def test_no_weight_at_all_is_an_error_not_a_choice() -> None:
    with pytest.raises(ApiError, match="weight above 0"):
        fleet({"A": 0.0}).choose(None)


def test_new_weights_take_effect_at_once() -> None:
    chosen = fleet({"A": 1.0, "B": 0.0})
    chosen.reweigh({"A": 0.0, "B": 1.0})
    assert {chosen.choose(None).name for _ in range(5)} == {"B"}
