"""The table that decides about a retraining."""

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.release.retrain import Facts, Limits, choose

LIMITS = Limits(
    critical=0.70,
    warning=0.80,
    drift_share=0.5,
    falling=0.02,
    most_days=45,
    seasons=("03-15", "06-15", "09-15"),
)
QUIET = Facts(
    today=date(2021, 9, 1),
    quality=0.9,
    quality_before=0.9,
    drift_share=0.1,
    learned_until=date(2021, 8, 1),
)
share = st.one_of(st.none(), st.floats(0, 1))


@pytest.mark.parametrize(
    ("changed", "row", "cause"),
    [
        ({}, "WAIT", "nothing"),
        ({"quality": 0.69}, "REACTIVE", "quality"),
        ({"quality": 0.85, "drift_share": 0.5}, "REACTIVE", "drift"),
        ({"quality": 0.79, "quality_before": 0.79, "drift_share": 0.5}, "PROACTIVE", "drift"),
        ({"drift_share": 0.9}, "WAIT", "nothing"),
        ({"quality": 0.79, "quality_before": 0.9, "drift_share": 0.49}, "WAIT", "nothing"),
        ({"learned_until": date(2021, 7, 17)}, "PROACTIVE", "age"),
        ({"today": date(2021, 9, 15)}, "PROACTIVE", "calendar"),
        ({"quality": None, "quality_before": None, "drift_share": None}, "WAIT", "nothing"),
    ],
)
def test_each_row_of_the_table_has_its_facts(
    changed: dict[str, object], row: str, cause: str
) -> None:
    choice = choose(replace(QUIET, **changed), LIMITS)  # type: ignore[arg-type]
    assert (choice.row, choice.cause) == (row, cause)


def test_what_is_not_known_is_said_and_starts_nothing() -> None:
    blind = replace(QUIET, quality=None, quality_before=None, drift_share=None)
    choice = choose(blind, LIMITS)
    assert choice.row == "WAIT"
    assert sum("not known" in reason for reason in choice.reasons) == 3


@given(quality=share, before=share, drift=share, days=st.integers(0, 400))
def test_better_quality_and_less_drift_never_make_a_retraining_more_urgent(
    quality: float | None, before: float | None, drift: float | None, days: int
) -> None:
    urgency = {"WAIT": 0, "PROACTIVE": 1, "REACTIVE": 2}
    learned = date.fromordinal(QUIET.today.toordinal() - days)
    facts = replace(
        QUIET, quality=quality, quality_before=before, drift_share=drift, learned_until=learned
    )
    better = replace(facts, quality=quality and 1.0, drift_share=drift and 0.0)
    assert urgency[choose(better, LIMITS).row] <= urgency[choose(facts, LIMITS).row]


def test_a_warning_level_below_the_critical_one_is_refused() -> None:
    with pytest.raises(InputError, match="lies below the critical"):
        replace(LIMITS, warning=0.6)
