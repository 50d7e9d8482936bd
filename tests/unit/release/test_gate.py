"""The gate's truth table: whatever is missing, stale or too thin keeps a version out."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_bikeshare.domain.reports import Comparison, GateCheck, GateReport, to_json
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.release import gate
from mlops_bikeshare.release.gate import GateEvidence, Reading, VariantHealth
from mlops_bikeshare.settings import GateSettings

END = datetime(2021, 9, 2, 0, 0, tzinfo=UTC)
WINDOW = Window.before(END)
HOURS = list(WINDOW.steps(step_s=3600))
RULES = GateSettings()
GOOD = {
    "PR-AUC-24h": 0.95,
    "F1-24h": 0.85,
    "Onset-Brier-Skill-24h": 0.12,
    "QualitySamples-24h": 57_000.0,
    "PSI": 0.06,
}
Change = Callable[[GateEvidence], GateEvidence]


def comparison(target: str, *, high: float = -0.0001, rows: int = 57_000) -> Comparison:
    return Comparison(
        target=target, rows=rows, difference=high - 0.001, low=high - 0.002, high=high
    )


def variant(name: str = "AllTraffic") -> VariantHealth:
    return VariantHealth(
        name=name,
        latency_p95_ms=dict.fromkeys(HOURS, 80.0),
        invocations=dict.fromkeys(HOURS, 12.0),
        errors_5xx=0.0,
    )


def evidence() -> GateEvidence:
    return GateEvidence(
        endpoint="bikeshare-staging",
        city="boston",
        model_version="7",
        artefact_digest="d" * 64,
        deployed_digest="d" * 64,
        window=WINDOW,
        judged_at=END,
        latest={name: Reading(value=value, at=END) for name, value in GOOD.items()},
        variants=(variant(),),
        heartbeats=144.0,
        drift_enough=True,
        targets=("bikeout", "dockout"),
        comparisons=(comparison("bikeout"), comparison("dockout")),
    )


def value(name: str, number: float) -> Change:
    return lambda e: replace(e, latest={**e.latest, name: Reading(value=number, at=e.judged_at)})


def missing(name: str) -> Change:
    return lambda e: replace(e, latest={k: v for k, v in e.latest.items() if k != name})


def aged(name: str, age: timedelta, *, cadence_s: int = 600) -> Change:
    def change(e: GateEvidence) -> GateEvidence:
        old = Reading(value=GOOD[name], at=e.judged_at - age, cadence_s=cadence_s)
        return replace(e, latest={**e.latest, name: old})

    return change


def health(**changes: object) -> Change:
    def change(e: GateEvidence) -> GateEvidence:
        variants = tuple(replace(v, **changes) for v in e.variants)  # type: ignore[arg-type]
        return replace(e, variants=variants)

    return change


def line(report: GateReport, name: str) -> GateCheck:
    return next(check for check in report.checks if check.name == name)


def test_good_evidence_passes_and_every_line_says_what_was_seen() -> None:
    report = gate.judge(evidence(), RULES)
    assert report.verdict == "pass"
    assert [check.name for check in report.checks] == [
        "PR-AUC-24h",
        "F1-24h",
        "Onset-Brier-Skill-24h",
        "QualitySamples-24h",
        "ModelLatency p95 AllTraffic",
        "Invocation5XXErrors",
        "PredictionHeartbeat",
        "PSI",
        "artefact digest",
        "non-inferior bikeout",
        "non-inferior dockout",
    ]
    assert all(check.detail and check.value is not None for check in report.checks)


ONE_HOUR_GONE = dict.fromkeys(HOURS[1:], 80.0)

UNKNOWN: dict[str, tuple[str, Change]] = {
    **{f"{name} missing": (name, missing(name)) for name in GOOD},
    **{f"{name} NaN": (name, value(name, float("nan"))) for name in GOOD},
    **{f"{name} stale": (name, aged(name, timedelta(minutes=21))) for name in GOOD},
    **{f"{name} of the future": (name, aged(name, timedelta(minutes=-1))) for name in GOOD},
    "too few samples": ("QualitySamples-24h", value("QualitySamples-24h", 1999)),
    "no variant": ("ModelLatency p95", lambda e: replace(e, variants=())),
    "no latency": ("ModelLatency p95 AllTraffic", health(latency_p95_ms={})),
    "an hour without latency": (
        "ModelLatency p95 AllTraffic",
        health(latency_p95_ms=ONE_HOUR_GONE),
    ),
    "an hour without requests": ("ModelLatency p95 AllTraffic", health(invocations=ONE_HOUR_GONE)),
    "no error count": ("Invocation5XXErrors", health(errors_5xx=None)),
    "no requests": ("Invocation5XXErrors", health(invocations={})),
    "no heartbeat": ("PredictionHeartbeat", lambda e: replace(e, heartbeats=None)),
    "drift not enough": ("PSI", lambda e: replace(e, drift_enough=False)),
    "drift not known": ("PSI", lambda e: replace(e, drift_enough=None)),
    "nothing deployed": ("artefact digest", lambda e: replace(e, deployed_digest=None)),
    "no digest": ("artefact digest", lambda e: replace(e, artefact_digest="")),
    "no champion": ("non-inferior bikeout", lambda e: replace(e, comparisons=())),
    "one target compared": (
        "non-inferior dockout",
        lambda e: replace(e, comparisons=e.comparisons[:1]),
    ),
    "few rows compared": (
        "non-inferior bikeout",
        lambda e: replace(e, comparisons=(comparison("bikeout", rows=100), comparison("dockout"))),
    ),
    "no target to compare": ("non-inferior to the champion", lambda e: replace(e, targets=())),
}

FAIL: dict[str, tuple[str, Change]] = {
    "PR-AUC low": ("PR-AUC-24h", value("PR-AUC-24h", 0.699)),
    "F1 low": ("F1-24h", value("F1-24h", 0.549)),
    "no onset skill": ("Onset-Brier-Skill-24h", value("Onset-Brier-Skill-24h", 0.005)),
    "drift": ("PSI", value("PSI", 0.20)),
    "one slow hour": (
        "ModelLatency p95 AllTraffic",
        health(latency_p95_ms={**dict.fromkeys(HOURS, 80.0), HOURS[5]: 200.1}),
    ),
    "one error": ("Invocation5XXErrors", health(errors_5xx=1.0)),
    "a batch missed": ("PredictionHeartbeat", lambda e: replace(e, heartbeats=143.0)),
    "another artefact": ("artefact digest", lambda e: replace(e, deployed_digest="e" * 64)),
    "inferior": (
        "non-inferior bikeout",
        lambda e: replace(
            e, comparisons=(comparison("bikeout", high=0.0021), comparison("dockout"))
        ),
    ),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_each_gap_in_the_evidence_alone_leaves_the_verdict_unknown(case: str) -> None:
    name, change = UNKNOWN[case]
    report = gate.judge(change(evidence()), RULES)
    assert report.verdict == "unknown"
    assert line(report, name).verdict == "unknown"
    assert line(report, name).detail


@pytest.mark.parametrize("case", FAIL)
def test_each_breach_alone_fails(case: str) -> None:
    name, change = FAIL[case]
    report = gate.judge(change(evidence()), RULES)
    assert report.verdict == "fail"
    assert [check.name for check in report.failed] == [name]
    assert line(report, name).verdict == "fail"


@given(st.sets(st.sampled_from(sorted(UNKNOWN))), st.sets(st.sampled_from(sorted(FAIL))))
def test_no_mixture_of_gaps_and_breaches_passes(gaps: set[str], breaches: set[str]) -> None:
    found = evidence()
    for case in sorted(gaps):
        found = UNKNOWN[case][1](found)
    for case in sorted(breaches):
        found = FAIL[case][1](found)
    verdict = gate.judge(found, RULES).verdict
    assert (verdict == "pass") == (not gaps and not breaches)


def test_a_persistence_model_fails_though_its_pr_auc_is_high() -> None:
    found = value("PR-AUC-24h", 0.90)(value("Onset-Brier-Skill-24h", 0.0)(evidence()))
    report = gate.judge(found, RULES, initial=True)
    assert report.verdict == "fail"
    assert [check.name for check in report.failed] == ["Onset-Brier-Skill-24h"]


def test_thresholds_themselves_pass_except_psi() -> None:
    found = evidence()
    for name, number in (("PR-AUC-24h", 0.70), ("F1-24h", 0.55), ("QualitySamples-24h", 2000.0)):
        found = value(name, number)(found)
    found = health(latency_p95_ms=dict.fromkeys(HOURS, 200.0))(found)
    assert gate.judge(found, RULES).verdict == "pass"


def test_a_slow_hour_fails_even_when_others_are_missing() -> None:
    found = health(latency_p95_ms={HOURS[3]: 900.0})(evidence())
    check = line(gate.judge(found, RULES), "ModelLatency p95 AllTraffic")
    assert (check.verdict, check.value) == ("fail", 900.0)
    assert "23 of 24 hours" in check.detail


def test_every_variant_is_judged() -> None:
    slow = replace(variant("Candidate"), latency_p95_ms=dict.fromkeys(HOURS, 300.0))
    report = gate.judge(replace(evidence(), variants=(variant("Baseline"), slow)), RULES)
    assert [check.name for check in report.failed] == ["ModelLatency p95 Candidate"]


def test_an_hourly_metric_may_be_as_old_as_two_of_its_cadences() -> None:
    assert (
        gate.judge(aged("PSI", timedelta(minutes=119), cadence_s=3600)(evidence()), RULES).verdict
        == "pass"
    )
    old = aged("PSI", timedelta(minutes=121), cadence_s=3600)(evidence())
    assert gate.judge(old, RULES).verdict == "unknown"


def test_required_heartbeats_follow_the_window_unless_set() -> None:
    half = Window.before(END, hours=12)
    found = replace(evidence(), window=half, heartbeats=72.0)
    assert gate.judge(found, RULES).verdict == "pass"
    assert gate.judge(found, replace(RULES, heartbeats=100)).verdict == "fail"


def test_a_first_deploy_is_judged_without_a_champion_and_says_so() -> None:
    report = gate.judge(replace(evidence(), comparisons=(), targets=()), RULES, initial=True)
    assert (report.verdict, report.initial) == ("pass", True)


def test_an_unaligned_window_needs_its_broken_hours_too() -> None:
    window = Window.before(END + timedelta(minutes=20))
    found = replace(evidence(), window=window)
    assert "1 of 25 hours" in line(gate.judge(found, RULES), "ModelLatency p95 AllTraffic").detail


def test_no_checks_at_all_are_unknown() -> None:
    assert gate.overall([]) == "unknown"


def test_a_report_comes_back_from_json() -> None:
    report = gate.judge(UNKNOWN["PSI missing"][1](evidence()), RULES)
    assert gate.report_from_json(json.loads(json.dumps(to_json(report)))) == report
