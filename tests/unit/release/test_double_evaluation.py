import pytest

from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.release.double_evaluation import (
    Decision,
    Frozen,
    Recent,
    Sliding,
    decide,
    sliding,
)

METRIC = "onset PR-AUC"


def frozen(bikeout: float | None = 0.45, dockout: float | None = 0.40) -> list[Frozen]:
    return [
        Frozen(target="bikeout", value=bikeout, floor=0.43),
        Frozen(target="dockout", value=dockout, floor=0.38),
    ]


def recent(**dockout: float | None) -> list[Recent]:
    better: dict[str, float | None] = {"gain": 0.04, "low": 0.01, "high": 0.07}
    return [
        Recent(target="bikeout", gain=0.04, low=0.01, high=0.07),
        Recent(target="dockout", **{**better, **dockout}),
    ]


def judged(f: list[Frozen], r: list[Recent]) -> Decision:
    return decide(f, r, metric=METRIC, least_gain=0.02)


def window(text: str) -> Window:
    return Window.parse(text, key="window")


def test_holding_the_frozen_set_and_gaining_on_recent_days_deploys() -> None:
    made = judged(frozen(), recent())
    assert made.verdict == "DEPLOY"
    assert "bikeout: onset PR-AUC on the frozen set is 0.450, its floor 0.430" in made.reasons
    assert len(made.reasons) == 4


def test_one_target_below_its_floor_rejects_whatever_the_recent_days_say() -> None:
    made = judged(frozen(dockout=0.379), recent(gain=0.3, low=0.2, high=0.4))
    assert made.verdict == "REJECT"
    assert made.reasons == (
        "dockout: onset PR-AUC on the frozen set is too low, 0.379, its floor 0.380",
    )


@pytest.mark.parametrize("unknown", [None, float("nan")])
def test_an_unknown_frozen_figure_rejects(unknown: float | None) -> None:
    assert judged(frozen(bikeout=unknown), recent()).verdict == "REJECT"


def test_exactly_the_floor_and_exactly_the_gain_are_enough() -> None:
    made = judged(frozen(0.43, 0.38), recent(gain=0.02, low=0.001))
    assert made.verdict == "DEPLOY"


@pytest.mark.parametrize(
    ("dockout", "words"),
    [
        ({"gain": 0.0199}, "is less than +0.020"),
        ({"gain": -0.2, "low": -0.3, "high": -0.1}, "is less than +0.020"),
        ({"low": 0.0}, "is not clear of 0"),
        ({"low": -0.01}, "is not clear of 0"),
        ({"gain": None}, "is not known"),
        ({"low": None}, "is not known"),
        ({"gain": float("nan")}, "is less than"),
        ({"low": float("nan")}, "is not clear of 0"),
    ],
)
def test_a_gain_that_is_small_or_unsure_in_one_target_skips(
    dockout: dict[str, float | None], words: str
) -> None:
    made = judged(frozen(), recent(**dockout))
    assert made.verdict == "SKIP"
    assert len(made.reasons) == 1
    assert made.reasons[0].startswith("dockout: ")
    assert words in made.reasons[0]


@pytest.mark.parametrize(
    ("f", "r"), [([], []), (frozen(), recent()[:1]), (frozen() + frozen()[:1], recent())]
)
def test_sets_that_speak_of_different_targets_are_refused(f: list[Frozen], r: list[Recent]) -> None:
    with pytest.raises(InputError, match="each target once in both"):
        judged(f, r)


def test_the_window_slides_behind_the_days_that_judge() -> None:
    made = sliding(
        window("2021-06-01..2021-07-01"),
        window("2021-06-01..2021-09-30"),
        days=30,
        recent_days=7,
    )
    assert made == Sliding(
        train=(window("2021-06-01..2021-07-01"), window("2021-08-24..2021-09-23")),
        recent=window("2021-09-23..2021-09-30"),
    )


def test_a_baseline_within_the_last_days_is_trained_on_once() -> None:
    made = sliding(
        window("2021-06-01..2021-06-20"),
        window("2021-06-01..2021-07-10"),
        days=30,
        recent_days=7,
    )
    assert made.train == (window("2021-06-01..2021-07-03"),)


def test_a_baseline_that_reaches_into_the_days_that_judge_is_refused() -> None:
    baseline, available = window("2021-06-01..2021-07-08"), window("2021-06-01..2021-07-10")
    with pytest.raises(InputError, match="which judge; move it back"):
        sliding(baseline, available, days=30, recent_days=7)
    with pytest.raises(InputError, match="at least one day"):
        sliding(baseline, available, days=0, recent_days=7)
