"""The guard: a canary goes on only when everything is known and holds; a trigger needs a value."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_bikeshare.domain.errors import Refused
from mlops_bikeshare.release import guard
from mlops_bikeshare.release.evidence import Reading, VariantHealth
from mlops_bikeshare.release.guard import Sampled, Vitals
from mlops_bikeshare.settings import GuardSettings

SINCE = datetime(2021, 9, 2, 8, tzinfo=UTC)
NOW = SINCE + timedelta(hours=1)
RULES = GuardSettings()


def variant(name: str = "Candidate") -> VariantHealth:
    return VariantHealth(
        name=name, latency_p95_ms={SINCE: 80.0}, invocations={SINCE: 6.0}, errors_5xx=0.0
    )


def well() -> Vitals:
    return Vitals(
        since=SINCE,
        now=NOW,
        variants=(variant("Baseline"), variant()),
        batches=6,
        success_rate=1.0,
        sampled=Sampled(samples=5000, pr_auc=0.9, f1=0.8),
        latest={"PR-AUC-24h": Reading(value=0.9, at=NOW), "F1-24h": Reading(value=0.8, at=NOW)},
    )


def decided(vitals: Vitals, share_pct: int = 10) -> str:
    return guard.judge_hold(vitals, RULES, batches=6, share_pct=share_pct).decision


BAD = {
    "one server error": replace(well(), variants=(variant(), replace(variant(), errors_5xx=1.0))),
    "one slow hour": replace(
        well(), variants=(replace(variant(), latency_p95_ms={SINCE: 80.0, NOW: 300.1}),)
    ),
    "a station without an answer": replace(well(), success_rate=0.99),
    "bad warnings": replace(well(), sampled=Sampled(samples=2000, pr_auc=0.69, f1=0.8)),
    "a bad threshold": replace(well(), sampled=Sampled(samples=2000, pr_auc=0.9, f1=0.54)),
}
GAPS = {
    "too few batches": replace(well(), batches=5),
    "no batches": replace(well(), batches=0, success_rate=None),
    "no variant": replace(well(), variants=()),
    "an idle candidate": replace(
        well(), variants=(variant("Baseline"), replace(variant(), invocations={}))
    ),
    "no error count": replace(well(), variants=(replace(variant(), errors_5xx=None),)),
    "no latency": replace(well(), variants=(replace(variant(), latency_p95_ms={}),)),
    "no error count of the candidate": replace(
        well(), variants=(variant("Baseline"), replace(variant(), errors_5xx=None))
    ),
    "no latency of the candidate": replace(
        well(), variants=(variant("Baseline"), replace(variant(), latency_p95_ms={}))
    ),
}


def test_a_canary_goes_on_when_everything_is_known_and_holds() -> None:
    assert [decided(well(), share) for share in (10, 50, 100)] == ["go"] * 3


@pytest.mark.parametrize("case", BAD)
def test_each_breach_takes_it_back_whatever_else_is_missing(case: str) -> None:
    assert decided(BAD[case]) == "back"
    assert decided(replace(BAD[case], batches=0)) == "back"


@pytest.mark.parametrize("case", GAPS)
def test_each_gap_lets_it_wait_and_never_go_on(case: str) -> None:
    assert decided(GAPS[case]) == "hold"


@pytest.mark.parametrize(
    "sampled",
    [None, Sampled(samples=1999, pr_auc=0.9, f1=0.9), Sampled(samples=3000, pr_auc=None, f1=None)],
)
def test_all_traffic_waits_for_labels_and_less_of_it_does_not(sampled: Sampled | None) -> None:
    young = replace(well(), sampled=sampled)
    assert [decided(young, share) for share in (10, 50, 100)] == ["go", "go", "hold"]


def test_a_clock_that_went_back_is_refused() -> None:
    with pytest.raises(Refused, match="set the clock right"):
        decided(replace(well(), now=SINCE - timedelta(seconds=1)))


TRIGGERS = {
    "Invocation5XXErrors": replace(well(), variants=(replace(variant(), errors_5xx=1.0),)),
    "ModelLatency p95": replace(
        well(), variants=(replace(variant(), latency_p95_ms={SINCE: 300.1}),)
    ),
    "PR-AUC-24h": replace(well(), latest={"PR-AUC-24h": Reading(value=0.699, at=NOW)}),
    "F1-24h": replace(well(), latest={"F1-24h": Reading(value=0.549, at=NOW)}),
}


@pytest.mark.parametrize("name", TRIGGERS)
def test_each_trigger_alone_rolls_back(name: str) -> None:
    assert [check.name for check in guard.triggered(TRIGGERS[name], RULES)] == [name]
    assert name in guard.said(guard.triggered(TRIGGERS[name], RULES))


def test_nothing_rolls_back_what_is_well_or_not_known() -> None:
    assert guard.triggered(well(), RULES) == []
    assert guard.triggered(Vitals(since=SINCE, now=NOW, variants=()), RULES) == []


@given(st.integers(0, 86_400), st.floats(0, 0.69))
def test_a_value_from_before_the_move_or_of_the_future_triggers_nothing(
    away_s: int, value: float
) -> None:
    for at in (SINCE - timedelta(seconds=away_s), NOW + timedelta(seconds=1 + away_s)):
        old = replace(well(), latest={"PR-AUC-24h": Reading(value=value, at=at)})
        assert guard.triggered(old, RULES) == []


def test_limits_themselves_hold() -> None:
    edge = replace(
        well(),
        variants=(replace(variant(), latency_p95_ms={SINCE: 300.0}),),
        sampled=Sampled(samples=2000, pr_auc=0.70, f1=0.55),
    )
    assert decided(edge) == "go"
