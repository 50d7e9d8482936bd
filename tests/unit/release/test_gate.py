"""The gate's truth table: whatever is missing, stale or too thin keeps a version out."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_bikeshare.domain.reports import (
    Comparison,
    GateCheck,
    GateReport,
    SliceComparison,
    to_json,
)
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.release import gate
from mlops_bikeshare.release.catalogue import CATALOGUE, check_of
from mlops_bikeshare.release.evidence import (
    Coverage,
    FeatureProof,
    GateEvidence,
    QualityOfRecord,
    Reading,
    VariantHealth,
)
from mlops_bikeshare.settings import GateSettings

END = datetime(2021, 9, 2, 0, 0, tzinfo=UTC)
WINDOW = Window.before(END)
HOURS = list(WINDOW.steps(step_s=3600))
EVERY_TIME = list(WINDOW.steps())
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


def neighbourhood(target: str, *, low: float | None = -0.01) -> SliceComparison:
    cells = 0 if low is None else 40
    high = None if low is None else low + 0.03
    return SliceComparison(
        target=target, cells=cells, thin=3, cell="42.36,-71.06", rows=900,
        difference=None if low is None else low + 0.01, low=low, high=high,
    )  # fmt: skip


TARGETS = ("bikeout", "dockout")
GOOD_COMPARISONS = tuple(comparison(target) for target in TARGETS)


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
        beats=EVERY_TIME,
        drift_enough=True,
        targets=TARGETS,
        model_city="boston",
        quality=QualityOfRecord(window_end=END, revision=1, feed_down=0),
        coverage=Coverage(asked=59_616, answered=59_616),
        features=FeatureProof(rows=59_616, differing=0),
        champion=GOOD_COMPARISONS,
        persistence=GOOD_COMPARISONS,
        slices=tuple(neighbourhood(target) for target in TARGETS),
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


def contested(name: str) -> Change:
    def change(e: GateEvidence) -> GateEvidence:
        twice = replace(e.latest[name], conflict=True) if name in e.latest else None
        return e if twice is None else replace(e, latest={**e.latest, name: twice})

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
        "window",
        "PR-AUC-24h",
        "F1-24h",
        "Onset-Brier-Skill-24h",
        "QualitySamples-24h",
        "quality of record",
        "ModelLatency p95 AllTraffic",
        "Invocation5XXErrors",
        "PredictionHeartbeat",
        "prediction coverage",
        "PSI",
        "online features as offline",
        "artefact digest",
        "model city",
        "beats persistence bikeout",
        "beats persistence dockout",
        "non-inferior bikeout",
        "non-inferior dockout",
        "worst neighbourhood bikeout",
        "worst neighbourhood dockout",
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
    "no heartbeat": ("PredictionHeartbeat", lambda e: replace(e, beats=())),
    **{f"{name} twice, and not the same": (name, contested(name)) for name in GOOD},
    "no window of record": ("quality of record", lambda e: replace(e, quality=None)),
    "nothing asked": ("prediction coverage", lambda e: replace(e, coverage=None)),
    "no features kept": ("online features as offline", lambda e: replace(e, features=None)),
    "a model of no city": ("model city", lambda e: replace(e, model_city=None)),
    "not compared with persistence": (
        "beats persistence bikeout",
        lambda e: replace(e, persistence=()),
    ),
    "no neighbourhood has enough": (
        "worst neighbourhood bikeout",
        lambda e: replace(e, slices=[neighbourhood(t, low=None) for t in TARGETS]),
    ),
    "neighbourhoods not compared": ("worst neighbourhood dockout", lambda e: replace(e, slices=())),
    "drift not enough": ("PSI", lambda e: replace(e, drift_enough=False)),
    "drift not known": ("PSI", lambda e: replace(e, drift_enough=None)),
    "nothing deployed": ("artefact digest", lambda e: replace(e, deployed_digest=None)),
    "no digest": ("artefact digest", lambda e: replace(e, artefact_digest="")),
    "no champion": ("non-inferior bikeout", lambda e: replace(e, champion=())),
    "one target compared": (
        "non-inferior dockout",
        lambda e: replace(e, champion=e.champion[:1]),
    ),
    "few rows compared": (
        "non-inferior bikeout",
        lambda e: replace(e, champion=(comparison("bikeout", rows=100), comparison("dockout"))),
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
    "a batch missed": ("PredictionHeartbeat", lambda e: replace(e, beats=EVERY_TIME[1:])),
    "a batch missed, another posted twice": (
        "PredictionHeartbeat",
        lambda e: replace(e, beats=[*EVERY_TIME[1:], EVERY_TIME[-1]]),
    ),
    "a short look": (
        "window",
        lambda e: replace(e, window=Window.before(END, hours=12), beats=EVERY_TIME[72:]),
    ),
    "metrics of somebody else": (
        "quality of record",
        lambda e: replace(
            e,
            quality=QualityOfRecord(window_end=END, revision=1, feed_down=0, unlike=("F1-24h",)),
        ),
    ),
    "a model that answers NaN": (
        "prediction coverage",
        lambda e: replace(e, coverage=Coverage(asked=1000, answered=989, last_gap=HOURS[5])),
    ),
    "features that history does not give": (
        "online features as offline",
        lambda e: replace(e, features=FeatureProof(rows=1000, differing=1, last_at=HOURS[3])),
    ),
    "a model of another city": ("model city", lambda e: replace(e, model_city="nyc")),
    "no better than persistence": (
        "beats persistence dockout",
        lambda e: replace(
            e, persistence=(comparison("bikeout"), comparison("dockout", high=0.0001))
        ),
    ),
    "one neighbourhood pays": (
        "worst neighbourhood bikeout",
        lambda e: replace(
            e, slices=(neighbourhood("bikeout", low=0.001), neighbourhood("dockout"))
        ),
    ),
    "another artefact": ("artefact digest", lambda e: replace(e, deployed_digest="e" * 64)),
    "inferior": (
        "non-inferior bikeout",
        lambda e: replace(e, champion=(comparison("bikeout", high=0.0021), comparison("dockout"))),
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
    found = replace(evidence(), window=half)
    short = replace(RULES, window_h=12)
    assert gate.judge(found, short).verdict == "pass"
    assert gate.judge(found, replace(short, heartbeats=100)).verdict == "fail"


def test_a_first_deploy_is_judged_without_a_champion_and_says_so() -> None:
    alone = replace(evidence(), champion=(), slices=())
    report = gate.judge(alone, RULES, initial=True)
    assert (report.verdict, report.initial) == ("pass", True)
    assert gate.judge(replace(alone, persistence=()), RULES, initial=True).verdict == "unknown"


def test_an_unaligned_window_needs_its_broken_hours_too() -> None:
    window = Window.before(END + timedelta(minutes=20))
    found = replace(evidence(), window=window)
    assert "1 of 25 hours" in line(gate.judge(found, RULES), "ModelLatency p95 AllTraffic").detail


def test_no_checks_at_all_are_unknown() -> None:
    assert gate.overall([]) == "unknown"


def test_a_report_comes_back_from_json() -> None:
    report = gate.judge(UNKNOWN["PSI missing"][1](evidence()), RULES)
    assert gate.report_from_json(json.loads(json.dumps(to_json(report)))) == report


def test_every_check_is_in_the_catalogue_and_psi_alone_can_be_waived() -> None:
    report = gate.judge(evidence(), RULES)
    used = {check_of(check.name) for check in report.checks}
    assert used == set(CATALOGUE)
    assert [check.name for check in CATALOGUE if check.waivable] == ["PSI"]


def test_a_model_of_another_city_that_was_registered_here_fails_though_all_else_is_good() -> None:
    report = gate.judge(replace(evidence(), model_city="nyc"), RULES)
    assert [check.name for check in report.failed] == ["model city"]


def test_what_would_flip_a_failing_check_and_when_is_in_its_line() -> None:
    for case, (name, change) in {**UNKNOWN, **FAIL}.items():
        check = line(gate.judge(change(evidence()), RULES), name)
        assert check.flips, case
        assert check.next_at is None or check.next_at > END, case
    assert all(not check.flips for check in gate.judge(evidence(), RULES).checks)


def test_a_missed_batch_is_forgiven_once_it_has_left_the_window() -> None:
    gone = [at for at in WINDOW.steps() if at != HOURS[7]]
    check = line(gate.judge(replace(evidence(), beats=gone), RULES), "PredictionHeartbeat")
    assert check.next_at == HOURS[7] + timedelta(hours=24, minutes=10)
    window = Window.before(check.next_at)
    later = replace(evidence(), window=window, beats=list(window.steps()))
    assert HOURS[7] not in window
    assert line(gate.judge(later, RULES), "PredictionHeartbeat").verdict == "pass"


def test_a_slow_hour_is_forgiven_once_it_has_left_the_window() -> None:
    slow = health(latency_p95_ms={**dict.fromkeys(HOURS, 80.0), HOURS[5]: 300.0})(evidence())
    check = line(gate.judge(slow, RULES), "ModelLatency p95 AllTraffic")
    assert check.next_at == HOURS[5] + timedelta(hours=25)


def test_errors_are_forgiven_once_their_hour_has_left_the_window() -> None:
    found = health(errors_5xx=2.0, errors_at=[HOURS[1], HOURS[4]])(evidence())
    check = line(gate.judge(found, RULES), "Invocation5XXErrors")
    assert check.next_at == HOURS[4] + timedelta(hours=25)
    assert "09-01 04:00" in check.flips


def test_the_revision_of_the_quality_judged_is_pinned() -> None:
    found = replace(evidence(), pinned={"quality_revision": 2})
    assert gate.judge(found, RULES).pinned == {"quality_revision": 2}


@pytest.mark.parametrize(
    ("feed_down", "words"),
    [
        (None, ", nobody looked whether the feed was down"),
        (0, ""),
        (6, ", feed down for 6 decision times"),
    ],
)
def test_a_feed_that_nobody_looked_at_is_not_said_to_have_been_up(
    feed_down: int | None, words: str
) -> None:
    record = QualityOfRecord(window_end=END, revision=1, feed_down=feed_down)
    report = gate.judge(replace(evidence(), quality=record), RULES)
    seen = line(report, "quality of record")
    assert (seen.verdict, seen.detail.partition("revision 1")[2]) == ("pass", words)
